//! How many calls are in which state, for whoever watches an engine. Numbers only.

use super::Phase;
use super::calls::Calls;

/// Calls by state, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
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
    /// Sound may pass.
    pub talking: usize,
    /// Hung up here; the other side is being told.
    pub ending: usize,
}

impl Calls {
    /// How many calls are in which state.
    pub(crate) fn counts(&self) -> Census {
        let mut census = Census::default();
        for call in self.calls.values() {
            let count = match &call.phase {
                Phase::Dialling(_) => &mut census.dialling,
                Phase::Calling(_) => &mut census.calling,
                Phase::Ringing(_) => &mut census.ringing,
                Phase::Unheard(_) => &mut census.unheard,
                Phase::Answering(_) => &mut census.answering,
                Phase::Talking(_) => &mut census.talking,
                Phase::Ending(_) => &mut census.ending,
                Phase::Over => continue,
            };
            *count += 1;
        }
        census
    }
}
