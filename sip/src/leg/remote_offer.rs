//! What a phone offers anew in a talking leg, or only refreshes: re-INVITE and UPDATE (RFC 3261 section 14.2, RFC 3311,
//! RFC 4028 section 9).

use std::time::Instant;

use super::context::{Board, attach_sdp, dialog_response, is_sdp};
use super::established::Talking;
use super::local_offer::Ours;
use super::session_timer::Session;
use super::unacknowledged::Unconfirmed;
use super::{Asked, Leg};
use crate::event::Event;
use crate::message::{Method, Name, Request, Response};
use crate::timers::T1;
use crate::transaction::TransactionId;

/// A phone's new offer that the engine has not answered.
#[derive(Debug)]
pub(super) struct Reoffer {
    pub(super) request: Request,
    pub(super) transaction: TransactionId,
    number: u32,
}

impl Talking {
    /// A re-INVITE, or an UPDATE with a body.
    pub(super) fn handle_offer(&mut self, asked: &Asked<'_>, board: &mut Board, now: Instant) {
        let request = asked.request;
        let has_odd_body = !request.body.is_empty() && !is_sdp(request);
        if self.reoffer.is_some() {
            // Section 14.2: a second offer before the answer to the first.
            let mut response = Response::to(request, 500);
            response.headers.push(Name::RetryAfter, "1");
            board
                .transactions
                .respond(asked.transaction, &response, now);
        } else if self.unconfirmed.is_some() || self.ours.as_ref().is_some_and(Ours::is_offer) {
            board.respond(asked.transaction, request, 491, now);
        } else if Session::asked(request).is_err() {
            board.respond(asked.transaction, request, 422, now);
        } else if self.is_closing || has_odd_body {
            board.respond(
                asked.transaction,
                request,
                if has_odd_body { 415 } else { 481 },
                now,
            );
        } else {
            self.dialog.retarget(&request.headers);
            if request.method == Method::Invite {
                board
                    .transactions
                    .respond(asked.transaction, &Response::to(request, 100), now);
            }
            let number = asked.essentials.cseq.number;
            self.reoffer = Some(Reoffer {
                request: request.clone(),
                transaction: asked.transaction,
                number,
            });
            board.tell(Event::Reoffer {
                leg: self.id,
                sdp: request.body.clone(),
            });
        }
    }

    /// An UPDATE without a body only refreshes (RFC 3311 section 5.2).
    pub(super) fn refresh(&mut self, asked: &Asked<'_>, board: &mut Board, now: Instant) {
        if Session::asked(asked.request).is_err() {
            return board.respond(asked.transaction, asked.request, 422, now);
        }
        self.dialog.retarget(&asked.request.headers);
        let mut response = dialog_response(asked.request, 200, None, self.dialog.flow);
        self.agree(asked.request, &mut response, board, now);
        board
            .transactions
            .respond(asked.transaction, &response, now);
    }

    /// The session timer that the phone asks for, written into our 2xx and set.
    fn agree(
        &mut self,
        request: &Request,
        response: &mut Response,
        board: &mut Board,
        now: Instant,
    ) {
        let session = Session::asked(request).ok().flatten();
        if let Some(session) = session {
            session.write_answer(response);
        }
        self.set_session(session, board, now);
    }

    pub(super) fn answer(
        mut self: Box<Self>,
        sdp: Vec<u8>,
        board: &mut Board,
        now: Instant,
    ) -> Leg {
        if let Some(reoffer) = self.reoffer.take() {
            let mut response = dialog_response(&reoffer.request, 200, None, self.dialog.flow);
            self.said.clone_from(&sdp);
            attach_sdp(&mut response, sdp);
            self.agree(&reoffer.request, &mut response, board, now);
            if reoffer.request.method == Method::Invite {
                let ok = Unconfirmed {
                    transaction: reoffer.transaction,
                    response,
                    number: reoffer.number,
                    is_awaited: reoffer.request.body.is_empty(),
                    pause: T1,
                };
                self.unconfirmed =
                    Some(ok.start(self.id, &mut board.transactions, &mut board.timers, now));
            } else {
                board
                    .transactions
                    .respond(reoffer.transaction, &response, now);
            }
        }
        self.try_wish(board, now);
        Leg::Talking(self)
    }

    pub(super) fn refuse(mut self: Box<Self>, status: u16, board: &mut Board, now: Instant) -> Leg {
        if let Some(reoffer) = self.reoffer.take() {
            board.respond(
                reoffer.transaction,
                &reoffer.request,
                status.clamp(300, 699),
                now,
            );
        }
        self.try_wish(board, now);
        Leg::Talking(self)
    }
}
