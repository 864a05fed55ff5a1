//! A phone's INVITE without a final response (RFC 3261 section 13.3). Its 180 is sent reliably if the phone requires that (RFC
//! 3262).

use std::time::Instant;

use super::context::{LegContext, attach_sdp, dialog_response};
use super::established::Established;
use super::line_phone::LinePhone;
use super::provisional::ReliableProvisional;
use super::session_timer::SessionTimer;
use super::unacknowledged::UnacknowledgedOk;
use super::{InDialogRequest, Leg};
use crate::dialog::Dialog;
use crate::event::{Event, LegId, Refusal};
use crate::message::{Method, Name, Request, Response, quote};
use crate::timers::{RING_LIMIT, T1, Timer};
use crate::transaction::TransactionId;

#[derive(Debug)]
pub(crate) struct InboundInvite {
    pub(super) id: LegId,
    phone: LinePhone,
    invite: Request,
    transaction: TransactionId,
    pub(super) dialog: Dialog,
    session: Option<SessionTimer>,
    /// Our 180, if it was sent reliably.
    reliable: Option<ReliableProvisional>,
}

/// A phone's INVITE that passed all checks.
pub(crate) struct ReceivedInvite {
    pub(crate) phone: LinePhone,
    pub(crate) invite: Request,
    pub(crate) transaction: TransactionId,
    pub(crate) dialog: Dialog,
    pub(crate) session: Option<SessionTimer>,
}

impl InboundInvite {
    /// Accepts the INVITE into a leg and sends 100 at once, which stops retransmissions.
    pub(crate) fn new(
        id: LegId,
        call: ReceivedInvite,
        context: &mut LegContext,
        now: Instant,
    ) -> Self {
        let ReceivedInvite {
            phone,
            invite,
            transaction,
            dialog,
            session,
        } = call;
        context.transactions.set_owner(transaction, id);
        context
            .transactions
            .respond(transaction, &Response::to(&invite, 100), now);
        context.dialogs.insert(dialog.id.clone(), id);
        context.timers.set(id, Timer::RingLimit, now + RING_LIMIT);
        Self {
            id,
            phone,
            invite,
            transaction,
            dialog,
            session,
            reliable: None,
        }
    }

    /// Whether a request is the same INVITE by another path (section 8.2.2.2).
    pub(crate) fn is_merged(&self, dialog: &Dialog, number: u32) -> bool {
        let id = &self.dialog.id;
        let is_same_call = id.call_id == dialog.id.call_id && id.remote_tag == dialog.id.remote_tag;
        is_same_call
            && self
                .invite
                .headers
                .cseq()
                .is_some_and(|cseq| cseq.number == number)
    }

    pub(crate) fn allows_info(&self) -> bool {
        self.invite.headers.lists(&Name::Allow, "INFO")
    }

    pub(crate) const fn phone(&self) -> &LinePhone {
        &self.phone
    }

    /// Sends 180, reliably and once if the phone requires that. A reliable 180 to an INVITE without an offer would have to carry
    /// ours (RFC 3262 section 5), so it is not sent.
    pub(crate) fn ring(&mut self, context: &mut LegContext, now: Instant) {
        let response = self.response(180);
        if !self.invite.headers.lists(&Name::Require, "100rel") {
            return context
                .transactions
                .respond(self.transaction, &response, now);
        }
        if self.reliable.is_none() && !self.invite.body.is_empty() {
            let number = self.number();
            let of = (self.id, self.transaction);
            self.reliable = Some(ReliableProvisional::start(
                response, number, of, context, now,
            ));
        }
    }

    fn number(&self) -> u32 {
        self.invite.headers.cseq().map_or(0, |cseq| cseq.number)
    }

    pub(crate) fn answer(
        self: Box<Self>,
        sdp: Vec<u8>,
        context: &mut LegContext,
        now: Instant,
    ) -> Leg {
        let mut response = self.response(200);
        attach_sdp(&mut response, sdp);
        if let Some(session) = self.session {
            session.write_answer(&mut response);
        }
        context.timers.clear_all(self.id);
        let ok = UnacknowledgedOk {
            transaction: self.transaction,
            response,
            number: self.number(),
            is_awaited: true,
            pause: T1,
        };
        let mut established =
            Established::answered((self.id, self.phone), self.dialog, ok, context, now);
        established.learn(&self.invite.headers);
        established.keep_provisional(self.reliable);
        established.set_session(self.session, context, now);
        Leg::Established(Box::new(established))
    }

    pub(crate) fn refuse(
        self: Box<Self>,
        status: u16,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let response = self.response(status.clamp(300, 699));
        self.close(&response, context, now)
    }

    /// Refuses with words for the display. Phones show the reason phrase, or the Warning, or both.
    pub(crate) fn refuse_with(
        self: Box<Self>,
        Refusal { status, text }: Refusal,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        let mut response = self.response(status.clamp(300, 699));
        response.reason = text.into();
        let warning = format!("399 ringfence {}", quote(text));
        response.headers.push(Name::Warning, warning);
        self.close(&response, context, now)
    }

    /// The refusal that is written ahead, in case that this process dies.
    pub(super) fn last_refusal(&self) -> Response {
        self.response(503)
    }

    pub(crate) fn handle_cancel(
        self: Box<Self>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        context.emit(Event::Cancelled { leg: self.id });
        self.refuse(487, context, now)
    }

    pub(crate) fn handle_timer(
        mut self: Box<Self>,
        timer: Timer,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        if let (Some(reliable), Timer::ProvisionalRetransmission) = (&mut self.reliable, timer) {
            reliable.repeat((self.id, self.transaction), context, now);
            return Some(Leg::InboundInvite(self));
        }
        context.emit(Event::Cancelled { leg: self.id });
        self.refuse(
            if timer == Timer::NoPrack { 504 } else { 480 },
            context,
            now,
        )
    }

    pub(crate) fn handle_request(
        mut self: Box<Self>,
        incoming: &InDialogRequest<'_>,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        match incoming.request.method {
            // Section 15: a caller may end an early dialog by BYE.
            Method::Bye => {
                incoming.respond(200, context, now);
                return self.handle_cancel(context, now);
            }
            Method::Invite => {
                let mut response = Response::to(incoming.request, 500);
                response.headers.push(Name::RetryAfter, "5");
                context
                    .transactions
                    .respond(incoming.transaction, &response, now);
            }
            Method::Options => incoming.respond(200, context, now),
            Method::Update if incoming.request.body.is_empty() => {
                incoming.respond(200, context, now)
            }
            Method::Update => incoming.respond(491, context, now),
            Method::Prack => {
                let pending = self.reliable.as_mut();
                ReliableProvisional::handle_prack(pending, incoming, self.id, context, now);
            }
            _ => incoming.respond(405, context, now),
        }
        Some(Leg::InboundInvite(self))
    }

    fn close(
        self: Box<Self>,
        response: &Response,
        context: &mut LegContext,
        now: Instant,
    ) -> Option<Leg> {
        context
            .transactions
            .respond(self.transaction, response, now);
        context.dialogs.remove(&self.dialog.id);
        None
    }

    fn response(&self, status: u16) -> Response {
        let flow = self.dialog.flow;
        dialog_response(&self.invite, status, Some(&self.dialog.id.local_tag), flow)
    }
}
