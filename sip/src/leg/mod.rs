//! Call legs: one call between us and the phone or phones of a line.
//!
//! ```text
//! a phone calls us:   Calling --answer--> Talking --BYE, hang_up, no ACK--> gone
//! we call phones:     Placed --first 2xx--> Talking
//!                       \--cancelled, or lost to another phone--> Fading --last answer--> gone
//! ```
//! Beside them matters that are no calls: a text (`TextIn`, `TextOut`), a subscription (`Watch`), and what phones are told without one
//! (`Unasked`).
//!
//! One struct per state, one file per state. A step takes the state and gives back the next one, or `None` when the leg
//! is gone. Who talks to whom is not known here: that is the engine's.

pub(crate) mod cancelling;
pub(crate) mod context;
pub(crate) mod digit;
pub(crate) mod established;
pub(crate) mod inbound_invite;
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

use std::time::Instant;

use crate::account::User;
use crate::event::HangUp;
use crate::flow::Flow;
use crate::message::{Essentials, Request, Response};
use crate::timers::Timer;
use crate::transaction::TransactionId;
use cancelling::Fading;
use context::Board;
use digit::Digit;
use established::Talking;
use inbound_invite::Calling;
use outbound_invite::Placed;
use subscription::Watch;
use text::{TextIn, TextOut};
use unsolicited::Unasked;

/// A leg in one of its states.
#[derive(Debug)]
pub(crate) enum Leg {
    /// A phone called us and waits.
    Calling(Box<Calling>),
    /// Phones ring, or will.
    Placed(Placed),
    /// Answered.
    Talking(Box<Talking>),
    /// Phones that must be told or heard to the end; the engine has forgotten them.
    Fading(Fading),
    /// A phone's text that waits for its answer.
    TextIn(TextIn),
    /// A text of ours on its way to phones.
    TextOut(TextOut),
    /// A phone's subscription.
    Watch(Box<Watch>),
    /// A word for phones that did not ask for it.
    Unasked(Unasked),
}

/// A phone's request inside a dialog, checked, with the transaction that was opened for it.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a Request,
    pub(crate) essentials: &'a Essentials,
    pub(crate) flow: Flow,
    pub(crate) transaction: TransactionId,
}

/// A phone's response to a request of the leg.
pub(crate) struct Answer<'a> {
    pub(crate) response: &'a Response,
    pub(crate) essentials: &'a Essentials,
    pub(crate) transaction: TransactionId,
}

