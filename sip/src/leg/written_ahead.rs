//! The messages that end a leg if this process dies, written ahead (RFC 3261 sections 9.1, 13.3.1.4 and 15): the next process has
//! no dialog and no transaction, and needs none to send them.

use std::mem::{Discriminant, discriminant};

use super::Leg;
use super::inbound_invite::InboundInvite;
use super::line_phone::LinePhone;
use super::outbound_invite::Branch;
use super::target::RequestTarget;
use crate::dialog::Dialog;
use crate::event::HangUp;
use crate::message::Name;
use crate::random::Random;
use crate::restart::FinalMessage;

/// Why a call ends after a restart (RFC 3326, ITU-T Q.850: temporary failure).
const RESTARTED: &str = "Q.850;cause=41;text=\"Restarted\"";

impl Leg {
    /// The messages, in the order in which they are to be sent.
    pub(crate) fn final_messages(&self, random: &Random) -> Vec<FinalMessage> {
        match self {
            Self::Established(leg) => vec![bye(leg.phone(), &leg.dialog, random)],
            Self::InboundInvite(leg) => refusal_and_bye(leg, random),
            Self::OutboundInvite(leg) => leg
                .open_branches()
                .flat_map(|branch| cancel_and_bye(branch, random))
                .collect(),
            Self::Cancelling(leg) => leg.final_messages().collect(),
            Self::FinalDelivery(leg) => leg.final_message().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Is another value whenever those messages are others. `None` if there are none.
    pub(crate) fn revision(&self) -> Option<(Discriminant<Self>, usize)> {
        let count = match self {
            Self::Established(leg) => leg.dialog.revision(),
            Self::InboundInvite(leg) => leg.dialog.revision(),
            Self::OutboundInvite(leg) => leg.steps_left(),
            Self::Cancelling(leg) => leg.len(),
            Self::FinalDelivery(leg) => usize::from(leg.is_over()),
            _ => return None,
        };
        Some((discriminant(self), count))
    }

    /// Whether it is a last message whose phone has no stream.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::FinalDelivery(leg) if leg.is_waiting())
    }

    /// Whether the phone of a call still has to be told something.
    pub(crate) fn is_open_call(&self) -> bool {
        let is_in_flight = matches!(self, Self::FinalDelivery(leg) if leg.is_in_flight());
        self.is_call() || is_in_flight
    }
}

fn bye(phone: &LinePhone, dialog: &Dialog, random: &Random) -> FinalMessage {
    let id = &dialog.id;
    let branch = random.branch_for(&[id.call_id.as_bytes(), id.local_tag.as_bytes()]);
    let mut bye = dialog.last_bye(&branch);
    bye.headers.push(Name::Reason, RESTARTED);
    let target = RequestTarget {
        phone: phone.clone(),
        flow: dialog.flow,
    };
    FinalMessage::new(&target, bye.to_bytes())
}

/// Behind the CANCEL goes a BYE, in case that the phone answered after this was written and has our ACK: then it ignores the CANCEL.
fn cancel_and_bye(branch: &Branch, random: &Random) -> impl Iterator<Item = FinalMessage> {
    let dialog = branch.early.dialog();
    let bye = dialog.map(|dialog| bye(&branch.target.phone, dialog, random));
    std::iter::once(branch.final_message(HangUp::Normal)).chain(bye)
}

/// Behind the refusal goes a BYE, in case that the call was answered after this was written: a phone that has the refusal first
/// responds 481 to it.
fn refusal_and_bye(leg: &InboundInvite, random: &Random) -> Vec<FinalMessage> {
    let target = RequestTarget {
        phone: leg.phone().clone(),
        flow: leg.dialog.flow,
    };
    let refusal = FinalMessage::new(&target, leg.last_refusal().to_bytes());
    vec![refusal, bye(leg.phone(), &leg.dialog, random)]
}
