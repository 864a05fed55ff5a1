//! Two allocations kept ready for the next calls (RFC 8656), so that neither the ring nor the answer waits for the TURN server, and the
//! server does not learn the moment of dialling.
//!
//! Each of two slots has a clock that no call moves: at each tick a new allocation is made, and the one before is released after an
//! overlap, whether or not a call had it ([`kept`]). With two servers the slots have different ones. A call that finds no allocation
//! dials a server itself: no call waits here. Which call takes an allocation is the engine's decision.

mod board;
#[cfg(test)]
mod day;
mod kept;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use ringfence_media::far::TurnWay;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use self::board::Board;
pub(crate) use self::board::PoolState;
use self::kept::Keeper;
use super::TurnSocket;
use super::race::family_of;
use super::servers::{DialTurn, TurnServers};
use crate::clock::{self, until};

/// Allocations that are kept.
const SLOTS: usize = 2;

/// Calls that ask a slot at the same moment. One gets the allocation; a call that finds the queue full looks elsewhere.
const REQUESTS: usize = 4;

/// When allocations are made, checked and replaced.
const TIMING: PoolTiming = PoolTiming {
    period: 600_000..1_200_000,
    overlap: Duration::from_secs(200),
    checked_every: Duration::from_secs(20),
    first_pause: Duration::from_secs(1),
    longest_pause: Duration::from_secs(15),
};

#[derive(Clone, Debug)]
struct PoolTiming {
    /// From one tick of a slot to the next, in milliseconds; drawn anew each time.
    period: Range<u64>,
    /// For how long an allocation outlives the tick that replaces it. Longer than any phone rings, so that a call that took it just
    /// before the tick, and is not answered, does not prolong its life.
    overlap: Duration,
    /// Between two checks: less than the half minute after which some NATs drop a UDP mapping. A server that has restarted is
    /// noticed within the same time.
    checked_every: Duration,
    /// After the first failure. Each further one doubles it.
    first_pause: Duration,
    /// While no server gives an allocation no call is placed: for so long after one is back.
    longest_pause: Duration,
}

/// A call that asks for an allocation.
#[derive(Debug)]
struct AllocationRequest {
    /// Relayed addresses whose server shall not be the own one.
    avoid: Arc<[IpAddr]>,
    /// The family of the other side's relayed addresses, if they are known.
    is_ipv6: Option<bool>,
    /// Dropped when there is none.
    reply: oneshot::Sender<WarmAllocation>,
}

/// An allocation and its socket.
#[derive(Debug)]
pub(crate) struct WarmAllocation {
    pub(crate) way: TurnWay,
    pub(crate) turn: TurnSocket,
    pub(crate) checks: Checks,
    pub(crate) home: Home,
}

/// When a waiting allocation is checked. It goes on while a call waits for its answer, so that the server sees no difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    at: Instant,
    every: Duration,
}

impl Checks {
    /// When the next check is due.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Whether a check is due now; the next one follows after the usual time.
    pub(crate) fn are_due(&mut self, now: Instant) -> bool {
        let due = self.at <= now;
        // A machine that slept makes one check up, not all.
        while self.at <= now {
            self.at += self.every;
        }
        due
    }
}

/// Where an allocation goes back to that never had a peer. Dropped when it had one: such an allocation ends with its call.
#[derive(Debug)]
pub(crate) struct Home(oneshot::Sender<Returned>);

/// What comes back from a call.
#[derive(Debug)]
enum Returned {
    /// The call was not answered. No other call gets the allocation: the callee has been told of it.
    Waiting(Box<(TurnWay, TurnSocket, Checks)>),
    /// The server does not know the allocation any more.
    Lost,
}

impl Home {
    /// Gives an allocation back that was not used; returns it if it outlived its slot's tick by so much that it is not missed.
    pub(crate) fn give_back(
        self,
        way: TurnWay,
        turn: TurnSocket,
        checks: Checks,
    ) -> Option<(TurnWay, TurnSocket)> {
        let back = self
            .0
            .send(Returned::Waiting(Box::new((way, turn, checks))));
        match back.err()? {
            Returned::Waiting(back) => Some((back.0, back.1)),
            Returned::Lost => None,
        }
    }

    /// The allocation was lost while it waited.
    pub(crate) fn note_lost(self) {
        self.0.send(Returned::Lost).ok();
    }
}

/// Takes allocations from a pool. Does not keep the pool alive.
#[derive(Clone, Debug)]
pub(crate) struct AllocationPoolHandle([mpsc::WeakSender<AllocationRequest>; SLOTS]);

