//! Transactions: one request and its responses, with retransmissions (RFC 3261 section 17, RFC 6026).
//!
//! This file owns the table of open transactions and drives their state machines, each of which has a file. `server_side` has
//! the requests of phones, `client_side` ours, `completed` what remains of ended transactions. Calls are not known here: a
//! transaction has an owner of any type. A server transaction is opened only for requests that the owner wants to track:
//! challenges and most refusals are stateless (section 8.2.7).

mod client_side;
mod completed;
mod invite_client;
mod invite_server;
mod key;
mod machine;
mod non_invite_client;
mod non_invite_server;
mod request_source;
mod server_side;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::flow::Flow;
use crate::timers::{Timer, Timers};
use completed::{Completed, CompletedTransactions};
use key::TransactionKey;
use machine::{Machine, MachineContext, Next};
use request_source::RequestSource;

pub(crate) use client_side::ResponseMatch;
pub(crate) use invite_client::cancel_for;
pub(crate) use server_side::Absorbed;

/// Open client transactions: one for each phone of as many legs as there may be, and as many again within them. Beyond it
/// requests are not sent.
pub(crate) const MAX_CLIENT: usize = 4096;
/// Open server transactions (until the response, or the ACK for an INVITE): several in each leg. Beyond it requests get 503
/// without state.
pub(crate) const MAX_SERVER: usize = 2048;
/// How many of these may come from one source, so that no phone can block the others.
pub(crate) const MAX_SERVER_PER_SOURCE: usize = 512;

/// One transaction. Not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TransactionId(u64);

/// A client transaction that ended without a final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered<O> {
    pub(crate) transaction: TransactionId,
    pub(crate) owner: Option<O>,
}

#[derive(Debug)]
struct OpenTransaction<O> {
    key: TransactionKey,
    flow: Flow,
    owner: Option<O>,
    machine: Machine,
}

impl<O> OpenTransaction<O> {
    const fn is_ours(&self) -> bool {
        matches!(
            self.machine,
            Machine::NonInviteClient(_) | Machine::InviteClient(_)
        )
    }
}

/// The table of open transactions, the completed ones, and the queue of bytes to send.
///
/// The queue is drained after every input; one input adds a message per phone of a line at most, and a timeout one per
/// open transaction.
#[derive(Debug)]
pub(crate) struct Transactions<O> {
    entries: BTreeMap<TransactionId, OpenTransaction<O>>,
    by_key: BTreeMap<TransactionKey, TransactionId>,
    /// How many of them are client transactions.
    ours: usize,
    /// How many server transactions each source has.
    theirs: BTreeMap<RequestSource, usize>,
    finished: CompletedTransactions<O>,
    timers: Timers<TransactionId>,
    output: VecDeque<(Flow, Vec<u8>)>,
    last: u64,
}

