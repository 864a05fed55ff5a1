//! An answered leg, until somebody hangs up (RFC 3261 sections 13.3.1.4, 14 and 15): what the phone says in it.
//!
//! The phone's new offers are in `offered`; what we say of our own accord in `offering` (re-INVITE, UPDATE) and
//! `referral` (NOTIFY).

use std::time::Instant;

use super::context::Board;
use super::digit::{Digit, RELAY};
use super::local_offer::{Ours, Wish};
use super::outbound_invite::Branch;
use super::provisional::Reliable;
use super::referral::Referral;
use super::remote_offer::Reoffer;
use super::session_timer::Session;
use super::text::TextIn;
use super::unacknowledged::Unconfirmed;
use super::{Answer, Asked, Leg};
use crate::account::User;
use crate::dialog::Dialog;
use crate::event::{Event, LegId};
use crate::flow::Flow;
use crate::message::{Essentials, Headers, Method, Name, Request, Response};
use crate::timers::Timer;
use crate::transaction::TransactionId;

/// Our ACK to the phone's last 2xx to an INVITE of ours.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) transaction: TransactionId,
    pub(super) invite: Request,
    pub(super) ack: Vec<u8>,
}

/// What the phone understands, as its Allow says (RFC 3261 section 20.5).
#[derive(Debug)]
pub(super) struct Abilities {
    /// False unless it says so: we only refresh by it, which a re-INVITE does as well.
    pub(super) takes_update: bool,
    /// True unless it says otherwise.
    pub(super) takes_info: bool,
    /// It says that it takes INFO.
    pub(super) allows_info: bool,
}

#[derive(Debug)]
pub(crate) struct Talking {
    pub(super) id: LegId,
    user: User,
    pub(super) dialog: Dialog,
    /// The Call-ID is ours.
    pub(super) is_ours: bool,
    pub(super) phone: Abilities,
    pub(super) accepted: Option<Accepted>,
    pub(super) unconfirmed: Option<Unconfirmed>,
    reliable: Option<Reliable>,
    pub(super) reoffer: Option<Reoffer>,
    /// What we last said of our sound.
    pub(super) said: Vec<u8>,
    pub(super) ours: Option<Ours>,
    pub(super) wish: Option<Wish>,
    pub(super) session: Option<Session>,
    pub(super) referral: Option<Referral>,
    pub(super) has_referred: bool,
    /// The engine has hung up; section 15 has the BYE wait for the ACK.
    pub(super) is_closing: bool,
}

impl Talking {
    fn new((id, user): (LegId, User), dialog: Dialog, is_ours: bool) -> Self {
        Self {
            id,
            user,
            dialog,
            is_ours,
            phone: Abilities {
                takes_update: false,
                takes_info: true,
                allows_info: false,
            },
            accepted: None,
            unconfirmed: None,
            reliable: None,
            reoffer: None,
            said: Vec::new(),
            ours: None,
            wish: None,
            session: None,
            referral: None,
            has_referred: false,
            is_closing: false,
        }
    }

    /// A leg whose phone called us, and which we answer.
    pub(crate) fn answered(
        parties: (LegId, User),
        dialog: Dialog,
        ok: Unconfirmed,
        board: &mut Board,
        now: Instant,
    ) -> Self {
        let mut talking = Self::new(parties, dialog, false);
        talking.said.clone_from(&ok.response.body);
        talking.unconfirmed =
            Some(ok.start(talking.id, &mut board.transactions, &mut board.timers, now));
        talking
    }

    /// A leg whose phone we called, and which answered with a 2xx.
    pub(crate) fn accepted(
        parties: (LegId, User),
        dialog: Dialog,
        (branch, ok): (Branch, &Response),
        board: &mut Board,
        now: Instant,
    ) -> Self {
        let mut talking = Self::new(parties, dialog, true);
        let number = branch.invite.headers.cseq().map_or(0, |cseq| cseq.number);
        let ack = board.ack(&talking.dialog, number);
        board.dialogs.insert(talking.dialog.id.clone(), talking.id);
        talking.said.clone_from(&branch.invite.body);
        talking.accepted = Some(Accepted {
            transaction: branch.transaction,
            invite: branch.invite,
            ack,
        });
        talking.learn(&ok.headers);
        talking.set_session(Session::granted(ok), board, now);
        talking
    }

    /// What the phone's INVITE or 2xx says of the phone.
    pub(super) fn learn(&mut self, headers: &Headers) {
        if headers.get(&Name::Allow).is_some() {
            let allows_info = headers.lists(&Name::Allow, "INFO");
            self.phone = Abilities {
                takes_update: headers.lists(&Name::Allow, "UPDATE"),
                takes_info: allows_info,
                allows_info,
            };
        }
    }

