//! Completed transactions, kept for as long as a retransmission may arrive (RFC 3261 section 17: timers D, I, J and K; RFC 6026:
//! L and M). Only the reaction to a retransmission is kept, not the machine: a busy hour has many more of these than calls.
//!
//! All of them together are bounded in bytes. When there is no more room, the oldest one of the source that holds most is
//! evicted, so that a flood evicts its own entries. A retransmission that arrives after that is treated as a new request: a
//! REGISTER is challenged again, a request of an ended call gets 481.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::TransactionId;
use super::key::TransactionKey;
use super::request_source::RequestSource;
use crate::flow::Flow;
use crate::timers::{TRANSACTION_TIMEOUT, Timer};

/// The bound in bytes: 2,000 registrations a second for some 20 s, so that the first five retransmissions of a request (RFC 3261
/// section 17.1.2.1: after 0.5, 1.5, 3.5, 7.5 and 11.5 s) still get the response.
pub(super) const MAX_BYTES: usize = 32 << 20;
/// The memory of an entry without its bytes: in the map, in the queue and on the heap. It bounds their number too: 131,072.
const ENTRY_COST: usize = 256;
/// Shortest interval between two removals of expired entries.
const CLEARING_INTERVAL: Duration = Duration::from_secs(1);

/// The reaction to a retransmission.
#[derive(Debug)]
pub(super) enum Retransmission {
    /// It is absorbed.
    Absorb,
    /// The same bytes are sent again: the final response, or our ACK for a refusal.
    Resend(Box<[u8]>),
    /// An accepted INVITE: its retransmission is absorbed, an ACK with the same branch is passed to the dialog.
    PassAck,
    /// Our accepted INVITE: each 2xx is passed to the owner, since our ACK may be lost, or another phone may answer too.
    PassOk,
}

#[derive(Debug)]
pub(super) struct Completed<O> {
    pub(super) id: TransactionId,
    pub(super) flow: Flow,
    pub(super) owner: Option<O>,
    pub(super) on_retransmission: Retransmission,
}

impl<O> Completed<O> {
    fn cost(&self) -> usize {
        match &self.on_retransmission {
            Retransmission::Resend(bytes) => bytes.len().saturating_add(ENTRY_COST),
            Retransmission::Absorb | Retransmission::PassAck | Retransmission::PassOk => ENTRY_COST,
        }
    }
}

/// The entries of one source, oldest first.
#[derive(Debug, Default)]
struct SourceQueue {
    order: VecDeque<(Instant, TransactionKey)>,
    bytes: usize,
}

/// All completed transactions.
#[derive(Debug)]
pub(super) struct CompletedTransactions<O> {
    kept: BTreeMap<TransactionKey, Completed<O>>,
    by_source: BTreeMap<RequestSource, SourceQueue>,
    /// The sources by the bytes that they hold.
    by_size: BTreeSet<(usize, RequestSource)>,
    bytes: usize,
    next_clearing: Option<Instant>,
}

impl<O> CompletedTransactions<O> {
    pub(super) const fn new() -> Self {
        Self {
            kept: BTreeMap::new(),
            by_source: BTreeMap::new(),
            by_size: BTreeSet::new(),
            bytes: 0,
            next_clearing: None,
        }
    }

    pub(super) fn get(&self, key: TransactionKey) -> Option<&Completed<O>> {
        self.kept.get(&key)
    }

    pub(super) fn keep(&mut self, key: TransactionKey, kept: Completed<O>, now: Instant) {
        let cost = kept.cost();
        if cost > MAX_BYTES || self.kept.contains_key(&key) {
            return;
        }
        while self.bytes > MAX_BYTES.saturating_sub(cost) && self.evict() {}
        let until = now + TRANSACTION_TIMEOUT;
        let source = RequestSource::of(kept.flow);
        let queue = self.by_source.entry(source).or_default();
        self.by_size.remove(&(queue.bytes, source));
        queue.order.push_back((until, key));
        queue.bytes = queue.bytes.saturating_add(cost);
        self.by_size.insert((queue.bytes, source));
        self.bytes = self.bytes.saturating_add(cost);
        self.kept.insert(key, kept);
        self.next_clearing.get_or_insert(until);
    }

    pub(super) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        Some((self.next_clearing?, Timer::CompletedEnd))
    }

    /// Removes expired entries, at most once a second.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.next_clearing.is_none_or(|at| at > now) {
            return;
        }
        for queue in self.by_source.values_mut() {
            while queue.order.front().is_some_and(|(until, _)| *until <= now) {
                self.bytes = self.bytes.saturating_sub(take_first(queue, &mut self.kept));
            }
        }
        self.by_source.retain(|_, queue| !queue.order.is_empty());
        let sizes = self
            .by_source
            .iter()
            .map(|(source, queue)| (queue.bytes, *source));
        self.by_size = sizes.collect();
        let fronts = self
            .by_source
            .values()
            .filter_map(|queue| queue.order.front());
        let soonest = fronts.map(|(until, _)| *until).min();
        self.next_clearing = soonest.map(|until| until.max(now + CLEARING_INTERVAL));
    }

    /// Evicts the oldest entry of the source that holds most. False if there is none.
    fn evict(&mut self) -> bool {
        let Some((_, source)) = self.by_size.pop_last() else {
            return false;
        };
        let Some(queue) = self.by_source.get_mut(&source) else {
            return false;
        };
        self.bytes = self.bytes.saturating_sub(take_first(queue, &mut self.kept));
        if queue.order.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.by_size.insert((queue.bytes, source));
        }
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

/// Removes the oldest entry of a source; gives the bytes that are freed.
fn take_first<O>(
    queue: &mut SourceQueue,
    kept: &mut BTreeMap<TransactionKey, Completed<O>>,
) -> usize {
    let first = queue.order.pop_front();
    let gone = first.and_then(|(_, key)| kept.remove(&key));
    let cost = gone.map_or(0, |gone| gone.cost());
    queue.bytes = queue.bytes.saturating_sub(cost);
    cost
}
