//! Callee, after a ring that no phone took: its caller still waits, and does not know. If
//! a person of the line dials that caller meanwhile, the two are connected at once; otherwise
//! both would wait for each other, because the caller holds on to its own ring.

use ringfence_book::IdentityKey;

use super::{CallInput, CallState};
use crate::sealed::ring::RingId;
use crate::sealed::ring::incoming::VerifiedRing;

/// A ring that sounds nowhere. It is kept as long as it would have sounded.
#[derive(Debug)]
pub(crate) struct Unheard {
    ring: Box<VerifiedRing>,
}

impl Unheard {
    pub(super) fn new(ring: VerifiedRing) -> Self {
        Self {
            ring: Box::new(ring),
        }
    }

    /// Which ring this is, to match a withdrawal.
    pub(crate) fn id(&self) -> RingId {
        self.ring.id()
    }

    /// Who rang.
    pub(crate) fn caller(&self) -> IdentityKey {
        self.ring.caller()
    }

    /// Gives the ring to the call that answers it by dialling back.
    pub(super) fn hand_over(self) -> Box<VerifiedRing> {
        self.ring
    }

    pub(super) fn handle(self, input: &CallInput<'_>) -> CallState {
        match input {
            CallInput::Cancelled | CallInput::Timeout | CallInput::ShutDown => CallState::Over,
            _ => CallState::Unheard(self),
        }
    }
}
