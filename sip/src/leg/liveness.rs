//! Whether the phone of an established leg is still there: OPTIONS inside the dialog (RFC 3261 section 11), a stream that is
//! closed, and the phone's next flow.
//!
//! A closed stream ends no call, since the sound goes another way. What belonged to the stream's transactions is forgotten or made
//! again; how long the leg lasts without a flow is for the caller of the user agent to decide.

use std::time::Instant;

use super::context::LegContext;
use super::established::Established;
use super::line_phone::LinePhone;
use super::unacknowledged::UnacknowledgedOk;
use super::{Leg, ReceivedResponse};
use crate::event::Event;
use crate::flow::Flow;
use crate::message::Method;
use crate::transaction::TransactionId;

impl Leg {
    /// A stream is closed. An early dialog or a subscription ends with it, an established call does not.
    pub(crate) fn handle_flow_closed(
        self,
        flow: Flow,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        // Legs without a dialog learn of the closed stream by each unanswered request.
        let is_on_flow = self.flow() == Some(flow);
        match self {
            Self::FinalDelivery(leg) => leg.handle_flow_closed(flow, context, now),
            Self::Established(leg) if is_on_flow => leg.handle_flow_closed(context, now),
            Self::InboundInvite(leg) if is_on_flow => {
                context.dialogs.remove(&leg.dialog.id);
                context.emit(Event::Cancelled { leg: leg.id });
                None
            }
            Self::Subscription(subscription) if is_on_flow => subscription.lost(context),
            other => Some(other),
        }
    }

    /// A phone registered over a flow that is new.
    pub(crate) fn handle_registered(
        self,
        phone: &LinePhone,
        flow: Flow,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Established(mut leg) => {
                leg.handle_registered(phone, flow, context, now);
                Some(Self::Established(leg))
            }
            Self::FinalDelivery(leg) if leg.target().phone.may_be(phone) => {
                leg.handle_moved(flow, context, now)
            }
            other => Some(other),
        }
    }

    pub(crate) fn probe(mut self, context: &mut LegContext, now: Instant) -> Option<Self> {
        if let Self::Established(leg) = &mut self {
            leg.probe(context, now);
        }
        Some(self)
    }
}

impl Established {
    /// Asks by OPTIONS. While one is under way, none is added.
    pub(super) fn probe(&mut self, context: &mut LegContext, now: Instant) {
        if self.probe.is_some() || self.is_closing() {
            return;
        }
        self.probe = self.dialog.open_flow().and_then(|flow| {
            let options = context.request(&mut self.dialog, Method::Options);
            context
                .transactions
                .start(options, flow, Some(self.id), now)
        });
        if self.probe.is_none() {
            self.emit_probed(false, context);
        }
    }

    /// A response to our OPTIONS or INFO. 481 and 408 mean that the phone does not know the call (RFC 5057 section 5.1).
    pub(super) fn handle_liveness(
        mut self: Box<Self>,
        received: &ReceivedResponse<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if matches!(received.response.status, 408 | 481) {
            return self.lose_phone(context, now);
        }
        if self
            .probe
            .take_if(|probe| *probe == received.transaction)
            .is_some()
        {
            self.emit_probed(true, context);
        }
        if received.response.status >= 200 {
            self.digit_answered(received.transaction, context, now);
        }
        Some(Leg::Established(self))
    }

    pub(super) fn probe_unanswered(
        mut self: Box<Self>,
        transaction: TransactionId,
        context: &mut LegContext,
    ) -> Leg {
        if self.probe.take_if(|probe| *probe == transaction).is_some() {
            self.emit_probed(false, context);
        }
        self.digit_unanswered(Some(transaction));
        Leg::Established(self)
    }

    fn emit_probed(&self, alive: bool, context: &mut LegContext) {
        context.emit(Event::Probed {
            leg: self.id,
            alive,
        });
    }

    /// The stream of the dialog is closed, and its transactions with it.
    pub(super) fn handle_flow_closed(
        mut self: Box<Self>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        self.dialog.cut();
        if let Some(reason) = self.closing {
            // No ACK can arrive any more (section 15).
            context.bye(&mut self.dialog, &self.phone, reason, now);
            return self.close(context, now);
        }
        if let Some(pending) = self.pending.take() {
            self.queued.get_or_insert(pending.change);
        }
        self.remote_offer = None;
        self.digit_unanswered(None);
        self.forget_open_referral();
        // The ACK of the first 200 may still come over the next stream, and without it there is no call.
        if self.is_confirmed && self.unacknowledged.take().is_some() {
            UnacknowledgedOk::stop(self.id, &mut context.timers);
        }
        if self.probe.take().is_some() {
            self.emit_probed(false, context);
        }
        Some(Leg::Established(self))
    }

    /// Whether the phone of the leg is this one, and its registration another than the one that was known of it. Each is found
    /// once.
    pub(crate) fn registers_anew(&mut self, phone: &LinePhone) -> bool {
        if !self.phone.is(phone) || self.phone.registration == phone.registration {
            return false;
        }
        let known = std::mem::replace(&mut self.phone.registration, phone.registration.clone());
        known.is_some() && !self.is_closing()
    }

    /// The phone registered over a flow that is new. If its stream was closed, less is needed to recognise it.
    pub(super) fn handle_registered(
        &mut self,
        phone: &LinePhone,
        flow: Flow,
        context: &mut LegContext,
        now: Instant,
    ) {
        let is_cut = self.dialog.open_flow().is_none();
        if self.phone.is(phone) || (is_cut && self.phone.may_be(phone)) {
            self.dialog.move_to(flow);
            self.send_queued(context, now);
        }
    }
}