    pub(crate) const fn flow(&self) -> Flow {
        self.dialog.flow
    }

    pub(crate) const fn allows_info(&self) -> bool {
        self.phone.allows_info
    }

    pub(crate) const fn user(&self) -> &User {
        &self.user
    }

    /// The PRACK of our 180 may still be on its way.
    pub(super) fn keep_ringing(&mut self, reliable: Option<Reliable>) {
        self.reliable = reliable;
    }

    pub(super) fn set_session(
        &mut self,
        session: Option<Session>,
        board: &mut Board,
        now: Instant,
    ) {
        self.session = session;
        Session::arm(session, self.id, board, now);
    }

    /// True while an offer of the phone, or our answer to one, is not settled.
    pub(super) const fn has_open_offer(&self) -> bool {
        self.reoffer.is_some() || self.unconfirmed.is_some()
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
            Method::Info => {
                let status = self.hear_info(asked.request, board);
                reply(board, status);
            }
            Method::Refer => self.refer(asked, board, now),
            Method::Subscribe => self.resubscribe(asked, board, now),
            Method::Message => {
                let to = self.dialog.local_user().unwrap_or_default();
                TextIn::open(
                    self.user.clone(),
                    to,
                    asked.request,
                    asked.transaction,
                    board,
                    now,
                );
            }
            Method::Prack => {
                let reliable = self
                    .reliable
                    .as_mut()
                    .filter(|each| !each.is_acknowledged());
                let status =
                    reliable.map_or(481, |each| each.acknowledge(asked.request, self.id, board));
                reply(board, status);
            }
            // RFC 6665 section 4.1.3: we have subscribed to nothing.
            Method::Notify => reply(board, 481),
            Method::Other(_) => reply(board, 501),
            _ => reply(board, 405),
        }
        Some(Leg::Talking(self))
    }

    /// A key press, or nothing at all; the status for it.
    fn hear_info(&self, request: &Request, board: &mut Board) -> u16 {
        if request.headers.get(&Name::InfoPackage).is_some() {
            return 469;
        }
        if request.body.is_empty() {
            return 200;
        }
        let Some(digit) = Digit::read(request) else {
            return 415;
        };
        board.tell(Event::Digit {
            leg: self.id,
            digit,
        });
        200
    }

    /// Tells the phone of a key press, unless it has said that it does not listen.
    pub(super) fn send_digit(&mut self, digit: Digit, board: &mut Board, now: Instant) {
        if !self.phone.takes_info || self.is_closing {
            return;
        }
        let branch = board.random.branch();
        let mut info = self.dialog.request(Method::Info, &branch);
        info.headers.push(Name::ContentType, RELAY);
        info.body = digit.write();
        board.transactions.start(info, self.dialog.flow, None, now);
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
        Unconfirmed::stop(self.id, &mut board.timers);
        board.transactions.confirm(unconfirmed.transaction, now);
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
        self.try_wish(board, now);
        Some(Leg::Talking(self))
    }

    /// An answer to what we said; or a 2xx to our INVITE again: our ACK was lost. One with another tag comes from a
    /// second phone behind the same Contact, which nobody wants.
    pub(crate) fn handle_response(
        self: Box<Self>,
        answer: &Answer<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        if self.is_ours_waiting(answer.transaction) {
            return self.hear_ours(answer, board, now);
        }
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
                let invite = (&accepted.invite, 0);
                super::cancelling::turn_away(invite, answer, self.dialog.flow, board, now);
            }
        }
        Some(Leg::Talking(self))
    }

    pub(crate) fn handle_timer(
        mut self: Box<Self>,
        timer: Timer,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        match (self.unconfirmed.as_mut(), timer) {
            (Some(unconfirmed), Timer::OkRetransmission) => {
                unconfirmed.repeat(self.id, &mut board.transactions, &mut board.timers, now)
            }
            (Some(_), Timer::NoAck) | (_, Timer::SessionEnd) => return self.lose_phone(board, now),
            (_, Timer::SessionRefresh) => self.refresh_session(board, now),
            (_, Timer::OfferRetry) => self.try_wish(board, now),
            _ => {}
        }
        Some(Leg::Talking(self))
    }

    /// The phone no longer answers. It is told so all the same.
    pub(super) fn lose_phone(mut self: Box<Self>, board: &mut Board, now: Instant) -> Option<Leg> {
        board.bye(&mut self.dialog, now);
        self.die(board, now)
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

    fn leave(mut self: Box<Self>, board: &mut Board, now: Instant) -> Option<Leg> {
        self.drop_referral(board, now);
        if let Some(reoffer) = &self.reoffer {
            board.respond(reoffer.transaction, &reoffer.request, 487, now);
        }
        board.dialogs.remove(&self.dialog.id);
        None
    }
}
