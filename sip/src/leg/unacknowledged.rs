//! Our 200 to an INVITE, which is retransmitted until its ACK (RFC 3261 section 13.3.1.4), over streams too: a hop beyond the
//! stream may lose the ACK. Used by legs and by the built-in phone.

use std::time::{Duration, Instant};

use crate::message::Response;
use crate::timers::{T2, TRANSACTION_TIMEOUT, Timer, Timers};
use crate::transaction::{TransactionId, Transactions};

/// A 200 of ours without an ACK.
#[derive(Debug)]
pub(crate) struct UnacknowledgedOk {
    pub(crate) transaction: TransactionId,
    pub(crate) response: Response,
    pub(crate) number: u32,
    /// Whether the ACK gives an event: for the first 200, and where the ACK carries the phone's answer.
    pub(crate) is_awaited: bool,
    pub(crate) pause: Duration,
}

impl UnacknowledgedOk {
    /// Sends the 200 and sets its timers.
    pub(crate) fn start<K: Copy + Ord>(
        self,
        key: K,
        transactions: &mut Transactions<K>,
        timers: &mut Timers<K>,
        now: Instant,
    ) -> Self {
        transactions.respond(self.transaction, &self.response, now);
        timers.set(key, Timer::OkRetransmission, now + self.pause);
        timers.set(key, Timer::NoAck, now + TRANSACTION_TIMEOUT);
        self
    }

    pub(crate) fn repeat<K: Copy + Ord>(
        &mut self,
        key: K,
        transactions: &mut Transactions<K>,
        timers: &mut Timers<K>,
        now: Instant,
    ) {
        transactions.respond(self.transaction, &self.response, now);
        self.pause = T2.min(self.pause * 2);
        timers.set(key, Timer::OkRetransmission, now + self.pause);
    }

    /// Stops the retransmissions: the ACK has arrived, or the call has ended.
    pub(crate) fn stop<K: Copy + Ord>(key: K, timers: &mut Timers<K>) {
        timers.clear(key, Timer::OkRetransmission);
        timers.clear(key, Timer::NoAck);
    }
}
