//! Legs: one call between us and the phone or phones of a line, or another exchange that lasts longer than one transaction.
//!
//! ```text
//! a phone calls us:   InboundInvite --answer--> Established --BYE, hang_up, no ACK--> ended
//! we call phones:     OutboundInvite --first 2xx--> Established
//!                       \--cancelled, or another phone answered--> Cancelling --last response--> ended
//! ```
//! Exchanges that are no calls: texts (`InboundText`, `OutboundText`), a `Subscription`, an `UnsolicitedNotify`, a `ContactCheck`;
//! and a `FinalDelivery`, the BYE of a call that has ended.
//!
//! Each state is a struct in a file of its own. A step takes the state and returns the next one, or `None` when the leg has
//! ended. The files of this folder import each other in a circle, since each state names its successors and [`Leg`] is the
//! enum of all of them. Which legs belong to one call is not known here.

pub(crate) mod cancelling;
pub(crate) mod contact_check;
pub(crate) mod context;
pub(crate) mod digit;
pub(crate) mod established;
pub(crate) mod final_delivery;
pub(crate) mod inbound_invite;
pub(crate) mod line_phone;
mod liveness;
mod local_offer;
pub(crate) mod outbound_invite;
mod provisional;
mod referral;
mod remote_offer;
pub(crate) mod session_timer;
pub(crate) mod subscription;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod unacknowledged;
pub(crate) mod unsolicited;
mod written_ahead;

use std::time::Instant;

use crate::dialog::Dialog;
use crate::event::HangUp;
use crate::flow::Flow;
use crate::message::{Essentials, Request, Response};
use crate::timers::Timer;
use crate::transaction::TransactionId;
use cancelling::Cancelling;
use contact_check::ContactCheck;
use context::LegContext;
use digit::Digit;
use established::Established;
use final_delivery::FinalDelivery;
use inbound_invite::InboundInvite;
use line_phone::LinePhone;
use outbound_invite::OutboundInvite;
use subscription::Subscription;
use text::{InboundText, OutboundText};
use unsolicited::UnsolicitedNotify;

/// A leg in one of its states.
#[derive(Debug)]
pub(crate) enum Leg {
    /// A phone's INVITE without a final response.
    InboundInvite(Box<InboundInvite>),
    /// Our INVITEs to the phones of a line.
    OutboundInvite(OutboundInvite),
    /// A confirmed dialog with one phone.
    Established(Box<Established>),
    /// Cancelled INVITEs without a final response, unknown to the caller of the user agent.
    Cancelling(Cancelling),
    /// A phone's MESSAGE without a response.
    InboundText(InboundText),
    /// Our MESSAGEs to the phones of a line.
    OutboundText(OutboundText),
    /// A phone's subscription.
    Subscription(Box<Subscription>),
    /// Our NOTIFYs to phones without a subscription.
    UnsolicitedNotify(UnsolicitedNotify),
    /// An OPTIONS to a registered phone that may be gone.
    ContactCheck(ContactCheck),
    /// The last message of a call, which its phone does not have yet.
    FinalDelivery(Box<FinalDelivery>),
}

/// A phone's valid request inside a dialog, with its server transaction.
pub(crate) struct InDialogRequest<'a> {
    pub(crate) request: &'a Request,
    pub(crate) essentials: &'a Essentials,
    pub(crate) flow: Flow,
    pub(crate) transaction: TransactionId,
}

/// A phone's response to a request of the leg.
pub(crate) struct ReceivedResponse<'a> {
    pub(crate) response: &'a Response,
    pub(crate) essentials: &'a Essentials,
    pub(crate) transaction: TransactionId,
}

impl InDialogRequest<'_> {
    /// Responds without a body.
    pub(crate) fn respond(&self, status: u16, context: &mut LegContext, now: Instant) {
        context.respond(self.transaction, self.request, status, now);
    }
}

impl Leg {
    /// A request inside the dialog of the leg. One that is older than the last one is refused (section 12.2.2).
    pub(crate) fn handle_request(
        mut self,
        incoming: &InDialogRequest<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        let had_flow = self.dialog().and_then(Dialog::open_flow).is_some();
        let is_newer = self
            .dialog_mut()
            .map(|dialog| dialog.advance(incoming.essentials, incoming.flow));
        if is_newer != Some(true) {
            let status = if is_newer.is_none() { 481 } else { 500 };
            incoming.respond(status, context, now);
            return Some(self);
        }
        match self {
            Self::InboundInvite(leg) => leg.handle_request(incoming, context, now),
            Self::Established(leg) if had_flow => leg.handle_request(incoming, context, now),
            Self::Established(leg) => {
                let mut leg = leg.handle_request(incoming, context, now)?;
                if let Self::Established(leg) = &mut leg {
                    leg.send_queued(context, now);
                }
                Some(leg)
            }
            Self::Subscription(subscription) => subscription.handle_request(incoming, context, now),
            other => Some(other),
        }
    }

    /// The dialog with the one phone, early or confirmed.
    const fn dialog(&self) -> Option<&Dialog> {
        match self {
            Self::InboundInvite(leg) => Some(&leg.dialog),
            Self::Established(leg) => Some(&leg.dialog),
            Self::Subscription(subscription) => Some(&subscription.dialog),
            _ => None,
        }
    }

    const fn dialog_mut(&mut self) -> Option<&mut Dialog> {
        match self {
            Self::InboundInvite(leg) => Some(&mut leg.dialog),
            Self::Established(leg) => Some(&mut leg.dialog),
            Self::Subscription(subscription) => Some(&mut subscription.dialog),
            _ => None,
        }
    }

    /// The flow of the one phone.
    pub(crate) fn flow(&self) -> Option<Flow> {
        self.dialog().map(|dialog| dialog.flow)
    }

