//! One allocation kept ready for the next call (RFC 8656), so that neither the ring nor the answer waits for the TURN server, and the
//! server does not learn the moment of dialling.
//!
//! The pool makes, checks and replaces the allocation at times that have nothing to do with rings. A call that finds none dials a
//! server itself: no call waits here. Which call takes the allocation is the engine's decision.

use std::ops::Range;
use std::time::{Duration, Instant};

use rand::RngExt;
use ringfence_book::backoff::Backoff;
use ringfence_media::LocalEndpoint;
use ringfence_media::far::{FarEvent, FarLeg, FarLegError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::TurnSocket;
use super::allocation_io::{release, send, step};
use super::probe::TurnProbeError;
use super::servers::{DialledTurn, ServerChoice, TurnServers};
use crate::clock;

/// Calls that ask at the same moment. One gets the allocation; a call that finds the queue full dials.
const REQUESTS: usize = 4;

/// When allocations are made, checked and replaced.
const TIMING: PoolTiming = PoolTiming {
    replaced_after: 10_000..30_000,
    old_after: 600_000..1_200_000,
    checked_every: Duration::from_secs(20),
    first_pause: Duration::from_secs(1),
    longest_pause: Duration::from_secs(60),
};

#[derive(Clone, Debug)]
struct PoolTiming {
    /// From the moment at which a call takes an allocation to the making of the next, in milliseconds. Late enough not to compete
    /// with that call for bandwidth; random, so that a new allocation does not tell the server when the last one was taken.
    replaced_after: Range<u64>,
    /// The greatest age of an allocation that no call took, in milliseconds. Its login must outlive it by the longest call; and a
    /// server that sees allocations come and go cannot tell an unanswered call from one that grew old.
    old_after: Range<u64>,
    /// Between two checks: less than the half minute after which some NATs drop a UDP mapping. A server that has restarted is
    /// noticed within the same time.
    checked_every: Duration,
    /// After the first failure. Each further one doubles it.
    first_pause: Duration,
    longest_pause: Duration,
}

/// A call that asks for the allocation. The pool drops it when there is none.
type AllocationRequest = oneshot::Sender<WarmAllocation>;

/// An allocated far leg, its socket, and what the other engine must be told about it.
#[derive(Debug)]
pub(crate) struct WarmAllocation {
    pub(crate) leg: FarLeg,
    pub(crate) turn: TurnSocket,
    pub(crate) local: LocalEndpoint,
}

/// Takes allocations from a pool. Does not keep the pool alive.
#[derive(Clone, Debug)]
pub(crate) struct AllocationPoolHandle(mpsc::WeakSender<AllocationRequest>);

/// Keeps one allocation ready until it is told to release it, or dropped.
#[derive(Debug)]
pub(crate) struct AllocationPool {
    requests: mpsc::Sender<AllocationRequest>,
    state: watch::Receiver<PoolState>,
    task: JoinHandle<()>,
}

/// What the pool knows of the TURN servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolState {
    /// Whether an allocation is ready. After a call has taken it there is none for some seconds, and the next call dials.
    pub(crate) is_ready: bool,
    /// The server of the last allocation; `None` before the first.
    pub(crate) server: Option<ServerChoice>,
    /// Why the last attempt failed, or the last allocation was lost; `None` since an allocation was made.
    pub(crate) failure: Option<TurnProbeError>,
}

/// Why an allocation left the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Departure {
    Taken,
    Old,
    Failed(TurnProbeError),
}

impl AllocationPool {
    /// Begins to keep an allocation ready.
    pub(crate) fn start(servers: TurnServers) -> (Self, AllocationPoolHandle) {
        Self::start_with(TIMING, servers)
    }

    fn start_with(timing: PoolTiming, servers: TurnServers) -> (Self, AllocationPoolHandle) {
        let (requests, mut received) = mpsc::channel(REQUESTS);
        let handle = AllocationPoolHandle(requests.downgrade());
        let (shown, state) = watch::channel(PoolState::default());
        let task = tokio::spawn(async move {
            keep(&timing, &servers, &mut received, &shown).await;
        });
        let pool = Self {
            requests,
            state,
            task,
        };
        (pool, handle)
    }

    /// What the pool knows of the servers, and a way to wait for its next change.
    pub(crate) fn state(&self) -> watch::Receiver<PoolState> {
        self.state.clone()
    }

    /// Releases the allocation at its server. The returned task ends with that, within 2.5 s.
    pub(crate) fn release(self) -> JoinHandle<()> {
        drop(self.requests);
        self.task
    }
}

