//! An answered leg, until somebody hangs up (RFC 3261 sections 13.3.1.4, 14 and 15).
//!
//! We never re-INVITE ourselves, so the only glare is a phone that offers anew before its last offer is settled.

use std::time::Instant;

use super::board::{Board, attach_sdp, dialog_response, is_sdp};
use super::placed::Branch;
use super::unconfirmed::Unconfirmed;
use super::{Answer, Asked, Leg};
use crate::dialog::Dialog;
use crate::event::{Event, LegId};
use crate::flow::Flow;
use crate::message::{Essentials, Method, Name, Request, Response};
use crate::timers::{T1, Timer};
use crate::transaction::TransactionId;

/// A phone's new offer that the engine has not answered.
#[derive(Debug)]
struct Reoffer {
    request: Request,
    transaction: TransactionId,
    number: u32,
}

/// Our ACK to the 2xx of a phone we called.
#[derive(Debug)]
struct Accepted {
    transaction: TransactionId,
    invite: Request,
    ack: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Talking {
    id: LegId,
    dialog: Dialog,
    accepted: Option<Accepted>,
    unconfirmed: Option<Unconfirmed>,
    reoffer: Option<Reoffer>,
    /// The engine has hung up; section 15 has the BYE wait for the ACK.
    is_closing: bool,
}

impl Talking {
    /// A leg whose phone called us, and which we answer.
    pub(crate) fn answered(
        id: LegId,
        dialog: Dialog,
        ok: Unconfirmed,
        board: &mut Board,
        now: Instant,
    ) -> Self {
        let unconfirmed = Some(ok.start(id, board, now));
        Self {
            id,
            dialog,
            accepted: None,
            unconfirmed,
            reoffer: None,
            is_closing: false,
        }
    }

    /// A leg whose phone we called, and which answered with a 2xx.
    pub(crate) fn accepted(id: LegId, dialog: Dialog, branch: Branch, board: &mut Board) -> Self {
        let number = branch.invite.headers.cseq().map_or(0, |cseq| cseq.number);
        let ack = board.ack(&dialog, number);
        board.dialogs.insert(dialog.id.clone(), id);
        Self {
            id,
            dialog,
            accepted: Some(Accepted {
                transaction: branch.transaction,
                invite: branch.invite,
                ack,
            }),
            unconfirmed: None,
            reoffer: None,
            is_closing: false,
        }
    }

    pub(crate) const fn flow(&self) -> Flow {
        self.dialog.flow
    }

    pub(crate) fn handle_request(
        mut self: Box<Self>,
        asked: &Asked<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let reply = |board: &mut Board, status| {
            board.respond(asked.transaction, asked.request, status, now)
        };
        if !self.dialog.advance(asked.essentials, asked.flow) {
            reply(board, 500);
            return Some(Leg::Talking(self));
        }
        match asked.request.method {
            Method::Bye => {
                reply(board, 200);
                return self.die(board, now);
            }
            Method::Invite => self.handle_offer(asked, board, now),
            Method::Update if !asked.request.body.is_empty() => {
                self.handle_offer(asked, board, now)
            }
            Method::Update => self.refresh(asked, board, now),
            Method::Options => reply(board, 200),
            Method::Info if asked.request.body.is_empty() => reply(board, 200),
            Method::Info => reply(board, 415),
            Method::Refer => reply(board, 603),
            Method::Prack => reply(board, 481),
            Method::Other(_) => reply(board, 501),
            _ => reply(board, 405),
        }
        Some(Leg::Talking(self))
    }

