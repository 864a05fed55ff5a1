//! A phone's new offer or refresh in an established leg: re-INVITE and UPDATE (RFC 3261 section 14.2, RFC 3311, RFC 4028
//! section 9).

use std::time::Instant;

use super::context::{LegContext, attach_sdp, dialog_response};
use super::established::Established;
use super::session_timer::SessionTimer;
use super::unacknowledged::UnacknowledgedOk;
use super::{InDialogRequest, Leg};
use crate::event::Event;
use crate::message::{Method, Name, Request, Response, is_sdp};
use crate::timers::T1;
use crate::transaction::TransactionId;

/// A phone's new offer without an answer.
#[derive(Debug)]
pub(super) struct Reoffer {
    pub(super) request: Request,
    pub(super) transaction: TransactionId,
    number: u32,
}

impl Established {
    /// A re-INVITE, or an UPDATE with a body.
    pub(super) fn handle_offer(
        &mut self,
        incoming: &InDialogRequest<'_>,
        context: &mut LegContext,
        now: Instant,
    ) {
        let request = incoming.request;
        let has_odd_body = !request.body.is_empty() && !is_sdp(&request.headers);
        if self.remote_offer.is_some() {
            // Section 14.2: a second offer before the response to the first.
            let mut response = Response::to(request, 500);
            response.headers.push(Name::RetryAfter, "1");
            context
                .transactions
                .respond(incoming.transaction, &response, now);
        } else if self.unacknowledged.is_some()
            || self.pending.as_ref().is_some_and(|it| it.is_offer())
        {
            context.respond(incoming.transaction, request, 491, now);
        } else if SessionTimer::requested(request).is_err() {
            context.respond(incoming.transaction, request, 422, now);
        } else if self.is_closing() || has_odd_body {
            context.respond(
                incoming.transaction,
                request,
                if has_odd_body { 415 } else { 481 },
                now,
            );
        } else {
            self.dialog.retarget(&request.headers);
            if request.method == Method::Invite {
                context.transactions.respond(
                    incoming.transaction,
                    &Response::to(request, 100),
                    now,
                );
            }
            let number = incoming.essentials.cseq.number;
            self.remote_offer = Some(Box::new(Reoffer {
                request: request.clone(),
                transaction: incoming.transaction,
                number,
            }));
            context.emit(Event::Reoffer {
                leg: self.id,
                sdp: request.body.clone(),
            });
        }
    }

    /// An UPDATE without a body only refreshes (RFC 3311 section 5.2).
    pub(super) fn refresh(
        &mut self,
        incoming: &InDialogRequest<'_>,
        context: &mut LegContext,
        now: Instant,
    ) {
        if SessionTimer::requested(incoming.request).is_err() {
            return context.respond(incoming.transaction, incoming.request, 422, now);
        }
        self.dialog.retarget(&incoming.request.headers);
        let mut response = dialog_response(incoming.request, 200, None, self.dialog.flow);
        self.agree(incoming.request, &mut response, context, now);
        context
            .transactions
            .respond(incoming.transaction, &response, now);
    }

    /// Writes the session timer that the phone asks for into our 2xx, and sets it.
    fn agree(
        &mut self,
        request: &Request,
        response: &mut Response,
        context: &mut LegContext,
        now: Instant,
    ) {
        let session = SessionTimer::requested(request).ok().flatten();
        if let Some(session) = session {
            session.write_answer(response);
        }
        self.set_session(session, context, now);
    }

    pub(super) fn answer(
        mut self: Box<Self>,
        sdp: Vec<u8>,
        context: &mut LegContext,
        now: Instant,
    ) -> Leg {
        if let Some(remote_offer) = self.remote_offer.take() {
            let mut response = dialog_response(&remote_offer.request, 200, None, self.dialog.flow);
            self.local_sdp.clone_from(&sdp);
            attach_sdp(&mut response, sdp);
            self.agree(&remote_offer.request, &mut response, context, now);
            if remote_offer.request.method == Method::Invite {
                let ok = UnacknowledgedOk {
                    transaction: remote_offer.transaction,
                    response,
                    number: remote_offer.number,
                    is_awaited: remote_offer.request.body.is_empty(),
                    pause: T1,
                };
                let ok = ok.start(self.id, &mut context.transactions, &mut context.timers, now);
                self.unacknowledged = Some(Box::new(ok));
            } else {
                context
                    .transactions
                    .respond(remote_offer.transaction, &response, now);
            }
        }
        self.send_queued(context, now);
        Leg::Established(self)
    }

    pub(super) fn refuse(
        mut self: Box<Self>,
        status: u16,
        context: &mut LegContext,
        now: Instant,
    ) -> Leg {
        if let Some(remote_offer) = self.remote_offer.take() {
            context.respond(
                remote_offer.transaction,
                &remote_offer.request,
                status.clamp(300, 699),
                now,
            );
        }
        self.send_queued(context, now);
        Leg::Established(self)
    }
}
