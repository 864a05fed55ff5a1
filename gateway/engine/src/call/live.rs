//! What this moment looks like to the user of this machine: the calls with their numbers, and how old the phone book is. For the
//! user's own page only; whoever else watches an engine gets the numbers-only [`crate::Census`].

use std::fmt;

use ringfence_phonebook::Number;

use crate::call::{Call, Phase};
use crate::engine::Engine;
use crate::line::saved_state::Way;
use crate::output::CallLabel;
use crate::time::UnixTime;

/// A call that is not over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LiveCall {
    /// Its short name.
    pub label: CallLabel,
    /// The line that calls or is called.
    pub line: Number,
    /// The other number.
    pub number: Number,
    /// Who called.
    pub way: Way,
    /// How far it is.
    pub state: LiveState,
    /// When it was dialled, or rang.
    pub began: UnixTime,
    /// When sound could pass.
    pub answered: Option<UnixTime>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveState {
    /// A phone here has dialled, or the ring is out.
    Calling,
    /// The phones here ring.
    Ringing,
    /// Somebody picked up, and the two engines meet.
    Connecting,
    /// Sound may pass.
    Talking,
}

/// The copy of the phone book that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookAge {
    /// Its epoch, counted from 1.
    pub epoch: u32,
    /// When that was closed.
    pub closed: UnixTime,
    /// Seconds from one epoch to the next.
    pub period: u32,
}

impl Engine {
    /// The calls that are not over, in no order that means anything.
    #[must_use]
    pub fn live_calls(&self) -> Vec<LiveCall> {
        let calls = self.calls.values();
        calls.filter_map(|call| self.live(call)).collect()
    }

    /// The age of the phone book; `None` while there is none.
    #[must_use]
    pub fn book_age(&self) -> Option<BookAge> {
        let states = self.roots.newest()?.states();
        Some(BookAge {
            epoch: states.epoch,
            closed: UnixTime::from_seconds(states.closed),
            period: states.period,
        })
    }

    fn live(&self, call: &Call) -> Option<LiveCall> {
        let state = match call.phase {
            Phase::Dialling(_) | Phase::Calling(_) => LiveState::Calling,
            Phase::Ringing(_) => LiveState::Ringing,
            Phase::Answering(_) => LiveState::Connecting,
            Phase::Talking(_) => LiveState::Talking,
            Phase::Unheard(_) | Phase::Ending(_) | Phase::Over => return None,
        };
        let entry = call.common.entry?;
        Some(LiveCall {
            label: call.common.label,
            line: self.lines.get(call.common.line)?.number,
            number: entry.number,
            way: entry.way,
            state,
            began: entry.began,
            answered: entry.answered,
        })
    }
}

impl fmt::Debug for LiveCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveCall({} {:?})", self.label, self.state)
    }
}
