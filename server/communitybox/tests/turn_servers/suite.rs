//! What both servers do alike.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::TurnServer;
use ringfence_box::settings::TurnProgram;
use ringfence_box::turn::probe::{ProbeFault, probe};
use ringfence_box::turn::{TurnLimits, TurnPlan};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use crate::caller::{Caller, Wire, credentials};

pub(crate) const SECRET: &str = "what-server-and-book-share";
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const WIRES: [Wire; 2] = [Wire::Udp, Wire::Tcp];

/// Peers that no stranger may reach through us: the machine itself and the networks around it.
const INSIDE: [&str; 9] = [
    "127.0.0.1:80",
    "10.0.0.1:80",
    "172.16.0.1:80",
    "192.168.1.1:80",
    "169.254.169.254:80",
    "100.64.0.1:80",
    "192.0.2.1:80",
    "0.0.0.1:80",
    "240.0.0.1:80",
];

pub(crate) fn plan(allow_private: bool) -> TurnPlan {
    TurnPlan::new(ANY_PORT, TurnSecret::new(SECRET.to_owned()), allow_private)
}

/// Whether coturn's half of the suite runs; it says so loudly where not.
///
/// # Panics
/// In CI (`CI` is set), where nothing may be skipped.
#[expect(
    clippy::print_stderr,
    reason = "the output of the tests must show what was not tested"
)]
pub(crate) fn has_coturn() -> bool {
    #[cfg(unix)]
    if ringfence_box::turn::coturn::Coturn::is_installed() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "coturn is not installed; tests/run installs it"
    );
    eprintln!("\n*** SKIPPED: coturn is not installed; tests/run installs it ***\n");
    false
}

/// Runs `test` against both servers.
async fn with_both(plan: TurnPlan, test: impl AsyncFn(SocketAddr)) {
    let mut programs = vec![TurnProgram::Embedded];
    if has_coturn() {
        programs.push(TurnProgram::Coturn);
    }
    for program in programs {
        let turn = TurnServer::start(program, plan.clone()).await.unwrap();
        let addr = turn.local_addr();
        test(addr).await;
        turn.stop().await;
        // Its port is free again.
        drop(UdpSocket::bind(addr).await.unwrap());
    }
}

async fn caller(server: SocketAddr, wire: Wire, user: &str) -> Caller {
    Caller::new(server, wire, credentials(SECRET, user, 60)).await
}

