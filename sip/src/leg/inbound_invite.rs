//! A phone called us and waits for an answer (RFC 3261 section 13.3), told reliably that it rings if it requires that
//! (RFC 3262).

use std::time::Instant;

use super::context::{Board, attach_sdp, dialog_response};
use super::established::Talking;
use super::provisional::Reliable;
use super::session_timer::Session;
use super::unacknowledged::Unconfirmed;
use super::{Asked, Leg};
use crate::account::User;
use crate::dialog::Dialog;
use crate::event::{Event, LegId};
use crate::flow::Flow;
use crate::message::{Method, Name, Request, Response};
use crate::timers::{RING_LIMIT, T1, Timer};
use crate::transaction::TransactionId;

#[derive(Debug)]
pub(crate) struct Calling {
    id: LegId,
    user: User,
    invite: Request,
    transaction: TransactionId,
    dialog: Dialog,
    session: Option<Session>,
    /// Our 180, if it must not get lost.
    reliable: Option<Reliable>,
}

/// A call that a phone begins, checked.
pub(crate) struct Begun {
    pub(crate) user: User,
    pub(crate) invite: Request,
    pub(crate) transaction: TransactionId,
    pub(crate) dialog: Dialog,
    pub(crate) session: Option<Session>,
}

impl Calling {
    /// Takes the INVITE over, and says 100 at once so that the phone stops repeating it.
    pub(crate) fn new(id: LegId, begun: Begun, board: &mut Board, now: Instant) -> Self {
        let Begun {
            user,
            invite,
            transaction,
            dialog,
            session,
        } = begun;
        board.transactions.set_owner(transaction, id);
        board
            .transactions
            .respond(transaction, &Response::to(&invite, 100), now);
        board.dialogs.insert(dialog.id.clone(), id);
        board.timers.set(id, Timer::RingLimit, now + RING_LIMIT);
        Self {
            id,
            user,
            invite,
            transaction,
            dialog,
            session,
            reliable: None,
        }
    }

    /// True if this is the same INVITE by another path (section 8.2.2.2).
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

    pub(crate) const fn flow(&self) -> Flow {
        self.dialog.flow
    }

    pub(crate) fn allows_info(&self) -> bool {
        self.invite.headers.lists(&Name::Allow, "INFO")
    }

    pub(crate) const fn user(&self) -> &User {
        &self.user
    }

    /// Says 180. A phone that requires it reliably hears it once; without an offer in its INVITE it would have to bring
    /// ours (RFC 3262 section 5), and hears nothing then.
    pub(crate) fn ring(&mut self, board: &mut Board, now: Instant) {
        let response = self.response(180);
        if !self.invite.headers.lists(&Name::Require, "100rel") {
            return board.transactions.respond(self.transaction, &response, now);
        }
        if self.reliable.is_none() && !self.invite.body.is_empty() {
            let number = self.number();
            let of = (self.id, self.transaction);
            self.reliable = Some(Reliable::start(response, number, of, board, now));
        }
    }

    fn number(&self) -> u32 {
        self.invite.headers.cseq().map_or(0, |cseq| cseq.number)
    }

    pub(crate) fn answer(self: Box<Self>, sdp: Vec<u8>, board: &mut Board, now: Instant) -> Leg {
        let mut response = self.response(200);
        attach_sdp(&mut response, sdp);
        if let Some(session) = self.session {
            session.write_answer(&mut response);
        }
        board.timers.clear_all(self.id);
        let ok = Unconfirmed {
            transaction: self.transaction,
            response,
            number: self.number(),
            is_awaited: true,
            pause: T1,
        };
        let mut talking = Talking::answered((self.id, self.user), self.dialog, ok, board, now);
        talking.learn(&self.invite.headers);
        talking.keep_ringing(self.reliable);
        talking.set_session(self.session, board, now);
        Leg::Talking(Box::new(talking))
    }

    pub(crate) fn refuse(
        self: Box<Self>,
        status: u16,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let response = self.response(status.clamp(300, 699));
        self.leave(&response, board, now)
    }

    pub(crate) fn refuse_with_reason(
        self: Box<Self>,
        status: u16,
        phrase: &str,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let mut response = self.response(status.clamp(300, 699));
        response.reason = phrase.into();
        self.leave(&response, board, now)
    }

    pub(crate) fn handle_cancel(self: Box<Self>, board: &mut Board, now: Instant) -> Option<Leg> {
        board.tell(Event::Cancelled { leg: self.id });
        self.refuse(487, board, now)
    }

    pub(crate) fn handle_timer(
        mut self: Box<Self>,
        timer: Timer,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        if let (Some(reliable), Timer::ProvisionalRetransmission) = (&mut self.reliable, timer) {
            reliable.repeat((self.id, self.transaction), board, now);
            return Some(Leg::Calling(self));
        }
        board.tell(Event::Cancelled { leg: self.id });
        self.refuse(if timer == Timer::NoPrack { 504 } else { 480 }, board, now)
    }

    pub(crate) fn handle_flow_closed(
        self: Box<Self>,
        flow: Flow,
        board: &mut Board,
    ) -> Option<Leg> {
        if self.dialog.flow != flow {
            return Some(Leg::Calling(self));
        }
        board.dialogs.remove(&self.dialog.id);
        board.tell(Event::Cancelled { leg: self.id });
        None
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
            return Some(Leg::Calling(self));
        }
        match asked.request.method {
            // Section 15: a caller may end an early dialog by BYE.
            Method::Bye => {
                reply(board, 200);
                return self.handle_cancel(board, now);
            }
            Method::Invite => {
                let mut response = Response::to(asked.request, 500);
                response.headers.push(Name::RetryAfter, "5");
                board
                    .transactions
                    .respond(asked.transaction, &response, now);
            }
            Method::Options => reply(board, 200),
            Method::Update if asked.request.body.is_empty() => reply(board, 200),
            Method::Update => reply(board, 491),
            Method::Prack => {
                let reliable = self
                    .reliable
                    .as_mut()
                    .filter(|each| !each.is_acknowledged());
                let status =
                    reliable.map_or(481, |each| each.acknowledge(asked.request, self.id, board));
                reply(board, status);
            }
            _ => reply(board, 405),
        }
        Some(Leg::Calling(self))
    }

    fn leave(self: Box<Self>, response: &Response, board: &mut Board, now: Instant) -> Option<Leg> {
        board.transactions.respond(self.transaction, response, now);
        board.dialogs.remove(&self.dialog.id);
        None
    }

    fn response(&self, status: u16) -> Response {
        let flow = self.dialog.flow;
        dialog_response(&self.invite, status, Some(&self.dialog.id.local_tag), flow)
    }
}
