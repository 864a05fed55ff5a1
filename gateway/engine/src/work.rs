//! Stamps: proof of work bound to a one-time event key, made ahead of the call.

use crate::date::UnixTime;
use crate::envelope::EventKey;
use zeroize::Zeroizing;

/// A one-time event key with its work. Worth exactly one envelope.
pub struct Stamp {
    /// Public half: stands in the event.
    pub event_key: EventKey,
    /// secp256k1 secret half: the shell signs the event with it, once.
    pub event_secret: Zeroizing<[u8; 32]>,
    /// Ten-minute window for which the work was done (unix seconds / 600).
    pub window: u32,
    /// What makes the hash start with zero bits. Travels as tag `["w", 16 hex digits]`.
    pub nonce: u64,
}

impl std::fmt::Debug for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stamp(..)")
    }
}

impl Stamp {
    /// Whether a receiver whose clock is right would accept it now.
    #[must_use]
    pub fn is_fresh(&self, _now: UnixTime) -> bool {
        unimplemented!()
    }
}

/// Whether the work of a received event is enough, in the window of `now` or one beside it.
#[must_use]
pub fn check(_event_key: &EventKey, _nonce: u64, _bits: u8, _now: UnixTime) -> bool {
    unimplemented!()
}

/// Makes one stamp, a few tries at a time.
#[derive(Debug)]
pub struct Mint {}

impl Mint {
    /// Starts the work for one event key.
    #[must_use]
    pub fn new(
        _event_key: EventKey,
        _event_secret: Zeroizing<[u8; 32]>,
        _bits: u8,
        _now: UnixTime,
    ) -> Self {
        unimplemented!()
    }

    /// Tries `tries` more nonces.
    pub fn mint_some(&mut self, _tries: u32) -> Option<Stamp> {
        unimplemented!()
    }
}
