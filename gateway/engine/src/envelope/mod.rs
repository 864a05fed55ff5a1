//! The envelope: 1,024 bytes, alike for every kind of message.
//!
//! ```text
//! off len
//! 0   1   version = 1
//! 1   16  hint
//! 17  32  E, an X25519 public key
//! 49  975 sealed rest
//! ```
//!
//! This module knows the frame and what is bound to it; it does not know what a body means (`ring`, `session`).

use crate::rejected::Rejected;

/// Bytes of every envelope.
pub const ENVELOPE_LEN: usize = 1024;

/// Most bytes that one side's media description may have inside a ring or an answer.
pub const MAX_MEDIA: usize = 400;

/// One sealed message as it travels: always [`ENVELOPE_LEN`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope(Box<[u8; ENVELOPE_LEN]>);

impl Envelope {
    /// Reads an envelope; only its length and version are checked here.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, Rejected> {
        unimplemented!()
    }

    /// The bytes that travel.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; ENVELOPE_LEN] {
        &self.0
    }

    /// The public hint.
    #[must_use]
    pub fn hint(&self) -> crate::hint::Hint {
        unimplemented!()
    }
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Envelope(..)")
    }
}

/// The x-only secp256k1 public key of the one-time Nostr event around an envelope (NIP-01 `pubkey`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub [u8; 32]);

impl std::fmt::Debug for EventKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventKey(..)")
    }
}

/// What stands outside the envelope and is bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// The bucket tag of the event.
    pub bucket: u16,
    /// The key that signed the event.
    pub event_key: EventKey,
}
