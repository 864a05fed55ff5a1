//! The calls that are not over, as the user of this machine and the phones that subscribed see them. A monitor of the engine gets the
//! numbers-only [`crate::CallCounts`].

use std::collections::BTreeMap;
use std::fmt;

use ringfence_book::Number;

use super::calls::Calls;
use super::{Call, CallState};
use crate::line::saved_state::CallWay;
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
    pub way: CallWay,
    /// How far it is.
    pub state: LiveState,
    /// When it was dialled, or rang.
    pub began: UnixTime,
    /// When audio could pass.
    pub answered: Option<UnixTime>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveState {
    /// A phone here has dialled, or the ring is posted.
    Calling,
    /// The phones here ring.
    Ringing,
    /// A person picked up, and the two engines connect.
    Connecting,
    /// Audio may pass.
    Talking,
}

/// A call as a subscription to dialogs shows it (RFC 4235).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ShownDialog {
    pub(crate) state: &'static str,
    pub(crate) way: CallWay,
    pub(crate) remote: Option<Number>,
}

impl Calls {
    /// The calls that are not over, in no order that means anything.
    pub(crate) fn live(&self) -> Vec<LiveCall> {
        self.calls.values().filter_map(live).collect()
    }

    /// The calls of a line for a subscription; the other number only for phones of the line itself.
    pub(crate) fn dialogs(&self, line: usize, is_own: bool) -> BTreeMap<CallLabel, ShownDialog> {
        let calls = self.calls.iter();
        let on_line = calls.filter(|(_, call)| call.common.line == line);
        on_line
            .filter_map(|(label, call)| Some((*label, dialog(call, is_own)?)))
            .collect()
    }

    /// Whether a person of the line has picked up.
    pub(crate) fn is_on_the_phone(&self, line: usize) -> bool {
        self.calls.values().any(|call| {
            let is_on = matches!(call.phase, CallState::Answering(_) | CallState::Talking(_));
            is_on && call.common.line == line
        })
    }
}

fn live(call: &Call) -> Option<LiveCall> {
    let state = match call.phase {
        CallState::Dialling(_) | CallState::Calling(_) => LiveState::Calling,
        CallState::Ringing(_) => LiveState::Ringing,
        CallState::Answering(_) => LiveState::Connecting,
        CallState::Talking(_) => LiveState::Talking,
        CallState::Unheard(_)
        | CallState::Withdrawn(_)
        | CallState::Ending(_)
        | CallState::Over => return None,
    };
    let record = call.common.record?;
    Some(LiveCall {
        label: call.common.label,
        line: call.common.number,
        number: record.number,
        way: record.way,
        state,
        began: record.began,
        answered: record.answered.map(|(wall, _)| wall),
    })
}

/// What is shown of a call; nothing of one that rings nowhere or is over.
fn dialog(call: &Call, is_own: bool) -> Option<ShownDialog> {
    let state = match call.phase {
        CallState::Dialling(_) => "trying",
        CallState::Calling(_) | CallState::Ringing(_) => "early",
        CallState::Answering(_) | CallState::Talking(_) => "confirmed",
        CallState::Unheard(_)
        | CallState::Withdrawn(_)
        | CallState::Ending(_)
        | CallState::Over => return None,
    };
    let record = call.common.record?;
    Some(ShownDialog {
        state,
        way: record.way,
        remote: is_own.then_some(record.number),
    })
}

impl fmt::Debug for LiveCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveCall({} {:?})", self.label, self.state)
    }
}