impl AllocationPoolHandle {
    /// The allocation, if one is ready. Does not wait for the network.
    pub(crate) async fn take(&self) -> Option<WarmAllocation> {
        let (reply, answer) = oneshot::channel();
        self.0.upgrade()?.try_send(reply).ok()?;
        answer.await.ok()
    }
}

/// Keeps one allocation after the other. `None` when the pool is released.
async fn keep(
    timing: &PoolTiming,
    servers: &TurnServers,
    requests: &mut mpsc::Receiver<AllocationRequest>,
    shown: &watch::Sender<PoolState>,
) -> Option<()> {
    let mut backoff = Backoff::new(timing.first_pause, timing.longest_pause, 2);
    loop {
        let departure = match meanwhile(requests, servers.dial()).await? {
            Ok(dialled) => {
                KeptAllocation::new(dialled, timing)
                    .keep(timing, requests, shown)
                    .await?
            }
            Err(error) => Departure::Failed(error),
        };
        let pause = match &departure {
            Departure::Old => Duration::ZERO,
            Departure::Taken => {
                Duration::from_millis(rand::rng().random_range(timing.replaced_after.clone()))
            }
            Departure::Failed(error) => {
                tracing::debug!(%error, "no allocation is ready");
                backoff.next_delay()
            }
        };
        let failure = match departure {
            Departure::Failed(error) => Some(error),
            Departure::Old | Departure::Taken => {
                backoff.reset();
                None
            }
        };
        shown.send_if_modified(|state| {
            let changed = state.is_ready || state.failure != failure;
            (state.is_ready, state.failure) = (false, failure);
            changed
        });
        meanwhile(requests, sleep(pause)).await?;
    }
}

/// Waits for `work`; a call that asks meanwhile finds nothing. `None` when the pool is released.
async fn meanwhile<T>(
    requests: &mut mpsc::Receiver<AllocationRequest>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            request = requests.recv() => drop(request?),
        }
    }
}

/// An allocation in the pool, or one that is being made.
#[derive(Debug)]
struct KeptAllocation {
    leg: FarLeg,
    turn: TurnSocket,
    choice: ServerChoice,
    local: Option<LocalEndpoint>,
    check_at: Instant,
    old_at: Instant,
}

impl KeptAllocation {
    fn new(dialled: DialledTurn, timing: &PoolTiming) -> Self {
        let (now, mut random) = (clock::now(), rand::rng());
        Self {
            leg: FarLeg::new(dialled.config, random.random(), now),
            turn: dialled.socket,
            choice: dialled.choice,
            local: None,
            check_at: now + timing.checked_every,
            old_at: now + Duration::from_millis(random.random_range(timing.old_after.clone())),
        }
    }

    /// Keeps the allocation alive until it departs. Unless a call has taken it, it is released at the server. `None` when the pool
    /// is released.
    async fn keep(
        mut self,
        timing: &PoolTiming,
        requests: &mut mpsc::Receiver<AllocationRequest>,
        shown: &watch::Sender<PoolState>,
    ) -> Option<Departure> {
        let mut buffer = Vec::new();
        let departure = loop {
            if let Some(error) = self.drain() {
                break Some(Departure::Failed(TurnProbeError::Refused(error)));
            }
            if self.local.is_some() {
                self.show(shown);
            }
            let wake = self.check_at.min(self.old_at);
            tokio::select! {
                request = requests.recv() => match (request, self.local.take()) {
                    (None, _) => break None,
                    (Some(request), Some(local)) if self.leg.is_ready() => {
                        let Self { leg, turn, .. } = self;
                        let Err(unclaimed) = request.send(WarmAllocation { leg, turn, local }) else {
                            return Some(Departure::Taken);
                        };
                        // The call has ended already.
                        let released = release_meanwhile(unclaimed.leg, unclaimed.turn, requests).await;
                        return released.map(|()| Departure::Old);
                    }
                    // Not allocated yet, or under a check that may fail: dialling is faster for the call.
                    (Some(_), local) => self.local = local,
                },
                () = step(&mut self.leg, &mut self.turn, &mut buffer, Some(wake)) => {}
            }
            let now = clock::now();
            if self.old_at <= now {
                break Some(Departure::Old);
            }
            if self.check_at <= now {
                self.check_at = now + timing.checked_every;
                self.leg.check(now);
            }
        };
        release_meanwhile(self.leg, self.turn, requests).await?;
        departure
    }

    /// Shows that this allocation is ready.
    fn show(&self, shown: &watch::Sender<PoolState>) {
        shown.send_if_modified(|state| {
            let changed = !state.is_ready;
            if changed {
                *state = PoolState {
                    is_ready: true,
                    server: Some(self.choice.clone()),
                    failure: None,
                };
            }
            changed
        });
    }