impl Leg {
    pub(crate) fn handle_request(
        self,
        asked: &Asked<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Calling(leg) => leg.handle_request(asked, board, now),
            Self::Talking(leg) => leg.handle_request(asked, board, now),
            Self::Watch(watch) => watch.handle_request(asked, board, now),
            other => {
                board.respond(asked.transaction, asked.request, 481, now);
                Some(other)
            }
        }
    }

    /// The flow of the one phone.
    pub(crate) fn flow(&self) -> Option<Flow> {
        match self {
            Self::Calling(leg) => Some(leg.flow()),
            Self::Talking(leg) => Some(leg.flow()),
            _ => None,
        }
    }

    /// Whether the one phone says that it takes INFO.
    pub(crate) fn allows_info(&self) -> bool {
        match self {
            Self::Calling(leg) => leg.allows_info(),
            Self::Talking(leg) => leg.allows_info(),
            _ => false,
        }
    }

    /// The line of the one phone.
    pub(crate) fn user(&self) -> Option<&User> {
        match self {
            Self::Calling(leg) => Some(leg.user()),
            Self::Talking(leg) => Some(leg.user()),
            _ => None,
        }
    }

    /// An ACK outside any INVITE transaction: for a 2xx.
    pub(crate) fn handle_ack(
        self,
        request: &Request,
        essentials: &Essentials,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Talking(leg) => leg.handle_ack(request, essentials, board, now),
            other => Some(other),
        }
    }

    pub(crate) fn handle_response(
        self,
        answer: &Answer<'_>,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Placed(leg) => leg.handle_response(answer, board, now),
            Self::Fading(leg) => leg.handle_response(answer, board, now),
            Self::Talking(leg) => leg.handle_response(answer, board, now),
            Self::TextOut(text) => text.handle_response(answer, board),
            Self::Watch(watch) => watch.handle_response(answer, board, now),
            Self::Unasked(word) => word.handle_response(answer, board),
            other @ (Self::Calling(_) | Self::TextIn(_)) => Some(other),
        }
    }

    /// A request of the leg got no final answer.
    pub(crate) fn handle_unanswered(
        self,
        transaction: TransactionId,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Placed(leg) => leg.handle_unanswered(transaction, board, now),
            Self::Fading(leg) => leg.handle_final(transaction),
            Self::Talking(leg) => leg.hear_nothing(transaction, board, now),
            Self::TextOut(text) => text.handle_final(transaction, 408, board),
            Self::Watch(watch) => watch.hear_nothing(transaction, board),
            Self::Unasked(word) => word.handle_final(transaction, 408, board),
            other => Some(other),
        }
    }

    pub(crate) fn handle_timer(
        self,
        timer: Timer,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        match self {
            Self::Talking(leg) => leg.handle_timer(timer, board, now),
            Self::Placed(leg) => leg.handle_ring_limit(board, now),
            Self::Fading(leg) => leg.handle_timer(board),
            Self::Calling(leg) => leg.handle_timer(timer, board, now),
            Self::TextIn(text) => text.answer(480, board, now),
            waiting @ (Self::TextOut(_) | Self::Unasked(_)) => Some(waiting),
            Self::Watch(watch) => watch.handle_timer(timer, board, now),
        }
    }

    pub(crate) fn handle_cancel(self, board: &mut Board, now: Instant) -> Option<Self> {
        match self {
            Self::Calling(leg) => leg.handle_cancel(board, now),
            // Section 9.2: no effect on an INVITE that has its final answer.
            other => Some(other),
        }
    }

    pub(crate) fn handle_flow_closed(self, flow: Flow, board: &mut Board) -> Option<Self> {
        match self {
            Self::Calling(leg) => leg.handle_flow_closed(flow, board),
            Self::Talking(leg) => leg.handle_flow_closed(flow, board),
            Self::Watch(watch) => watch.handle_flow_closed(flow, board),
            // Their requests are reported one by one, as unanswered.
            other => Some(other),
        }
    }

    pub(crate) fn ring(mut self, board: &mut Board, now: Instant) -> Option<Self> {
        if let Self::Calling(leg) = &mut self {
            leg.ring(board, now);
        }
        Some(self)
    }

    pub(crate) fn answer(self, sdp: Vec<u8>, board: &mut Board, now: Instant) -> Option<Self> {
        match self {
            Self::Calling(leg) => Some(leg.answer(sdp, board, now)),
            Self::Talking(leg) => Some(leg.answer(sdp, board, now)),
            other => Some(other),
        }
    }

    pub(crate) fn refuse(self, status: u16, board: &mut Board, now: Instant) -> Option<Self> {
        match self {
            Self::Calling(leg) => leg.refuse(status, board, now),
            Self::Talking(leg) => Some(leg.refuse(status, board, now)),
            other => Some(other),
        }
    }

    pub(crate) fn hang_up(self, reason: HangUp, board: &mut Board, now: Instant) -> Option<Self> {
        match self {
            Self::Calling(leg) => match reason {
                HangUp::Normal => leg.refuse(480, board, now),
                HangUp::AnsweredElsewhere => leg.refuse(487, board, now),
            },
            Self::Placed(leg) => leg.hang_up(reason, board, now),
            Self::Talking(leg) => leg.hang_up(board, now),
            other => Some(other),
        }
    }

    pub(crate) fn offer(self, sdp: Vec<u8>, board: &mut Board, now: Instant) -> Option<Self> {
        match self {
            Self::Talking(leg) => Some(leg.offer(sdp, board, now)),
            other => Some(other),
        }
    }

    pub(crate) fn send_digit(
        mut self,
        digit: Digit,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        if let Self::Talking(leg) = &mut self {
            leg.send_digit(digit, board, now);
        }
        Some(self)
    }

    pub(crate) fn notify_transfer(
        mut self,
        status: u16,
        board: &mut Board,
        now: Instant,
    ) -> Option<Self> {
        if let Self::Talking(leg) = &mut self {
            leg.notify_transfer(status, board, now);
        }
        Some(self)
    }

    /// True for what counts as a call.
    pub(crate) const fn is_call(&self) -> bool {
        !matches!(
            self,
            Self::TextIn(_) | Self::TextOut(_) | Self::Watch(_) | Self::Unasked(_)
        )
    }
}