    /// Whether the Allow header of the one phone lists INFO.
    pub(crate) fn allows_info(&self) -> bool {
        match self {
            Self::InboundInvite(leg) => leg.allows_info(),
            Self::Established(leg) => leg.allows_info(),
            _ => false,
        }
    }

    /// The one phone of a call.
    pub(crate) fn phone(&self) -> Option<&LinePhone> {
        match self {
            Self::InboundInvite(leg) => Some(leg.phone()),
            Self::Established(leg) => Some(leg.phone()),
            _ => None,
        }
    }

    /// An ACK outside any INVITE transaction: for a 2xx.
    pub(crate) fn handle_ack(
        self,
        (request, essentials): (&Request, &Essentials),
        flow: Flow,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Established(leg) => leg.handle_ack((request, essentials), flow, context, now),
            other => Some(other),
        }
    }

    pub(crate) fn handle_response(
        self,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        let (transaction, status) = (received.transaction, received.response.status);
        let is_final = status >= 200;
        match self {
            Self::OutboundInvite(leg) => leg.handle_response(received, context, now),
            Self::Cancelling(leg) => leg.handle_response(received, context, now),
            Self::Established(leg) => leg.handle_response(received, context, now),
            Self::OutboundText(text) if is_final => text.handle_final(transaction, status, context),
            Self::Subscription(subscription) => {
                subscription.handle_response(received, context, now)
            }
            Self::UnsolicitedNotify(notify) if is_final => {
                notify.handle_final(transaction, status, context)
            }
            Self::ContactCheck(check) => check.end(true, context),
            Self::FinalDelivery(leg) => leg.handle_response(received, context, now),
            other => Some(other),
        }
    }

    /// A request of the leg got no final response.
    pub(crate) fn handle_unanswered(
        self,
        transaction: TransactionId,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::OutboundInvite(leg) => leg.handle_unanswered(transaction, context, now),
            Self::Cancelling(leg) => leg.handle_unanswered(transaction, context),
            Self::Established(leg) => leg.handle_unanswered(transaction, context, now),
            Self::OutboundText(text) => text.handle_final(transaction, 408, context),
            Self::Subscription(subscription) => {
                subscription.handle_unanswered(transaction, context)
            }
            Self::UnsolicitedNotify(notify) => notify.handle_final(transaction, 408, context),
            Self::ContactCheck(check) => check.end(false, context),
            Self::FinalDelivery(leg) => leg.handle_unanswered(transaction),
            other => Some(other),
        }
    }

    pub(crate) fn handle_timer(
        self,
        timer: Timer,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Established(leg) => leg.handle_timer(timer, context, now),
            Self::OutboundInvite(leg) => leg.handle_ring_limit(context, now),
            Self::Cancelling(leg) => leg.handle_timer(context),
            Self::InboundInvite(leg) => leg.handle_timer(timer, context, now),
            Self::InboundText(text) => text.answer(480, context, now),
            Self::FinalDelivery(leg) => leg.handle_timer(timer, context, now),
            waiting @ (Self::OutboundText(_)
            | Self::UnsolicitedNotify(_)
            | Self::ContactCheck(_)) => Some(waiting),
            Self::Subscription(subscription) => subscription.handle_timer(timer, context, now),
        }
    }

    pub(crate) fn handle_cancel(self, context: &mut LegContext, now: Instant) -> Option<Self> {
        match self {
            Self::InboundInvite(leg) => leg.handle_cancel(context, now),
            // Section 9.2: no effect after the final response.
            other => Some(other),
        }
    }

    pub(crate) fn ring(mut self, context: &mut LegContext, now: Instant) -> Option<Self> {
        if let Self::InboundInvite(leg) = &mut self {
            leg.ring(context, now);
        }
        Some(self)
    }

    pub(crate) fn answer(
        self,
        sdp: Vec<u8>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::InboundInvite(leg) => Some(leg.answer(sdp, context, now)),
            Self::Established(leg) => Some(leg.answer(sdp, context, now)),
            other => Some(other),
        }
    }

    pub(crate) fn refuse(
        self,
        status: u16,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::InboundInvite(leg) => leg.refuse(status, context, now),
            Self::Established(leg) => Some(leg.refuse(status, context, now)),
            other => Some(other),
        }
    }

    pub(crate) fn hang_up(
        self,
        reason: HangUp,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::InboundInvite(leg) => match reason {
                HangUp::Normal | HangUp::NoSound => leg.refuse(480, context, now),
                HangUp::AnsweredElsewhere => leg.refuse(487, context, now),
            },
            Self::OutboundInvite(leg) => leg.hang_up(reason, context, now),
            Self::Established(leg) => leg.hang_up(reason, context, now),
            other => Some(other),
        }
    }

    pub(crate) fn offer(
        self,
        sdp: Vec<u8>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Established(leg) => Some(leg.offer(sdp, context, now)),
            other => Some(other),
        }
    }

    pub(crate) fn send_digit(
        mut self,
        digit: Digit,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        if let Self::Established(leg) = &mut self {
            leg.send_digit(digit, context, now);
        }
        Some(self)
    }

    pub(crate) fn notify_transfer(
        mut self,
        status: u16,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        if let Self::Established(leg) = &mut self {
            leg.notify_transfer(status, context, now);
        }
        Some(self)
    }

    /// Whether the leg counts as a call.
    pub(crate) const fn is_call(&self) -> bool {
        !matches!(
            self,
            Self::InboundText(_)
                | Self::OutboundText(_)
                | Self::Subscription(_)
                | Self::UnsolicitedNotify(_)
                | Self::ContactCheck(_)
                | Self::FinalDelivery(_)
        )
    }
}
