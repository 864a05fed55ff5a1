//! One allocation of a slot, from the tick at which it is made until an overlap after the next. Its end is set at its beginning: a call
//! that takes it and is not answered gives it back, and meanwhile checks it as usual, so that the server sees the same as without
//! the call.
//!
//! What the server does see: an answered call, whose allocation it keeps to the call's end; and a call that finds both slots
//! taken, which dials.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ringfence_book::backoff::Backoff;
use ringfence_media::far::{CHECK_LIMIT, FarLegError, TurnWay, WayOutput};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::board::Board;
use super::{AllocationRequest, Checks, Home, PoolTiming, Returned, WarmAllocation};
use crate::clock::{self, until};
use crate::turn::TurnSocket;
use crate::turn::allocation_io::{release, send, step};
use crate::turn::probe::TurnProbeError;
use crate::turn::race::{Race, RaceTerms, Winner};
use crate::turn::servers::DialTurn;

/// Makes and keeps the allocations of one slot.
#[derive(Clone, Debug)]
pub(super) struct Keeper<S> {
    pub(super) slot: usize,
    pub(super) timing: Arc<PoolTiming>,
    pub(super) servers: S,
    pub(super) board: Arc<Board>,
    pub(super) doubts: watch::Receiver<u64>,
}

type Requests = mpsc::Receiver<AllocationRequest>;
type Doubts = watch::Receiver<u64>;

impl<S: DialTurn> Keeper<S> {
    /// Keeps an allocation until `overlap` after `tick`. One that is lost is made again, and if no server gives one, they are asked less
    /// and less often, until the tick: then the slot's next one is. Ends early when the pool is released.
    pub(super) async fn keep(self, tick: Instant, mut requests: Requests) {
        let end = tick + self.timing.overlap;
        let mut backoff = Backoff::new(self.timing.first_pause, self.timing.longest_pause, 2);
        let (mut endings, mut doubts) = (JoinSet::new(), self.doubts.clone());
        doubts.mark_unchanged();
        loop {
            let mut race = Race::start(self.servers.clone(), RaceTerms::of_slot(self.slot));
            let outcome = unless_in_doubt(&mut doubts, race.outcome());
            let outcome = meanwhile(&mut requests, outcome).await;
            endings.spawn(race.end());
            while endings.try_join_next().is_some() {}
            let failure = match outcome {
                // Over the network of before, this race may wait for long.
                Some(None) if clock::now() < tick => continue,
                Some(None) => break,
                Some(Some(Ok(winner))) => {
                    self.board.note_ready(self.slot, &winner.choice);
                    backoff.reset();
                    let kept = Kept::new(&self, *winner, end);
                    kept.keep(&mut requests, &mut doubts, &mut endings).await
                }
                Some(Some(Err(error))) => Some(error),
                None => None,
            };
            let least = failure.as_ref().map(TurnProbeError::least_pause);
            if let Some(failure) = failure {
                tracing::debug!(%failure, "no allocation is ready");
                self.board.note_failure(self.slot, failure);
            }
            let Some(least) = least else {
                break;
            };
            let rest = backoff.next_delay().saturating_sub(least);
            let pause = async {
                sleep(least).await;
                unless_in_doubt(&mut doubts, sleep(rest)).await
            };
            match meanwhile(&mut requests, pause).await {
                None => break,
                Some(None) => backoff.reset(),
                Some(Some(())) => {}
            }
            if tick <= clock::now() {
                break;
            }
        }
        drop(requests);
        while endings.join_next().await.is_some() {}
    }
}

/// Waits for `work`; a call that asks meanwhile finds nothing. `None` when the pool is released.
async fn meanwhile<T>(requests: &mut Requests, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            request = requests.recv() => drop(request?),
        }
    }
}

/// Waits for `work`; `None` when there is a doubt of the network before.
async fn unless_in_doubt<T>(doubts: &mut Doubts, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        Ok(()) = doubts.changed() => None,
    }
}

/// An allocation.
#[derive(Debug)]
struct Kept<'a, S> {
    keeper: &'a Keeper<S>,
    way: TurnWay,
    turn: TurnSocket,
    /// Whether a call had it.
    was_taken: bool,
    checks: Checks,
    end: Instant,
}

impl<'a, S: DialTurn> Kept<'a, S> {
    fn new(keeper: &'a Keeper<S>, winner: Winner, end: Instant) -> Self {
        let every = keeper.timing.checked_every;
        Self {
            keeper,
            way: winner.way,
            turn: winner.turn,
            was_taken: false,
            checks: Checks {
                at: clock::now() + every,
                every,
            },
            end,
        }
    }

