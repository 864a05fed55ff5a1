//! The loop of a media thread: waits for sockets, the bell and the next timeout, and hands each to its call.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::{Result, read};

use super::batches::Batches;
use super::call::{Handled, Source, ThreadCall};
use super::poller::{Poller, Ready, SocketReadiness};
use super::{CallOrder, Message};
use crate::clock;

/// The bell's token; a call's are smaller.
const BELL: u64 = u64::MAX;

/// What is read at once: one datagram, or a piece of a stream.
const READ: usize = 16 * 1024;

/// From one look at a call's timeout to the next: what `epoll_wait` can count.
const SOONEST: Duration = Duration::from_millis(1);

/// Runs until no message can come and no call is left.
///
/// # Errors
/// What the system says of `epoll` itself.
pub(super) fn run(messages: &Receiver<Message>, bell: &OwnedFd) -> Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.poller.add(bell, BELL)?;
    let (mut is_open, mut ready) = (true, Ready::new());
    while is_open || !reactor.calls.is_empty() {
        reactor.wait(&mut ready)?;
        for readiness in ready.iter().filter(|ready| ready.token != BELL) {
            reactor.handle_ready(readiness);
        }
        // Last of all: a socket of a new call may have the number of one that was closed above.
        if ready.iter().any(|ready| ready.token == BELL) {
            read(bell, &mut [0; 8]).ok();
            is_open = reactor.take(messages);
        }
        reactor.handle_timeouts();
    }
    Ok(())
}

pub(super) struct Reactor {
    poller: Poller,
    calls: HashMap<u64, Box<ThreadCall>>,
    /// When to look at a call. A call has a new entry only when its next timeout moves nearer, so that packets cost none; an earlier
    /// timeout than that of the call means nothing.
    timeouts: BinaryHeap<Reverse<(Instant, u64)>>,
    buffer: Vec<u8>,
    batches: Batches,
    /// When the last wait ended.
    now: Instant,
}

impl Reactor {
    fn new() -> Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            calls: HashMap::new(),
            timeouts: BinaryHeap::new(),
            buffer: vec![0; READ],
            batches: Batches::new(clock::now()),
            now: clock::now(),
        })
    }

    fn wait(&mut self, ready: &mut Ready) -> Result<()> {
        let mut now = clock::now();
        // With more than one look takes, the next one comes at once.
        let rest = match ready.is_full() {
            true => Duration::ZERO,
            false => self.batches.rest(now),
        };
        if !rest.is_zero() {
            thread::sleep(rest);
            now = clock::now();
        }
        let next = self.timeouts.peek().map(|Reverse((at, _))| *at);
        let waited = self.poller.wait(ready, next, now);
        self.now = clock::now();
        self.batches.note(self.now);
        waited
    }

    /// Carries out all messages; false once none can come any more.
    fn take(&mut self, messages: &Receiver<Message>) -> bool {
        loop {
            match messages.try_recv() {
                Ok(Message::Add(id, call)) => {
                    self.calls.insert(id, call);
                    self.drive(id, |call, poller, buffer, now| {
                        call.begin(id, poller, buffer, now)
                    });
                }
                Ok(Message::Order(id, CallOrder::Close)) => self.close(id),
                Ok(Message::Order(id, order)) => {
                    self.drive(id, |call, poller, _, now| {
                        call.carry_out(order, poller, now)
                    });
                }
                #[cfg(test)]
                Ok(Message::Panic) => panic!("a fault of the thread"),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn handle_ready(&mut self, ready: SocketReadiness) {
        let (id, source) = Source::of_token(ready.token);
        self.drive(id, |call, poller, buffer, now| {
            if ready.can_write {
                call.handle_writable();
            }
            if ready.can_read {
                call.read(source, poller, buffer, now);
            }
            Ok(())
        });
    }

    fn handle_timeouts(&mut self) {
        while let Some(Reverse((at, id))) = self.timeouts.peek().copied()
            && at <= self.now
        {
            self.timeouts.pop();
            let call = self.calls.get_mut(&id);
            if call.is_some_and(|call| call.queued.take_if(|queued| *queued == at).is_some()) {
                self.drive(id, |call, poller, _, now| call.handle_timeout(poller, now));
            }
        }
    }

    /// Lets a call handle something, then carries out what it wants. A call that panics is over, and the others go on.
    fn drive(
        &mut self,
        id: u64,
        handle: impl FnOnce(&mut ThreadCall, &Poller, &mut [u8], Instant) -> Result<()>,
    ) {
        let (poller, buffer, now) = (&self.poller, &mut self.buffer, self.now);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let handled = catch_unwind(AssertUnwindSafe(|| {
            handle(call, poller, buffer, now).and_then(|()| call.settle(poller, now))
        }));
        match handled {
            Ok(Ok(Handled::GoesOn)) => self.schedule(id),
            Ok(Ok(Handled::Over)) => {
                if let Some(call) = self.calls.remove(&id) {
                    call.end();
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a call ends, as the system does not watch its sockets");
                self.calls.remove(&id);
            }
            Err(_) => {
                tracing::error!("a call ends after a panic in its media");
                self.calls.remove(&id);
            }
        }
    }

    /// Ends a call: at once if its allocation goes back to the pool, otherwise when its last packets have left.
    fn close(&mut self, id: u64) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        if let Some(call) = call.close(&self.poller, self.now) {
            self.calls.insert(id, call);
            self.drive(id, |_, _, _, _| Ok(()));
        }
    }

    fn schedule(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(next) = call.next_timeout() else {
            return;
        };
        // A time that has passed already must not keep the thread from the other calls.
        let next = next.max(self.now + SOONEST);
        if call.queued.is_none_or(|queued| next < queued) {
            call.queued = Some(next);
            self.timeouts.push(Reverse((next, id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::media_thread::call::tests::unconnected;

    #[test]
    fn a_call_that_panics_ends_alone_and_its_task_learns() {
        let mut reactor = Reactor::new().unwrap();
        let mut reports = Vec::new();
        for id in [1, 2] {
            let (call, of_call) = unconnected();
            reactor.calls.insert(id, call);
            reports.push(of_call);
            reactor.drive(id, |call, poller, buffer, now| {
                call.begin(id, poller, buffer, now)
            });
        }
        reactor.drive(1, |_, _, _, _| panic!("a fault of the media core"));
        let [mut first, mut second] = reports.try_into().unwrap();
        assert!(first.try_recv().is_err() && first.is_closed());
        reactor.drive(2, |_, _, _, _| Ok(()));
        assert!(reactor.calls.contains_key(&2) && !reactor.calls.contains_key(&1));
        assert!(second.try_recv().is_err() && !second.is_closed());
    }

    #[test]
    fn packets_of_a_call_cost_no_timeouts() {
        let mut reactor = Reactor::new().unwrap();
        let (call, _reports) = unconnected();
        reactor.calls.insert(1, call);
        for _ in 0..1_000 {
            reactor.drive(1, |_, _, _, _| Ok(()));
        }
        assert!(
            reactor.timeouts.len() < 5,
            "{} timeouts",
            reactor.timeouts.len()
        );
    }
}
