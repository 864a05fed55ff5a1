//! A 200 of ours to an INVITE, sent again until its ACK comes (RFC 3261 section 13.3.1.4), over streams too: there the
//! ACK may be lost by whatever stands between the phone's stream and its user agent.

use std::time::{Duration, Instant};

use super::board::Board;
use crate::event::LegId;
use crate::message::Response;
use crate::timers::{PATIENCE, T2, Timer};
use crate::transaction::TransactionId;

/// A 200 of ours whose ACK has not come.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) transaction: TransactionId,
    pub(crate) response: Response,
    pub(crate) number: u32,
    /// Whether the engine is told of the ACK: for the first 200, and where the ACK brings the phone's answer.
    pub(crate) is_awaited: bool,
    pub(crate) pause: Duration,
}

impl Unconfirmed {
    /// Sends the 200, and again until the ACK is here.
    pub(super) fn start(self, id: LegId, board: &mut Board, now: Instant) -> Self {
        board
            .transactions
            .respond(self.transaction, &self.response, now);
        board.alarms.set(id, Timer::AnswerAgain, now + self.pause);
        board.alarms.set(id, Timer::NoAck, now + PATIENCE);
        self
    }

    pub(super) fn repeat(&mut self, id: LegId, board: &mut Board, now: Instant) {
        board
            .transactions
            .respond(self.transaction, &self.response, now);
        self.pause = T2.min(self.pause * 2);
        board.alarms.set(id, Timer::AnswerAgain, now + self.pause);
    }
}
