//! What the two sides of an answered call say to each other over the relay: confirm, hang-up.

use crate::envelope::{Envelope, Outside};
use crate::hint::Hint;
use crate::rejected::Rejected;
use rand_core::CryptoRng;

/// What a session envelope says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Say {
    /// The caller holds the key: the callee may open the microphone.
    Confirm,
    /// The call is over.
    HangUp,
}

/// The sealed channel of one answered call. Wiped when dropped.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Seals one message to the other side.
    pub fn seal(&mut self, _say: Say, _outside: &Outside, _rng: &mut impl CryptoRng) -> Envelope {
        unimplemented!()
    }

    /// Opens one message of the other side. The session is unchanged when it is refused.
    pub fn open(&mut self, _envelope: &Envelope, _outside: &Outside) -> Result<Say, Rejected> {
        unimplemented!()
    }

    /// The hints under which the next messages of the other side may come.
    #[must_use]
    pub fn expected_hints(&self) -> Vec<Hint> {
        unimplemented!()
    }

    /// Whether an envelope with this hint is for this session.
    #[must_use]
    pub fn expects(&self, _hint: &Hint) -> bool {
        unimplemented!()
    }
}
