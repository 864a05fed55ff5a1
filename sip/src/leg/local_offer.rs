//! Offers and refreshes of ours in a talking leg: re-INVITE and UPDATE (RFC 3261 section 14, RFC 3311, RFC 4028).
//!
//! One at a time, and none while the phone's own is open. If both offer at once, both are told 491 and we try again at a
//! random time, later if the Call-ID is ours (section 14.1).

use std::time::{Duration, Instant};

use super::context::{ALLOW, Board, SUPPORTED};
use super::established::{Accepted, Talking};
use super::session_timer::Session;
use super::{Answer, Leg};
use crate::dialog::own_contact;
use crate::event::Event;
use crate::message::{Method, Name, Request};
use crate::timers::Timer;
use crate::transaction::TransactionId;

/// What we want to tell the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Other sound.
    Offer(Vec<u8>),
    /// That the call is still on.
    Refresh,
}

/// A re-INVITE or UPDATE that waits for its answer.
#[derive(Debug)]
pub(super) struct Ours {
    request: Request,
    transaction: TransactionId,
    wish: Wish,
}

impl Ours {
    /// True if it is an offer, so that one of the phone's would cross it.
    pub(super) fn is_offer(&self) -> bool {
        self.request.method == Method::Invite
    }
}

impl Talking {
    /// Makes an offer, at once or when it can be made. One that still waits is replaced.
    pub(super) fn offer(mut self: Box<Self>, sdp: Vec<u8>, board: &mut Board, now: Instant) -> Leg {
        self.wish = Some(Wish::Offer(sdp));
        self.try_wish(board, now);
        Leg::Talking(self)
    }

    /// Our turn to refresh (RFC 4028 section 10). An offer that waits refreshes as well.
    pub(super) fn refresh_session(&mut self, board: &mut Board, now: Instant) {
        self.wish.get_or_insert(Wish::Refresh);
        self.try_wish(board, now);
    }

    /// Tells the phone what waits to be told, if nothing is open between us.
    pub(super) fn try_wish(&mut self, board: &mut Board, now: Instant) {
        if self.is_closing || self.ours.is_some() || self.has_open_offer() {
            return;
        }
        let Some(wish) = self.wish.take() else { return };
        board.timers.clear(self.id, Timer::OfferRetry);
        let branch = board.random.branch();
        let by_update = wish == Wish::Refresh && self.phone.takes_update;
        let method = if by_update {
            Method::Update
        } else {
            Method::Invite
        };
        let mut request = self.dialog.request(method, &branch);
        let headers = &mut request.headers;
        headers.push(Name::Contact, own_contact(self.dialog.flow, &request.uri));
        headers.push(Name::Allow, ALLOW);
        headers.push(Name::Supported, SUPPORTED);
        if let Some(session) = self.session {
            session.write_request(&mut request);
        }
        if !by_update {
            let sdp = match &wish {
                Wish::Offer(sdp) => sdp,
                Wish::Refresh => &self.said,
            };
            request.headers.push(Name::ContentType, "application/sdp");
            request.body.clone_from(sdp);
        }
        let started =
            board
                .transactions
                .start(request.clone(), self.dialog.flow, Some(self.id), now);
        // A full table: what we want to say waits as it would for a phone that offers itself.
        match started {
            Some(transaction) => {
                self.ours = Some(Ours {
                    request,
                    transaction,
                    wish,
                })
            }
            None => self.wish_again(wish, board, now),
        }
    }

    /// Section 14.1: 2.1 to 4 s if the Call-ID is ours, up to 2 s if it is the phone's, in steps of 10 ms.
    fn wish_again(&mut self, wish: Wish, board: &mut Board, now: Instant) {
        let (least, most) = if self.is_ours { (210, 400) } else { (0, 200) };
        let wait = Duration::from_millis(10 * board.random.between(least, most));
        self.wish.get_or_insert(wish);
        board.timers.set(self.id, Timer::OfferRetry, now + wait);
    }

    /// A final answer to what we said.
    pub(super) fn hear_ours(
        mut self: Box<Self>,
        answer: &Answer<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        let status = answer.response.status;
        if status < 200 {
            return Some(Leg::Talking(self));
        }
        let Some(ours) = self.ours.take() else {
            return Some(Leg::Talking(self));
        };
        match status {
            200..300 => self.accept_ours(ours, answer, board, now),
            408 | 481 => return self.lose_phone(board, now),
            491 => self.wish_again(ours.wish, board, now),
            422 => match self
                .session
                .and_then(|session| session.lengthened(answer.response))
            {
                Some(longer) => {
                    self.session = Some(longer);
                    self.wish.get_or_insert(ours.wish);
                }
                None => self.refused_ours(&ours, status, board),
            },
            405 | 501 if ours.request.method == Method::Update => {
                self.phone.takes_update = false;
                self.wish.get_or_insert(ours.wish);
            }
            _ => self.refused_ours(&ours, status, board),
        }
        if !board.timers.is_set(self.id, Timer::OfferRetry) {
            self.try_wish(board, now);
        }
        Some(Leg::Talking(self))
    }

    /// A session that could not be refreshed ends by its own timer.
    fn refused_ours(&mut self, ours: &Ours, status: u16, board: &mut Board) {
        if matches!(ours.wish, Wish::Offer(_)) {
            board.tell(Event::OfferRefused {
                leg: self.id,
                status,
            });
        }
    }

    fn accept_ours(&mut self, ours: Ours, answer: &Answer<'_>, board: &mut Board, now: Instant) {
        let response = answer.response;
        self.dialog.retarget(&response.headers);
        self.session = Session::granted(response);
        Session::arm(self.session, self.id, board, now);
        if ours.request.method != Method::Invite {
            return;
        }
        let ack = board.ack(&self.dialog, answer.essentials.cseq.number);
        self.said.clone_from(&ours.request.body);
        self.accepted = Some(Accepted {
            transaction: ours.transaction,
            invite: ours.request,
            ack,
        });
        board.tell(Event::OfferAnswered {
            leg: self.id,
            sdp: response.body.clone(),
        });
    }

    /// No final answer to a request of ours: if it was this one, the phone is gone (section 14.1).
    pub(super) fn hear_nothing(
        self: Box<Self>,
        transaction: TransactionId,
        board: &mut Board,
        now: Instant,
    ) -> Option<Leg> {
        if self.is_ours_waiting(transaction) {
            return self.lose_phone(board, now);
        }
        Some(Leg::Talking(self))
    }

    pub(super) fn is_ours_waiting(&self, transaction: TransactionId) -> bool {
        self.ours
            .as_ref()
            .is_some_and(|ours| ours.transaction == transaction)
    }
}
