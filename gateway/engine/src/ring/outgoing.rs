//! The caller's half of a ring: seal it, take it back, open the answer.

use rand_core::CryptoRng;

use super::{Answer, CancelReason, RingId, SealError};
use crate::date::UnixTime;
use crate::directory::CalleeKeys;
use crate::envelope::{Envelope, Outside};
use crate::hint::Hint;
use crate::identity::Identity;
use crate::nouns::{Binding, Number};
use crate::rejected::Rejected;
use crate::session::Session;

/// Who rings: own keys, own number and the phone book's word for it.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Own keys.
    pub identity: &'a Identity,
    /// Own number.
    pub number: Number,
    /// The phone book's signature over number and identity; stapled so that the callee asks nobody.
    pub binding: &'a Binding,
}

/// A ring that was sealed and may be answered. Its secrets are wiped when it is dropped.
#[derive(Debug)]
pub struct OutgoingRing {}

impl OutgoingRing {
    /// Seals a ring.
    pub fn seal(
        _caller: Caller<'_>,
        _callee: &CalleeKeys,
        _media: &[u8],
        _outside: &Outside,
        _now: UnixTime,
        _rng: &mut impl CryptoRng,
    ) -> Result<(Self, Envelope), SealError> {
        unimplemented!()
    }

    /// The hint that the answer will carry.
    #[must_use]
    pub fn answer_hint(&self) -> Hint {
        unimplemented!()
    }

    /// The same name that the callee's engine computes for this ring.
    #[must_use]
    pub fn id(&self) -> RingId {
        unimplemented!()
    }

    /// Opens the answer. May be tried again after a refusal: a forged answer spoils nothing.
    pub fn open_answer(
        &self,
        _envelope: &Envelope,
        _outside: &Outside,
    ) -> Result<(Answer, Session), Rejected> {
        unimplemented!()
    }

    /// Seals the withdrawal of this ring, for the same callee key.
    pub fn seal_cancel(
        &self,
        _reason: CancelReason,
        _outside: &Outside,
        _now: UnixTime,
        _rng: &mut impl CryptoRng,
    ) -> Result<Envelope, SealError> {
        unimplemented!()
    }
}