impl<O: Copy> Transactions<O> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            by_key: BTreeMap::new(),
            ours: 0,
            theirs: BTreeMap::new(),
            finished: CompletedTransactions::new(),
            timers: Timers::new(),
            output: VecDeque::new(),
            last: 0,
        }
    }

    /// Sends bytes that belong to no transaction.
    pub(crate) fn send(&mut self, flow: Flow, bytes: Vec<u8>) {
        self.output.push_back((flow, bytes));
    }

    pub(crate) fn poll(&mut self) -> Option<(Flow, Vec<u8>)> {
        self.output.pop_front()
    }

    /// The next timer of an open transaction.
    pub(crate) fn next_retransmission(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    pub(crate) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let timers = [self.timers.next(), self.finished.next_timeout()];
        timers.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Sets the owner of a transaction.
    pub(crate) fn set_owner(&mut self, id: TransactionId, owner: O) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.owner = Some(owner);
        }
    }

    /// The owner of an open transaction.
    pub(crate) fn owner(&self, id: TransactionId) -> Option<O> {
        self.entries.get(&id).and_then(|entry| entry.owner)
    }

    /// Forgets an open transaction at once.
    pub(crate) fn forget(&mut self, id: TransactionId) {
        self.remove(id);
    }

    /// Handles the timers that have run out; gives the requests without a final response.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<Unanswered<O>> {
        self.finished.handle_timeout(now);
        let mut unanswered = Vec::new();
        while let Some((transaction, timer)) = self.timers.pop(now) {
            let owner = self.owner(transaction);
            let is_given_up = matches!(timer, Timer::B | Timer::F);
            self.drive(transaction, now, |machine, context| match machine {
                Machine::InviteServer(server) => server.handle_timer(timer, context),
                Machine::NonInviteServer(_) => Next::Stay,
                Machine::InviteClient(client) => client.handle_timer(timer, context),
                Machine::NonInviteClient(client) => client.handle_timer(timer, context),
            });
            if is_given_up {
                unanswered.push(Unanswered { transaction, owner });
            }
        }
        unanswered
    }

    /// Removes all transactions of a closed stream; gives our requests without a final response.
    pub(crate) fn handle_flow_closed(&mut self, flow: Flow) -> Vec<Unanswered<O>> {
        let on_flow = self.entries.iter().filter(|(_, entry)| entry.flow == flow);
        let gone: Vec<TransactionId> = on_flow.map(|(id, _)| *id).collect();
        let gone = gone
            .into_iter()
            .filter_map(|id| Some((id, self.remove(id)?)));
        gone.filter(|(_, entry)| entry.is_ours())
            .map(|(transaction, OpenTransaction { owner, .. })| Unanswered { transaction, owner })
            .collect()
    }

    fn insert(&mut self, entry: OpenTransaction<O>) -> Option<TransactionId> {
        if !self.has_room(&entry) || self.by_key.contains_key(&entry.key) {
            return None;
        }
        let count = match entry.is_ours() {
            true => &mut self.ours,
            false => self
                .theirs
                .entry(RequestSource::of(entry.flow))
                .or_default(),
        };
        *count = count.saturating_add(1);
        self.last = self.last.saturating_add(1);
        let id = TransactionId(self.last);
        self.by_key.insert(entry.key, id);
        self.entries.insert(id, entry);
        Some(id)
    }

    fn has_room(&self, entry: &OpenTransaction<O>) -> bool {
        if entry.is_ours() {
            return self.ours < MAX_CLIENT;
        }
        let theirs = self.entries.len().saturating_sub(self.ours);
        let held = self.theirs.get(&RequestSource::of(entry.flow)).copied();
        theirs < MAX_SERVER && held.unwrap_or_default() < MAX_SERVER_PER_SOURCE
    }

    fn remove(&mut self, id: TransactionId) -> Option<OpenTransaction<O>> {
        let entry = self.entries.remove(&id)?;
        self.by_key.remove(&entry.key);
        self.timers.clear_all(id);
        self.uncount(&entry);
        Some(entry)
    }

    fn uncount(&mut self, gone: &OpenTransaction<O>) {
        if gone.is_ours() {
            self.ours = self.ours.saturating_sub(1);
            return;
        }
        let source = RequestSource::of(gone.flow);
        match self.theirs.get_mut(&source) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(self.theirs.remove(&source)),
        }
    }

    /// The one place where a machine takes a step, and is removed when it has ended.
    fn drive(
        &mut self,
        id: TransactionId,
        now: Instant,
        step: impl FnOnce(&mut Machine, &mut MachineContext<'_>) -> Next,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let flow = entry.flow;
        let mut context = MachineContext {
            id,
            flow,
            now,
            timers: &mut self.timers,
            output: &mut self.output,
        };
        match step(&mut entry.machine, &mut context) {
            Next::Stay => {}
            Next::Terminated => drop(self.remove(id)),
            Next::Completed(on_retransmission) => {
                if let Some(OpenTransaction {
                    key, flow, owner, ..
                }) = self.remove(id)
                {
                    let kept = Completed {
                        id,
                        flow,
                        owner,
                        on_retransmission,
                    };
                    self.finished.keep(key, kept, now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
