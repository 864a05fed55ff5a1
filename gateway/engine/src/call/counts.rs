//! How many calls are in which state, for monitors. Numbers only.

use super::CallState;
use super::calls::Calls;

/// Calls by state, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// A phone here has dialled; the ring is not out yet.
    pub dialling: usize,
    /// The ring is out.
    pub calling: usize,
    /// The phones here ring.
    pub ringing: usize,
    /// No phone here took the ring, and its caller still waits.
    pub unheard: usize,
    /// A person here picked up; the caller's confirmation is awaited.
    pub answering: usize,
    /// Audio may pass.
    pub talking: usize,
    /// Hung up here; the other side is being told.
    pub ending: usize,
}

impl Calls {
    /// How many calls are in which state.
    pub(crate) fn counts(&self) -> CallCounts {
        let mut counts = CallCounts::default();
        for call in self.calls.values() {
            let count = match &call.phase {
                CallState::Dialling(_) => &mut counts.dialling,
                CallState::Calling(_) => &mut counts.calling,
                CallState::Ringing(_) => &mut counts.ringing,
                CallState::Unheard(_) => &mut counts.unheard,
                CallState::Answering(_) => &mut counts.answering,
                CallState::Talking(_) => &mut counts.talking,
                CallState::Withdrawn(_) | CallState::Ending(_) => &mut counts.ending,
                CallState::Over => continue,
            };
            *count += 1;
        }
        counts
    }
}