/// Keeps allocations ready until it is told to release them, or dropped.
#[derive(Debug)]
pub(crate) struct AllocationPool {
    slots: [mpsc::Sender<AllocationRequest>; SLOTS],
    /// Changes when the network may have been lost or changed.
    doubts: watch::Sender<u64>,
    state: watch::Receiver<PoolState>,
    task: JoinHandle<()>,
}

impl AllocationPool {
    /// Begins to keep allocations ready.
    pub(crate) fn start(servers: TurnServers) -> (Self, AllocationPoolHandle) {
        Self::start_with(TIMING, servers)
    }

    fn start_with(timing: PoolTiming, servers: impl DialTurn) -> (Self, AllocationPoolHandle) {
        let (board, state) = Board::new();
        let (board, timing) = (Arc::new(board), Arc::new(timing));
        let doubts = watch::channel(0).0;
        let mut running = JoinSet::new();
        let slots = std::array::from_fn(|slot| {
            let (to_slot, requests) = mpsc::channel(REQUESTS);
            let keeper = Keeper {
                slot,
                timing: Arc::clone(&timing),
                servers: servers.clone(),
                board: Arc::clone(&board),
                doubts: doubts.subscribe(),
            };
            running.spawn(run_slot(keeper, requests));
            to_slot
        });
        let handle = AllocationPoolHandle(slots.each_ref().map(mpsc::Sender::downgrade));
        let task = tokio::spawn(async move { while running.join_next().await.is_some() {} });
        let pool = Self {
            slots,
            doubts,
            state,
            task,
        };
        (pool, handle)
    }

    /// What the pool knows of the servers, and a way to wait for its next change.
    pub(crate) fn state(&self) -> watch::Receiver<PoolState> {
        self.state.clone()
    }

    /// Checks the allocations that wait now, and tries to make those that are missing: the network may have been lost or changed. A call gets none
    /// that is being checked.
    pub(crate) fn check_now(&self) {
        self.doubts.send_modify(|count| *count += 1);
    }

    /// Releases the allocations at their servers. The returned task ends with that, within 2.5 s.
    pub(crate) fn release(self) -> JoinHandle<()> {
        drop(self.slots);
        self.task
    }
}

impl AllocationPoolHandle {
    /// An allocation, if one is ready: on another server than that of the other side's relayed addresses in `avoid`, if there is such a one,
    /// and of their family. Does not wait for the network.
    pub(crate) async fn take(&self, avoid: &[IpAddr]) -> Option<WarmAllocation> {
        let is_ipv6 = family_of(avoid);
        let avoid: Arc<[IpAddr]> = avoid.into();
        let any: Arc<[IpAddr]> = Arc::default();
        let rounds = if avoid.is_empty() {
            vec![any]
        } else {
            vec![avoid, any]
        };
        for avoid in rounds {
            for slot in &self.0 {
                let (reply, answer) = oneshot::channel();
                let request = AllocationRequest {
                    avoid: Arc::clone(&avoid),
                    is_ipv6,
                    reply,
                };
                let asked = slot
                    .upgrade()
                    .is_some_and(|slot| slot.try_send(request).is_ok());
                if asked && let Ok(allocation) = answer.await {
                    return Some(allocation);
                }
            }
        }
        None
    }
}

/// Makes an allocation at each tick until the pool is released. The end of each is set when it is made, so that nothing that calls do
/// moves it.
async fn run_slot<S: DialTurn>(keeper: Keeper<S>, mut requests: mpsc::Receiver<AllocationRequest>) {
    let mut kept = JoinSet::new();
    // Those of earlier ticks, each of which ends by itself, or when its sender is gone.
    let mut earlier: VecDeque<mpsc::Sender<AllocationRequest>> = VecDeque::new();
    'ticks: loop {
        let period = rand::rng().random_range(keeper.timing.period.clone());
        let tick = clock::now() + Duration::from_millis(period);
        let (newest, received) = mpsc::channel(REQUESTS);
        kept.spawn(keeper.clone().keep(tick, received));
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    // One that cannot be passed on is dropped, which is the answer.
                    Some(request) => drop(newest.try_send(request)),
                    None => break 'ticks,
                },
                () = until(Some(tick)) => break,
            }
        }
        earlier.retain(|sender| !sender.is_closed());
        earlier.push_back(newest);
        while kept.try_join_next().is_some() {}
    }
    drop(earlier);
    while kept.join_next().await.is_some() {}
}