/// A caller with an allocation. coturn counts one that was given back, as after its keeper's look at the start, for a second longer.
async fn admitted(server: SocketAddr, wire: Wire, user: &str) -> Caller {
    let give_up = Instant::now() + Duration::from_secs(10);
    loop {
        let mut caller = caller(server, wire, user).await;
        match caller.allocate().await {
            Ok(_) => return caller,
            Err(code) => assert!(code == 486 && Instant::now() < give_up, "{code}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_cross_both_ways_over_udp_and_tcp() {
    with_both(plan(true), async |server| {
        for wire in WIRES {
            let peer = UdpSocket::bind(ANY_PORT).await.unwrap();
            let there = peer.local_addr().unwrap();
            let mut caller = caller(server, wire, "a").await;
            let relayed = caller.allocate().await.unwrap();
            assert_eq!(relayed.ip(), server.ip());
            assert_eq!(caller.permit(there).await, Ok(()));
            caller.send(there, b"hello").await;
            let mut heard = [0; 16];
            let arrival = timeout(Duration::from_secs(5), peer.recv_from(&mut heard));
            assert_eq!(arrival.await.unwrap().unwrap(), (5, relayed), "{wire:?}");
            peer.send_to(b"hello yourself", relayed).await.unwrap();
            assert_eq!(caller.receive().await, b"hello yourself");
            assert_eq!(caller.release().await, Ok(()));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_and_forged_credentials_are_refused() {
    with_both(plan(true), async |server| {
        for wire in WIRES {
            for (secret, seconds) in [(SECRET, -1), ("an-invented-secret", 60)] {
                let login = credentials(secret, "a", seconds);
                let mut caller = Caller::new(server, wire, login).await;
                assert_eq!(caller.allocate().await, Err(401), "{secret} {seconds}");
            }
            let login = ("alice".to_owned(), "secret".to_owned());
            let mut caller = Caller::new(server, wire, login).await;
            assert_eq!(caller.allocate().await, Err(401));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_quota_is_refused_until_an_allocation_is_given_back() {
    let limits = TurnLimits {
        allocations: 3,
        allocations_per_user: 2,
        ..TurnLimits::DEFAULT
    };
    let plan = TurnPlan {
        limits,
        ..plan(true)
    };
    with_both(plan, async |server| {
        let login = credentials(SECRET, "a", 60);
        let mut first = Vec::new();
        for wire in WIRES {
            let mut caller = Caller::new(server, wire, login.clone()).await;
            caller.allocate().await.unwrap();
            first.push(caller);
        }
        let mut third = Caller::new(server, Wire::Udp, login).await;
        assert_eq!(third.allocate().await, Err(486), "of this user");
        let _other = admitted(server, Wire::Tcp, "b").await;
        let mut late = caller(server, Wire::Udp, "c").await;
        assert_eq!(late.allocate().await, Err(486), "in total");
        assert_eq!(first[0].release().await, Ok(()));
        admitted(server, Wire::Udp, "c").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_machine_and_the_networks_around_it_are_out_of_reach() {
    with_both(plan(false), async |server| {
        for wire in WIRES {
            let mut caller = caller(server, wire, "a").await;
            caller.allocate().await.unwrap();
            for peer in INSIDE {
                let peer = peer.parse().unwrap();
                assert_eq!(caller.permit(peer).await, Err(403), "{peer}");
                assert_eq!(caller.bind_channel(peer).await, Err(403), "{peer}");
            }
            let own = SocketAddr::new(server.ip(), server.port());
            assert_eq!(caller.permit(own).await, Err(403));
            assert_eq!(caller.permit("1.1.1.1:80".parse().unwrap()).await, Ok(()));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_gets_an_allocation_or_the_reason_why_not() {
    with_both(plan(false), async |server| {
        let relayed = probe(server, &credentials(SECRET, "a", 60)).await.unwrap();
        assert_eq!(relayed.ip(), server.ip());
        let fault = probe(server, &credentials("wrong", "a", 60)).await;
        assert!(matches!(fault, Err(ProbeFault::Refused(401))), "{fault:?}");
    })
    .await;
    let silent = UdpSocket::bind(ANY_PORT).await.unwrap();
    let fault = probe(silent.local_addr().unwrap(), &credentials(SECRET, "a", 60)).await;
    assert!(matches!(fault, Err(ProbeFault::Silent)), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allocations_have_the_ports_and_the_external_address_of_the_plan() {
    let plan = TurnPlan {
        external_ip: Some("1.2.3.4".parse().unwrap()),
        ports: Some(40_000..=40_099),
        ..plan(true)
    };
    with_both(plan, async |server| {
        let mut parties = Vec::new();
        for user in ["a", "b"] {
            let mut party = caller(server, Wire::Udp, user).await;
            let relayed = party.allocate().await.unwrap();
            assert_eq!(relayed.ip().to_string(), "1.2.3.4");
            assert!((40_000..=40_099).contains(&relayed.port()), "{relayed}");
            parties.push((party, relayed));
        }
        // Both sit at this server: packets between them need not go round by the NAT.
        let [(one, at_one), (two, at_two)] = &mut parties[..] else {
            unreachable!("two parties");
        };
        assert_eq!(one.permit(*at_two).await, Ok(()));
        assert_eq!(two.permit(*at_one).await, Ok(()));
        one.send(*at_two, b"hello").await;
        assert_eq!(two.receive().await, b"hello");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_and_an_uncertain_address_are_said() {
    with_both(plan(false), async |server| {
        let taken = TurnPlan {
            listen: server,
            ..plan(false)
        };
        let anywhere = TurnPlan {
            listen: "0.0.0.0:0".parse().unwrap(),
            ..plan(false)
        };
        let mut programs = vec![TurnProgram::Embedded];
        if has_coturn() {
            programs.push(TurnProgram::Coturn);
        }
        for program in programs {
            let error = TurnServer::start(program, taken.clone()).await.unwrap_err();
            assert!(error.to_string().contains(&server.to_string()), "{error}");
            assert!(TurnServer::start(program, anywhere.clone()).await.is_err());
        }
    })
    .await;
}