    /// Keeps the allocation to its end, then releases it in the background. An error when it is lost before; `None` otherwise.
    async fn keep(
        mut self,
        requests: &mut Requests,
        doubts: &mut Doubts,
        endings: &mut JoinSet<()>,
    ) -> Option<TurnProbeError> {
        let mut buffer = Vec::new();
        loop {
            if let Some(error) = self.drain() {
                endings.spawn(release(self.way, self.turn));
                let error = match error {
                    // Its login is over, and the server may give one with another login.
                    FarLegError::Allocation { .. } => FarLegError::ServerGone,
                    other => other,
                };
                return Some(TurnProbeError::Refused(error));
            }
            let wake = self.checks.at().min(self.end);
            tokio::select! {
                request = requests.recv() => match request {
                    None => break,
                    Some(request) => match self.offer(request) {
                        Offer::Refused(kept) => self = *kept,
                        Offer::Taken(call) => self = match call.wait(requests).await {
                            Ok(kept) => *kept,
                            Err(error) => return error,
                        },
                    },
                },
                Ok(()) = doubts.changed() => self.doubt(doubts),
                () = step(&mut self.way, &mut self.turn, &mut buffer, Some(wake)) => {}
            }
            let now = clock::now();
            if self.end <= now {
                break;
            }
            if self.checks.are_due(now) {
                self.way.check(CHECK_LIMIT, now);
            }
        }
        endings.spawn(release(self.way, self.turn));
        None
    }

    /// Asks the server whether the allocation stands. Nothing can come back to an address that this machine has lost: then another
    /// allocation is made without a pause.
    fn doubt(&mut self, doubts: &mut Doubts) {
        if self.turn.has_own_address() {
            self.way.check(CHECK_LIMIT, clock::now());
        } else {
            self.way.handle_turn_unreachable();
            doubts.mark_changed();
        }
    }

    /// Hands the allocation to a call. Not one that is being checked, which may fail: dialling is faster.
    fn offer(self, request: AllocationRequest) -> Offer<'a, S> {
        let fits = |address: SocketAddr| {
            let is_other = !request.avoid.contains(&address.ip());
            is_other
                && request
                    .is_ipv6
                    .is_none_or(|is_ipv6| is_ipv6 == address.is_ipv6())
        };
        let is_free = self.way.is_ready() && self.way.address().is_some_and(fits);
        if self.was_taken || !is_free {
            return Offer::Refused(Box::new(self));
        }
        let (home, back) = oneshot::channel();
        let Self {
            keeper,
            way,
            turn,
            checks,
            end,
            ..
        } = self;
        let offered = request.reply.send(WarmAllocation {
            way,
            turn,
            checks,
            home: Home(home),
        });
        match offered {
            Ok(()) => Offer::Taken(WithCall { keeper, back, end }),
            // The call has ended already, and no callee was told.
            Err(unclaimed) => Offer::Refused(Box::new(Kept {
                keeper,
                way: unclaimed.way,
                turn: unclaimed.turn,
                was_taken: false,
                checks,
                end,
            })),
        }
    }

    /// Sends what is to be sent; returns the error of an allocation that is lost.
    fn drain(&mut self) -> Option<FarLegError> {
        while let Some(output) = send(&mut self.way, &mut self.turn) {
            if let WayOutput::Lost(error) = output {
                return Some(error);
            }
        }
        None
    }
}

/// What became of an offer.
enum Offer<'a, S> {
    Refused(Box<Kept<'a, S>>),
    Taken(WithCall<'a, S>),
}

/// An allocation that a call has.
struct WithCall<'a, S> {
    keeper: &'a Keeper<S>,
    back: oneshot::Receiver<Returned>,
    end: Instant,
}

impl<'a, S> WithCall<'a, S> {
    /// Waits until the call gives it back, or the end. An error if it came back lost.
    async fn wait(
        self,
        requests: &mut Requests,
    ) -> Result<Box<Kept<'a, S>>, Option<TurnProbeError>> {
        let returned = async {
            tokio::select! {
                back = self.back => back.ok(),
                () = until(Some(self.end)) => None,
            }
        };
        match meanwhile(requests, returned).await.flatten() {
            Some(Returned::Waiting(back)) => {
                let (way, turn, checks) = *back;
                Ok(Box::new(Kept {
                    keeper: self.keeper,
                    way,
                    turn,
                    was_taken: true,
                    checks,
                    end: self.end,
                }))
            }
            Some(Returned::Lost) => Err(Some(TurnProbeError::Refused(FarLegError::ServerGone))),
            None => Err(None),
        }
    }
}