    /// Sends what the leg wants to send; returns its error if it has failed.
    fn drain(&mut self) -> Option<FarLegError> {
        while let Some(event) = send(&mut self.leg, &self.turn) {
            match event {
                FarEvent::Allocated(local) => self.local = Some(local),
                FarEvent::Failed(error) => return Some(error),
                _ => {}
            }
        }
        None
    }
}

/// Releases an allocation to its end, also when the pool is released meanwhile; `None` in that case.
async fn release_meanwhile(
    leg: FarLeg,
    turn: TurnSocket,
    requests: &mut mpsc::Receiver<AllocationRequest>,
) -> Option<()> {
    let mut releasing = std::pin::pin!(release(leg, turn));
    let done = meanwhile(requests, releasing.as_mut()).await;
    if done.is_none() {
        releasing.await;
    }
    done
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use ringfence_book::turn_credentials::TurnSecret;
    use ringfence_box::turn::service::EmbeddedTurn;
    use ringfence_media::far::Role;
    use ringfence_media::{Codec, Description};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::net::tls;
    use crate::state::secret::Secret;
    use crate::turn::TurnEndpoint;
    use crate::turn::credentials::TurnLogin;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    const LIMIT: Duration = Duration::from_secs(20);

    fn quick() -> PoolTiming {
        PoolTiming {
            replaced_after: 100..200,
            old_after: 60_000..60_001,
            checked_every: Duration::from_millis(50),
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_millis(80),
        }
    }

    async fn turn_at(addr: SocketAddr) -> EmbeddedTurn {
        EmbeddedTurn::start(addr, TurnSecret::new("secret".to_owned()), true)
            .await
            .unwrap()
    }

    async fn servers(addr: SocketAddr, transport: &str) -> TurnServers {
        let endpoint: TurnEndpoint = format!("turn:{addr}?transport={transport}")
            .parse()
            .unwrap();
        let target = endpoint.resolve(tls::client(None).unwrap()).await.unwrap();
        let login = TurnLogin::Shared(Secret::new("secret".to_owned()));
        TurnServers::new(vec![target], login, true)
    }

    async fn eventually(what: impl Fn() -> bool) {
        let wait = async {
            while !what() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, wait).await.unwrap();
    }

    async fn take(handle: &AllocationPoolHandle) -> WarmAllocation {
        let wait = async {
            loop {
                if let Some(allocation) = handle.take().await {
                    return allocation;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, wait).await.unwrap()
    }

    async fn connects(mut allocation: WarmAllocation, other: LocalEndpoint, role: Role) {
        let remote = Description {
            ufrag: other.ufrag,
            pwd: other.pwd,
            fingerprint: other.fingerprint,
            ssrc: other.ssrc,
            relayed_addresses: vec![other.relayed_address],
            codecs: vec![Codec::Pcmu],
            video: None,
        };
        let now = clock::now();
        allocation.leg.connect(&remote, role, now).unwrap();
        let mut buffer = Vec::new();
        loop {
            match send(&mut allocation.leg, &allocation.turn) {
                Some(FarEvent::Connected) => break,
                Some(FarEvent::Failed(fault)) => panic!("{fault}"),
                Some(_) => {}
                None => step(&mut allocation.leg, &mut allocation.turn, &mut buffer, None).await,
            }
        }
        // The last packets of the handshake still have to leave.
        let rest = async {
            loop {
                while send(&mut allocation.leg, &allocation.turn).is_some() {}
                step(&mut allocation.leg, &mut allocation.turn, &mut buffer, None).await;
            }
        };
        drop(timeout(Duration::from_millis(200), rest).await);
        release(allocation.leg, allocation.turn).await;
    }

    #[tokio::test]
    async fn allocations_that_were_checked_for_a_while_carry_a_call() {
        let turn = turn_at(ANY_PORT).await;
        for transport in ["udp", "tcp"] {
            let servers = servers(turn.local_addr(), transport).await;
            let (pool_a, handle_a) = AllocationPool::start_with(quick(), servers.clone());
            let (pool_b, handle_b) = AllocationPool::start_with(quick(), servers);
            eventually(|| turn.allocations() == 2).await;
            sleep(Duration::from_millis(500)).await;
            let (a, b) = (take(&handle_a).await, take(&handle_b).await);
            let (local_a, local_b) = (a.local.clone(), b.local.clone());
            let call = async {
                tokio::join!(
                    connects(a, local_b, Role::Caller),
                    connects(b, local_a, Role::Callee)
                )
            };
            timeout(LIMIT, call).await.unwrap();
            drop((pool_a, pool_b));
            eventually(|| turn.allocations() == 0).await;
        }
    }

    #[tokio::test]
    async fn the_second_call_finds_none_at_once_and_a_later_one_does() {
        let turn = turn_at(ANY_PORT).await;
        let (_pool, handle) =
            AllocationPool::start_with(quick(), servers(turn.local_addr(), "udp").await);
        let first = take(&handle).await;
        assert!(handle.take().await.is_none());
        assert_eq!(turn.allocations(), 1);
        let later = take(&handle).await;
        assert_ne!(first.local.relayed_address, later.local.relayed_address);
    }

    #[tokio::test]
    async fn the_end_gives_the_relay_back_and_nothing_can_be_had_any_more() {
        let turn = turn_at(ANY_PORT).await;
        let (pool, handle) =
            AllocationPool::start_with(quick(), servers(turn.local_addr(), "udp").await);
        eventually(|| turn.allocations() == 1).await;
        pool.release().await.unwrap();
        eventually(|| turn.allocations() == 0).await;
        assert!(handle.take().await.is_none());
    }

    #[tokio::test]
    async fn an_end_in_the_middle_of_the_making_leaves_no_relay() {
        let turn = turn_at(ANY_PORT).await;
        for micros in (0..2_000).step_by(100) {
            let (pool, _) =
                AllocationPool::start_with(quick(), servers(turn.local_addr(), "udp").await);
            sleep(Duration::from_micros(micros)).await;
            timeout(LIMIT, pool.release()).await.unwrap().unwrap();
        }
        eventually(|| turn.allocations() == 0).await;
    }

    #[tokio::test]
    async fn an_old_allocation_is_given_back_and_there_is_always_another() {
        let turn = turn_at(ANY_PORT).await;
        let servers = servers(turn.local_addr(), "udp").await;
        let timing = PoolTiming {
            old_after: 100..101,
            ..quick()
        };
        let dialled = servers.dial().await.unwrap();
        let (_sender, mut requests) = mpsc::channel(REQUESTS);
        let waiting = KeptAllocation::new(dialled, &timing);
        let ready = watch::Sender::default();
        let (departure, ()) = tokio::join!(
            waiting.keep(&timing, &mut requests, &ready),
            eventually(|| turn.allocations() == 1)
        );
        assert_eq!(departure, Some(Departure::Old));
        eventually(|| turn.allocations() == 0).await;

        let (pool, handle) = AllocationPool::start_with(timing, servers);
        sleep(Duration::from_secs(1)).await;
        let allocation = take(&handle).await;
        eventually(|| !pool.state().borrow().is_ready).await;
        assert_eq!(turn.allocations(), 1, "only the youngest");
        release(allocation.leg, allocation.turn).await;
        pool.release().await.unwrap();
        eventually(|| turn.allocations() == 0).await;
    }

    #[tokio::test]
    async fn a_server_that_restarted_has_a_allocation_again() {
        for transport in ["udp", "tcp"] {
            let turn = turn_at(ANY_PORT).await;
            let addr = turn.local_addr();
            let (_pool, handle) =
                AllocationPool::start_with(quick(), servers(addr, transport).await);
            eventually(|| turn.allocations() == 1).await;
            turn.stop().await;
            let turn = turn_at(addr).await;
            eventually(|| turn.allocations() == 1).await;
            drop(take(&handle).await);
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_asked_less_and_less_often() {
        let server = TcpListener::bind(ANY_PORT).await.unwrap();
        let servers = servers(server.local_addr().unwrap(), "tcp").await;
        let (_pool, handle) = AllocationPool::start_with(quick(), servers);
        let mut dialled = 0;
        let count = async {
            loop {
                drop(server.accept().await);
                dialled += 1;
                assert!(handle.take().await.is_none());
            }
        };
        drop(timeout(Duration::from_secs(1), count).await);
        // After 0, 20 and 60 ms, then every 80 ms.
        assert!((3..=15).contains(&dialled), "{dialled}");
    }

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the test stands in for the server"
    )]
    async fn a_silent_server_holds_nothing_up() {
        let silent = tokio::net::UdpSocket::bind(ANY_PORT).await.unwrap();
        let (_pool, handle) =
            AllocationPool::start_with(quick(), servers(silent.local_addr().unwrap(), "udp").await);
        let mut asked = [0; 64];
        silent.recv(&mut asked).await.unwrap();
        let taken = timeout(Duration::from_millis(500), handle.take()).await;
        assert!(taken.unwrap().is_none());
    }
}