    /// A re-INVITE, or an UPDATE with a body.
    fn handle_offer(&mut self, asked: &Asked<'_>, board: &mut Board, now: Instant) {
        let request = asked.request;
        let has_odd_body = !request.body.is_empty() && !is_sdp(request);
        if self.reoffer.is_some() {
            // Section 14.2: a second offer before the answer to the first.
            let mut response = Response::to(request, 500);
            response.headers.push(Name::RetryAfter, "1");
            board
                .transactions
                .respond(asked.transaction, &response, now);
        } else if self.unconfirmed.is_some() {
            board.respond(asked.transaction, request, 491, now);
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
    fn refresh(&mut self, asked: &Asked<'_>, board: &mut Board, now: Instant) {
        self.dialog.retarget(&asked.request.headers);
        let response = dialog_response(asked.request, 200, None, self.dialog.flow);
        board
            .transactions
            .respond(asked.transaction, &response, now);
    }

    pub(crate) fn answer(
        mut self: Box<Self>,
        sdp: Vec<u8>,
        board: &mut Board,
        now: Instant,
    ) -> Leg {
        if let Some(reoffer) = self.reoffer.take() {
            let mut response = dialog_response(&reoffer.request, 200, None, self.dialog.flow);
            attach_sdp(&mut response, sdp);
            if reoffer.request.method == Method::Invite {
                let ok = Unconfirmed {
                    transaction: reoffer.transaction,
                    response,
                    number: reoffer.number,
                    is_awaited: reoffer.request.body.is_empty(),
                    pause: T1,
                };
                self.unconfirmed = Some(ok.start(self.id, board, now));
            } else {
                board
                    .transactions
                    .respond(reoffer.transaction, &response, now);
            }
        }
        Leg::Talking(self)
    }

    pub(crate) fn refuse(mut self: Box<Self>, status: u16, board: &mut Board, now: Instant) -> Leg {
        if let Some(reoffer) = self.reoffer.take() {
            board.respond(
                reoffer.transaction,
                &reoffer.request,
                status.clamp(300, 699),
                now,
            );
        }
        Leg::Talking(self)
    }

    pub(crate) fn handle_ack(
        mut self: Box<Self>,
        request: &Request,
        essentials: &Essentials,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let number = essentials.cseq.number;
        let Some(unconfirmed) = self.unconfirmed.take_if(|waiting| waiting.number == number) else {
            return Some(Leg::Talking(self));
        };
        board.alarms.clear(self.id, Timer::AnswerAgain);
        board.alarms.clear(self.id, Timer::NoAck);
        if self.is_closing {
            board.bye(&mut self.dialog, now);
            return self.leave(board, now);
        }
        if unconfirmed.is_awaited {
            board.tell(Event::Confirmed {
                leg: self.id,
                sdp: request.body.clone(),
            });
        }
        Some(Leg::Talking(self))
    }

    /// A 2xx to our INVITE again: our ACK was lost. One with another tag comes from a second phone behind the same
    /// Contact, which nobody wants.
    pub(crate) fn handle_response(
        self: Box<Self>,
        answer: &Answer<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Leg {
        let is_2xx = (200..300).contains(&answer.response.status);
        if let Some(accepted) = self
            .accepted
            .as_ref()
            .filter(|each| is_2xx && each.transaction == answer.transaction)
        {
            if answer.essentials.to.tag().unwrap_or_default() == self.dialog.id.remote_tag {
                board
                    .transactions
                    .send(self.dialog.flow, accepted.ack.clone());
            } else {
                super::fading::turn_away(&accepted.invite, answer, self.dialog.flow, board, now);
            }
        }
        Leg::Talking(self)
    }

    pub(crate) fn handle_timer(
        mut self: Box<Self>,
        timer: Timer,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        match (self.unconfirmed.as_mut(), timer) {
            (Some(unconfirmed), Timer::AnswerAgain) => {
                unconfirmed.repeat(self.id, board, now);
                Some(Leg::Talking(self))
            }
            (Some(_), Timer::NoAck) => {
                board.bye(&mut self.dialog, now);
                self.die(board, now)
            }
            _ => Some(Leg::Talking(self)),
        }
    }

    pub(crate) fn handle_flow_closed(
        self: Box<Self>,
        flow: Flow,
        board: &mut Board,
    ) -> Option<Leg> {
        if self.dialog.flow != flow {
            return Some(Leg::Talking(self));
        }
        board.dialogs.remove(&self.dialog.id);
        if !self.is_closing {
            board.tell(Event::HungUp { leg: self.id });
        }
        None
    }

    pub(crate) fn hang_up(mut self: Box<Self>, board: &mut Board, now: Instant) -> Option<Leg> {
        if self.unconfirmed.is_some() {
            self.is_closing = true;
            return Some(Leg::Talking(self));
        }
        board.bye(&mut self.dialog, now);
        self.leave(board, now)
    }

    /// The phone's doing: the engine is told, unless it has hung up itself.
    fn die(self: Box<Self>, board: &mut Board, now: Instant) -> Option<Leg> {
        if !self.is_closing {
            board.tell(Event::HungUp { leg: self.id });
        }
        self.leave(board, now)
    }

    fn leave(self: Box<Self>, board: &mut Board, now: Instant) -> Option<Leg> {
        if let Some(reoffer) = &self.reoffer {
            board.respond(reoffer.transaction, &reoffer.request, 487, now);
        }
        board.dialogs.remove(&self.dialog.id);
        None
    }
}
