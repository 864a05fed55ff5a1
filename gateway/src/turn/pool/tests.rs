//! The pool beside the embedded TURN server, and in simulated time.

use std::net::{Ipv4Addr, SocketAddr};

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_media::far::{FarEvent, FarLeg, FarOutput, Role};
use ringfence_media::{Codec, Description, LocalEndpoint};
use tokio::net::TcpListener;
use tokio::time::timeout;

use tokio::time::sleep;

use super::*;
use crate::net::tls;
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;
use crate::turn::allocation_io::release;
use crate::turn::credentials::{CredentialPool, TurnLogin};
use crate::turn::race::{Race, RaceTerms};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const LIMIT: Duration = Duration::from_secs(20);

fn quick() -> PoolTiming {
    PoolTiming {
        period: 60_000..60_001,
        overlap: Duration::from_millis(100),
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
    let target = endpoint.resolve(&tls::client(None).unwrap()).await.unwrap();
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
            if let Some(allocation) = handle.take(&[]).await {
                return allocation;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap()
}

fn relayed_ip(allocation: &WarmAllocation) -> IpAddr {
    allocation.way.address().unwrap().ip()
}

/// A call that has taken an allocation.
struct TestCall {
    leg: FarLeg,
    turn: TurnSocket,
    local: LocalEndpoint,
    buffer: Vec<u8>,
}

impl TestCall {
    fn new(allocation: WarmAllocation, seed: u8) -> Self {
        let mut leg = FarLeg::new(allocation.way, [seed; 32], clock::now());
        let Some(FarOutput::Event(FarEvent::Allocated(local))) = leg.poll() else {
            panic!("the allocation stands");
        };
        Self {
            leg,
            turn: allocation.turn,
            local: *local,
            buffer: Vec::new(),
        }
    }

    async fn next(&mut self) -> Option<FarEvent> {
        while let Some(output) = self.leg.poll() {
            match output {
                FarOutput::ToServer(bytes) => drop(self.turn.send(&bytes)),
                FarOutput::Event(event) => return Some(event),
            }
        }
        let timeout = self.leg.next_timeout().map(|(at, _)| at);
        tokio::select! {
            open = self.turn.recv(&mut self.buffer) => {
                assert!(open);
                self.leg.handle_turn(&self.buffer, clock::now());
            }
            () = until(timeout) => self.leg.handle_timeout(clock::now()),
        }
        None
    }

    async fn connects(mut self, other: LocalEndpoint, role: Role) {
        let remote = Description {
            ufrag: other.ufrag,
            pwd: other.pwd,
            fingerprint: other.fingerprint,
            ssrc: other.ssrc,
            relayed_addresses: vec![other.relayed_address],
            codecs: vec![Codec::Pcmu],
            video: None,
        };
        self.leg.connect(&remote, role, clock::now()).unwrap();
        loop {
            match self.next().await {
                Some(FarEvent::Connected) => break,
                Some(FarEvent::Failed(fault)) => panic!("{fault}"),
                _ => {}
            }
        }
        // The last packets of the handshake still have to leave.
        let rest = async {
            loop {
                self.next().await;
            }
        };
        drop(timeout(Duration::from_millis(200), rest).await);
        self.leg.close(clock::now());
        while self.leg.next_timeout().is_some() {
            self.next().await;
        }
    }
}

#[tokio::test]
async fn allocations_that_were_checked_for_a_while_carry_a_call() {
    let turn = turn_at(ANY_PORT).await;
    for transport in ["udp", "tcp"] {
        let servers = servers(turn.local_addr(), transport).await;
        let (pool_a, handle_a) = AllocationPool::start_with(quick(), servers.clone());
        let (pool_b, handle_b) = AllocationPool::start_with(quick(), servers);
        eventually(|| turn.allocations() == 4).await;
        sleep(Duration::from_millis(500)).await;
        let a = TestCall::new(take(&handle_a).await, 1);
        let b = TestCall::new(take(&handle_b).await, 2);
        let (local_a, local_b) = (a.local.clone(), b.local.clone());
        let call = async {
            tokio::join!(
                a.connects(local_b, Role::Caller),
                b.connects(local_a, Role::Callee)
            )
        };
        timeout(LIMIT, call).await.unwrap();
        drop((pool_a, pool_b));
        eventually(|| turn.allocations() == 0).await;
    }
}

#[tokio::test]
async fn two_calls_find_allocations_and_a_third_one_none_until_the_next_tick() {
    let turn = turn_at(ANY_PORT).await;
    let timing = PoolTiming {
        period: 1_500..1_501,
        ..quick()
    };
    let servers = servers(turn.local_addr(), "udp").await;
    let (_pool, handle) = AllocationPool::start_with(timing, servers);
    eventually(|| turn.allocations() == 2).await;
    let (first, second) = (take(&handle).await, take(&handle).await);
    assert_ne!(first.way.address(), second.way.address());
    assert!(handle.take(&[]).await.is_none());
    assert_eq!(turn.allocations(), 2);
    let later = take(&handle).await;
    assert_ne!(later.way.address(), first.way.address());
    assert_ne!(later.way.address(), second.way.address());
}

#[tokio::test]
async fn the_end_releases_the_allocations_and_nothing_can_be_had_any_more() {
    let turn = turn_at(ANY_PORT).await;
    let servers = servers(turn.local_addr(), "udp").await;
    let (pool, handle) = AllocationPool::start_with(quick(), servers);
    eventually(|| turn.allocations() == 2).await;
    pool.release().await.unwrap();
    eventually(|| turn.allocations() == 0).await;
    assert!(handle.take(&[]).await.is_none());
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
async fn at_each_tick_there_is_a_new_allocation_and_the_one_before_is_released_after_the_overlap() {
    let turn = turn_at(ANY_PORT).await;
    let timing = PoolTiming {
        period: 300..301,
        ..quick()
    };
    let servers = servers(turn.local_addr(), "udp").await;
    let (pool, handle) = AllocationPool::start_with(timing, servers);
    let start = clock::now();
    let (mut least, mut most) = (usize::MAX, 0);
    eventually(|| turn.allocations() == 2).await;
    while start.elapsed() < Duration::from_secs(2) {
        let now = turn.allocations();
        (least, most) = (least.min(now), most.max(now));
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((least, most), (2, 4));
    let allocation = take(&handle).await;
    // The call has ended without an answer: what comes back is kept to its end.
    let WarmAllocation {
        way,
        turn: socket,
        checks,
        home,
        ..
    } = allocation;
    assert!(home.give_back(way, socket, checks).is_none());
    pool.release().await.unwrap();
    eventually(|| turn.allocations() == 0).await;
}

#[tokio::test]
async fn an_allocation_that_waits_is_checked_at_once_when_the_network_is_in_doubt() {
    let turn = turn_at(ANY_PORT).await;
    let addr = turn.local_addr();
    let timing = PoolTiming {
        checked_every: Duration::from_secs(60),
        ..quick()
    };
    let (pool, handle) = AllocationPool::start_with(timing, servers(addr, "udp").await);
    eventually(|| turn.allocations() == 2).await;
    turn.stop().await;
    let turn = turn_at(addr).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(turn.allocations(), 0, "it is not known to be lost");
    pool.check_now();
    eventually(|| turn.allocations() == 2).await;
    drop(take(&handle).await);
}

#[tokio::test]
async fn a_pool_that_waits_before_its_next_attempt_makes_it_when_the_network_is_back() {
    let addr = tokio_udp().await.local_addr().unwrap();
    let timing = PoolTiming {
        first_pause: Duration::from_secs(60),
        longest_pause: Duration::from_secs(60),
        ..quick()
    };
    // Nothing takes TCP connections there.
    let (pool, handle) = AllocationPool::start_with(timing, servers(addr, "tcp").await);
    let mut state = pool.state();
    let failed = state.wait_for(|state| state.failure.is_some());
    timeout(LIMIT, failed).await.unwrap().unwrap();
    let turn = turn_at(addr).await;
    pool.check_now();
    eventually(|| turn.allocations() == 2).await;
    drop(take(&handle).await);
}

#[tokio::test]
async fn a_callee_takes_no_allocation_that_cannot_meet_its_caller() {
    let turn = turn_at(ANY_PORT).await;
    let servers = servers(turn.local_addr(), "udp").await;
    let (_pool, handle) = AllocationPool::start_with(quick(), servers);
    eventually(|| turn.allocations() == 2).await;
    let callers = ["2001:db8::1", "198.51.100.1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let wait = async {
        while handle.take(&callers[1..]).await.is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap();
    for _ in 0..10 {
        assert!(handle.take(&callers[..1]).await.is_none());
        sleep(Duration::from_millis(5)).await;
    }
    drop(take(&handle).await);
}

#[tokio::test]
async fn a_server_that_restarted_has_allocations_again() {
    for transport in ["udp", "tcp"] {
        let turn = turn_at(ANY_PORT).await;
        let addr = turn.local_addr();
        let (_pool, handle) = AllocationPool::start_with(quick(), servers(addr, transport).await);
        eventually(|| turn.allocations() == 2).await;
        turn.stop().await;
        let turn = turn_at(addr).await;
        eventually(|| turn.allocations() == 2).await;
        drop(take(&handle).await);
    }
}

#[tokio::test]
async fn without_a_server_the_pool_knows_it_until_one_is_back() {
    let turn = turn_at(ANY_PORT).await;
    let addr = turn.local_addr();
    let (pool, handle) = AllocationPool::start_with(quick(), servers(addr, "tcp").await);
    eventually(|| turn.allocations() == 2).await;
    let state = pool.state();
    assert!(!state.borrow().is_without_server());
    turn.stop().await;
    eventually(|| state.borrow().is_without_server()).await;
    let _turn = turn_at(addr).await;
    eventually(|| !state.borrow().is_without_server()).await;
    drop(take(&handle).await);
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
            assert!(handle.take(&[]).await.is_none());
        }
    };
    drop(timeout(Duration::from_secs(1), count).await);
    // For each of the two: after 0, 20 and 60 ms, then every 80 ms.
    assert!((6..=30).contains(&dialled), "{dialled}");
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
    let taken = timeout(Duration::from_millis(500), handle.take(&[])).await;
    assert!(taken.unwrap().is_none());
}

#[tokio::test]
async fn an_allocation_that_came_back_is_given_to_no_other_call() {
    let turn = turn_at(ANY_PORT).await;
    let servers = servers(turn.local_addr(), "udp").await;
    let (_pool, handle) = AllocationPool::start_with(quick(), servers);
    eventually(|| turn.allocations() == 2).await;
    for _ in 0..2 {
        let WarmAllocation {
            way,
            turn,
            checks,
            home,
            ..
        } = take(&handle).await;
        assert!(home.give_back(way, turn, checks).is_none());
    }
    for _ in 0..20 {
        assert!(handle.take(&[]).await.is_none());
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(turn.allocations(), 2);
}

#[tokio::test]
async fn a_first_server_that_is_silent_over_udp_is_passed_over() {
    let silent = tokio_udp().await;
    let turn = turn_at(ANY_PORT).await;
    let both = two_servers(silent.local_addr().unwrap(), turn.local_addr()).await;
    let (pool, handle) = AllocationPool::start_with(quick(), both.clone());
    let mut state = pool.state();
    let second = state.wait_for(|state| {
        state
            .server
            .as_ref()
            .is_some_and(|server| server.position == 2)
    });
    let second = timeout(LIMIT, second).await.unwrap().unwrap().clone();
    assert!(second.is_ready && second.failure.is_none());
    let passed_over = second.server.unwrap().passed_over;
    assert!(passed_over.is_some(), "the status says why");
    drop((take(&handle).await, take(&handle).await));
    // A call that dials begins where an allocation was to be had.
    assert_eq!(both.order(0, &[]), [1, 0]);
}

/// Over many pairs of engines, each of which draws: caller and callee have different servers.
#[tokio::test]
async fn with_two_servers_the_sides_of_a_call_have_different_ones() {
    let (a, b) = (
        turn_at(ANY_PORT).await,
        turn_at(([127, 0, 0, 2], 0).into()).await,
    );
    let named = two_servers(a.local_addr(), b.local_addr()).await;
    let engine =
        || AllocationPool::start_with(quick(), named.clone().remembered(CredentialPool::default()));
    let (mut at_a, mut pairs) = (0, 0);
    for _ in 0..40 {
        let ((_x, caller), (y, callee)) = (engine(), engine());
        let both = |state: &PoolState| state.is_ready;
        timeout(LIMIT, y.state().wait_for(both))
            .await
            .unwrap()
            .unwrap();
        let own = relayed_ip(&take(&caller).await);
        let wait = async {
            loop {
                let other = callee.take(&[own]).await;
                if let Some(other) = other
                    .map(|other| relayed_ip(&other))
                    .filter(|other| *other != own)
                {
                    return other;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, wait).await.unwrap();
        pairs += 1;
        at_a += usize::from(own == a.local_addr().ip());
    }
    // 40 fair draws are outside of this once in ten thousand times.
    assert!(
        (8..=32).contains(&at_a),
        "{at_a} of {pairs} callers drew the first server"
    );
}

#[tokio::test]
async fn a_call_that_dials_avoids_the_other_sides_server_too() {
    let (a, b) = (
        turn_at(ANY_PORT).await,
        turn_at(([127, 0, 0, 2], 0).into()).await,
    );
    let named = two_servers(a.local_addr(), b.local_addr()).await;
    for (server, position) in [(&a, 2), (&b, 1)] {
        let avoid = [server.local_addr().ip()];
        let mut race = Race::start(named.clone(), RaceTerms::of_call(&avoid));
        let winner = race.outcome().await.unwrap();
        assert_eq!(winner.choice.position, position);
        release(winner.way, winner.turn).await;
    }
    b.stop().await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test stands in for the server"
)]
async fn tokio_udp() -> tokio::net::UdpSocket {
    tokio::net::UdpSocket::bind(ANY_PORT).await.unwrap()
}

async fn two_servers(first: SocketAddr, second: SocketAddr) -> TurnServers {
    let mut targets = Vec::new();
    for addr in [first, second] {
        let endpoint: TurnEndpoint = format!("turn:{addr}").parse().unwrap();
        targets.push(endpoint.resolve(&tls::client(None).unwrap()).await.unwrap());
    }
    TurnServers::new(
        targets,
        TurnLogin::Shared(Secret::new("secret".to_owned())),
        true,
    )
}
