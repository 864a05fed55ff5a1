//! The callee's half: try the keys, verify everything, and only then let a ring exist.

use std::time::Instant;

use rand_core::CryptoRng;

use super::{CancelReason, RingId, SealError};
use crate::date::UnixTime;
use crate::envelope::{Envelope, Outside};
use crate::identity::{Identity, IdentityKey};
use crate::nouns::Number;
use crate::rejected::Rejected;
use crate::seen::Seen;
use crate::session::Session;

/// One line that may be rung: its keys and the key of the phone book that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'a> {
    /// Own keys.
    pub identity: &'a Identity,
    /// Ed25519 key of the phone book whose bindings count on this line.
    pub book_key: &'a [u8; 32],
}

/// The moment of arrival on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Wall time, compared with the time inside the ring.
    pub wall: UnixTime,
    /// Monotonic time, for the replay memory.
    pub now: Instant,
}

/// What an envelope turned out to be, and for which of the listeners (index into the slice).
#[derive(Debug)]
pub enum Opened {
    /// Somebody rings.
    Ring {
        /// Index of the listener.
        line: usize,
        /// The proof.
        ring: Box<VerifiedRing>,
    },
    /// A caller takes a ring back. It may come before the ring: the replay memory then refuses the ring.
    Cancel {
        /// Index of the listener.
        line: usize,
        /// The ring that is over.
        id: RingId,
        /// Why.
        reason: CancelReason,
    },
}

/// Tries every listener's keys on an envelope and verifies what opens.
pub fn open(
    _listeners: &[Listener<'_>],
    _envelope: &Envelope,
    _outside: &Outside,
    _seen: &mut Seen,
    _arrival: Arrival,
) -> Result<Opened, Rejected> {
    unimplemented!()
}

/// A ring of which everything was checked. Only [`open`] makes one.
#[derive(Debug)]
pub struct VerifiedRing {}

impl VerifiedRing {
    /// Name of this ring, to match a cancel.
    #[must_use]
    pub fn id(&self) -> RingId {
        unimplemented!()
    }

    /// The caller's number, as the phone book signed it.
    #[must_use]
    pub fn caller_number(&self) -> Number {
        unimplemented!()
    }

    /// The caller's identity.
    #[must_use]
    pub fn caller(&self) -> IdentityKey {
        unimplemented!()
    }

    /// The caller's encoded media description.
    #[must_use]
    pub fn media(&self) -> &[u8] {
        unimplemented!()
    }

    /// Seals the answer; nothing may be sealed for a ring that no person answered.
    pub fn answer(
        self,
        _media: &[u8],
        _outside: &Outside,
        _rng: &mut impl CryptoRng,
    ) -> Result<(Session, Envelope), SealError> {
        unimplemented!()
    }
}
