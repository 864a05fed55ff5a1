//! Transactions that are over, kept for as long as a repeat may still come (RFC 3261 section 17: timers D, I, J and K; RFC
//! 6026: L and M). What is kept is what a repeat gets, and no machine: a busy hour has many more of these than calls.
//!
//! All of them together are bounded in bytes. When there is no more room, the oldest one of the source that holds most
//! leaves: a flood pushes out its own answers and nobody else's. A repeat that comes after that is treated as new: a
//! REGISTER is challenged again, a request of a call that is over gets 481.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::TransactionId;
use super::key::TransactionKey;
use super::request_source::RequestSource;
use crate::flow::Flow;
use crate::timers::{TRANSACTION_TIMEOUT, Timer};

/// All that is kept, answers and places: 2,000 registrations a second for some 20 s, so that the first five repeats of
/// a request (RFC 3261 section 17.1.2.1: after 0.5, 1.5, 3.5, 7.5 and 11.5 s) still find their answer.
pub(super) const MAX_BYTES: usize = 32 << 20;
/// What a place takes beside its bytes, in the map, the shelf, and on the heap. It also bounds their number: 131,072.
const PLACE: usize = 256;
/// Pause between two clearings of what is old.
const PAUSE: Duration = Duration::from_secs(1);

/// What a repeat gets.
#[derive(Debug)]
pub(super) enum Retransmission {
    /// Nothing: it is swallowed.
    Absorb,
    /// The same bytes: the final answer, or our ACK for a refusal.
    Resend(Box<[u8]>),
    /// An accepted INVITE: its repeat gets nothing, an ACK under the same branch is the call's business.
    PassAck,
    /// Our accepted INVITE: each 2xx is news, since our ACK may be lost, or another phone may answer too.
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
            Retransmission::Resend(bytes) => bytes.len().saturating_add(PLACE),
            Retransmission::Absorb | Retransmission::PassAck | Retransmission::PassOk => PLACE,
        }
    }
}

/// What one source holds, the oldest first.
#[derive(Debug, Default)]
struct SourceQueue {
    order: VecDeque<(Instant, TransactionKey)>,
    bytes: usize,
}

/// All transactions that are over.
#[derive(Debug)]
pub(super) struct CompletedTransactions<O> {
    kept: BTreeMap<TransactionKey, Completed<O>>,
    shelves: BTreeMap<RequestSource, SourceQueue>,
    /// The same shelves, the fullest last.
    by_size: BTreeSet<(usize, RequestSource)>,
    bytes: usize,
    next_clearing: Option<Instant>,
}

impl<O> CompletedTransactions<O> {
    pub(super) const fn new() -> Self {
        Self {
            kept: BTreeMap::new(),
            shelves: BTreeMap::new(),
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
        while self.bytes > MAX_BYTES.saturating_sub(cost) && self.push_out() {}
        let until = now + TRANSACTION_TIMEOUT;
        let source = RequestSource::of(kept.flow);
        let shelf = self.shelves.entry(source).or_default();
        self.by_size.remove(&(shelf.bytes, source));
        shelf.order.push_back((until, key));
        shelf.bytes = shelf.bytes.saturating_add(cost);
        self.by_size.insert((shelf.bytes, source));
        self.bytes = self.bytes.saturating_add(cost);
        self.kept.insert(key, kept);
        self.next_clearing.get_or_insert(until);
    }

    pub(super) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        Some((self.next_clearing?, Timer::CompletedEnd))
    }

    /// Clears away what no repeat can ask for any more, not more often than every second.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.next_clearing.is_none_or(|at| at > now) {
            return;
        }
        for shelf in self.shelves.values_mut() {
            while shelf.order.front().is_some_and(|(until, _)| *until <= now) {
                self.bytes = self.bytes.saturating_sub(take_first(shelf, &mut self.kept));
            }
        }
        self.shelves.retain(|_, shelf| !shelf.order.is_empty());
        let sizes = self
            .shelves
            .iter()
            .map(|(source, shelf)| (shelf.bytes, *source));
        self.by_size = sizes.collect();
        let fronts = self
            .shelves
            .values()
            .filter_map(|shelf| shelf.order.front());
        let soonest = fronts.map(|(until, _)| *until).min();
        self.next_clearing = soonest.map(|until| until.max(now + PAUSE));
    }

    /// Takes the oldest one from the fullest shelf. False if there is none.
    fn push_out(&mut self) -> bool {
        let Some((_, source)) = self.by_size.pop_last() else {
            return false;
        };
        let Some(shelf) = self.shelves.get_mut(&source) else {
            return false;
        };
        self.bytes = self.bytes.saturating_sub(take_first(shelf, &mut self.kept));
        if shelf.order.is_empty() {
            self.shelves.remove(&source);
        } else {
            self.by_size.insert((shelf.bytes, source));
        }
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

/// Gives what is freed.
fn take_first<O>(
    shelf: &mut SourceQueue,
    kept: &mut BTreeMap<TransactionKey, Completed<O>>,
) -> usize {
    let first = shelf.order.pop_front();
    let gone = first.and_then(|(_, key)| kept.remove(&key));
    let cost = gone.map_or(0, |gone| gone.cost());
    shelf.bytes = shelf.bytes.saturating_sub(cost);
    cost
}
