//! What the answer to a call builds on: a datagram between the relayed addresses of two engines that have not met, through real TURN
//! servers: the embedded one, and coturn, also behind `external-ip`.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_box::{TurnServer, settings::TurnProgram, turn::TurnPlan};
use ringfence_media::far::{
    DATAGRAM_LEN, FarConfig, FarEvent, FarLeg, FarOutput, TurnAccess, TurnPassword, TurnTransport,
    TurnWay,
};
use ringfence_tests::{coturn::CoturnServer, program::installed};

const SECRET: &str = "shared-by-all-servers-here";

/// Patience with one datagram on loopback.
const SOON: Duration = Duration::from_secs(2);

/// Datagrams of one trial.
const DATAGRAMS: u8 = 20;

/// A leg and its socket.
struct End {
    leg: FarLeg,
    socket: UdpSocket,
    own: Option<SocketAddr>,
    heard: Vec<Vec<u8>>,
    longest: usize,
}

impl End {
    /// An allocation of the server's family that datagrams from `permitted` reach.
    fn allocate(server: SocketAddr, permitted: &[IpAddr]) -> Self {
        Self::log_in(SECRET, server.is_ipv6(), server, permitted)
    }

    fn log_in(secret: &str, relays_ipv6: bool, server: SocketAddr, permitted: &[IpAddr]) -> Self {
        let socket = UdpSocket::bind((server.ip(), 0)).expect("a free port");
        socket.connect(server).expect("a UDP socket connects");
        socket.set_nonblocking(true).expect("it can");
        let local = socket.local_addr().expect("it is bound");
        let seed = [local.port().to_be_bytes(); 16]
            .concat()
            .try_into()
            .expect("32 bytes");
        let secret = TurnSecret::new(secret.to_owned());
        let today = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is later");
        let (username, password) = rest_credentials(
            &secret,
            Duration::from_secs(3600),
            today.as_secs(),
            &mut ChaCha20Rng::from_seed(seed),
        );
        let config = FarConfig {
            turn: TurnAccess {
                addr: server,
                transport: TurnTransport::Udp,
                username,
                password: TurnPassword::new(password),
            },
            local,
            allow_private_addresses: true,
            permitted: permitted.to_vec(),
            relays_ipv6,
        };
        let mut end = Self {
            leg: FarLeg::new(TurnWay::new(config, Instant::now()), seed, Instant::now()),
            socket,
            own: None,
            heard: Vec::new(),
            longest: 0,
        };
        let limit = Instant::now() + SOON;
        while end.own.is_none() {
            assert!(
                end.turn() || Instant::now() < limit,
                "no allocation at {server}"
            );
        }
        // The permissions are granted meanwhile.
        let settled = Instant::now() + Duration::from_millis(100);
        while Instant::now() < settled {
            end.turn();
        }
        end
    }

    /// Does what is due; false if nothing was.
    fn turn(&mut self) -> bool {
        let mut buffer = [0; 2048];
        match self.socket.recv(&mut buffer) {
            Ok(length) => self.leg.handle_turn(&buffer[..length], Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the socket to the server: {error}"),
        }
        if self
            .leg
            .next_timeout()
            .is_some_and(|(at, _)| at <= Instant::now())
        {
            self.leg.handle_timeout(Instant::now());
        }
        let mut busy = false;
        while let Some(output) = self.leg.poll() {
            busy = true;
            match output {
                FarOutput::ToServer(bytes) => {
                    self.longest = self.longest.max(bytes.len());
                    self.socket.send(&bytes).expect("loopback takes it");
                }
                FarOutput::Event(FarEvent::Allocated(local)) => {
                    self.own = Some(local.relayed_address);
                }
                FarOutput::Event(FarEvent::Datagram(bytes)) => self.heard.push(bytes),
                FarOutput::Event(FarEvent::Failed(fault)) => panic!("{fault}"),
                FarOutput::Event(_) => {}
            }
        }
        if !busy {
            std::thread::sleep(Duration::from_micros(20));
        }
        busy
    }
}

fn datagram(number: u8) -> Vec<u8> {
    let mut bytes = vec![number; DATAGRAM_LEN];
    bytes[0] = 4;
    bytes
}

/// Sends datagrams from one end to the other; how many arrived, and the median of their times.
fn trial(caller: &mut End, callee: &mut End, patience: Duration) -> (usize, Duration) {
    let to = caller.own.expect("it is allocated");
    let mut took = Vec::new();
    for number in 1..=DATAGRAMS {
        let (sent, datagram) = (Instant::now(), datagram(number));
        assert!(callee.leg.send_datagram(to, &datagram, sent));
        while !caller.heard.contains(&datagram) && sent.elapsed() < patience {
            callee.turn();
            caller.turn();
        }
        if caller.heard.contains(&datagram) {
            took.push(sent.elapsed());
        }
    }
    took.sort();
    (
        took.len(),
        took.get(took.len() / 2).copied().unwrap_or_default(),
    )
}

fn programs() -> Vec<TurnProgram> {
    let mut programs = vec![TurnProgram::Embedded];
    if installed(&["turnserver"]) {
        programs.push(TurnProgram::Coturn);
    }
    programs
}

async fn server(program: TurnProgram, ip: &str, external: Option<&str>) -> TurnServer {
    let listen = SocketAddr::new(ip.parse().expect("an address"), 0);
    let plan = TurnPlan {
        external_ip: external.map(|ip| ip.parse().expect("an address")),
        ..TurnPlan::new(listen, TurnSecret::new(SECRET.to_owned()), true)
    };
    TurnServer::start(program, plan)
        .await
        .expect("the server starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures are for a person")]
async fn a_caller_hears_a_callee_of_whom_it_knows_the_servers_address_alone() {
    for program in programs() {
        for [at_caller, at_callee, external] in [
            ["127.0.0.1", "127.0.0.1", ""],
            ["127.0.0.1", "127.0.0.2", ""],
            ["::1", "::1", ""],
            ["127.0.0.1", "127.0.0.1", "1.2.3.4"],
        ] {
            let external = Some(external).filter(|ip| !ip.is_empty());
            let one = server(program, at_caller, external).await;
            let other = match at_caller == at_callee {
                true => None,
                false => Some(server(program, at_callee, None).await),
            };
            let there = other.as_ref().unwrap_or(&one).local_addr();
            let permitted = [external.unwrap_or(at_callee).parse().expect("an address")];
            let mut caller = End::allocate(one.local_addr(), &permitted);
            let mut callee = End::allocate(there, &[]);
            assert_eq!(callee.own.expect("allocated").ip(), permitted[0]);
            let (arrived, median) = trial(&mut caller, &mut callee, SOON);
            println!(
                "{program:?}, {at_caller} and {at_callee}, external {external:?}: {arrived} of {DATAGRAMS} arrived, median {median:?}, longest packet to the server {}",
                callee.longest
            );
            assert_eq!(arrived, usize::from(DATAGRAMS));
            // Below the smallest MTU of IPv6 with the headers of IPv6 and UDP.
            assert!(callee.longest + 48 <= 1280, "{}", callee.longest);
            one.stop().await;
            if let Some(other) = other {
                other.stop().await;
            }
        }
    }
}

/// An engine without IPv4 talks with one that has only IPv4, because both have an IPv4 relayed address (RFC 8656 section 7.1).
#[test]
fn an_engine_that_reaches_its_server_over_ipv6_has_an_ipv4_relayed_address() {
    if !installed(&["turnserver"]) {
        return;
    }
    let (four, six) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    let settings = ["listening-ip", "relay-ip"].map(|name| format!("{name}={six}"));
    let coturn = CoturnServer::start_at(four, &settings);
    let (over_four, secret) = (coturn.address(), coturn.secret().to_owned());
    let over_six = SocketAddr::new(six.into(), over_four.port());
    let mut caller = End::log_in(&secret, false, over_six, &[four.into()]);
    let mut callee = End::log_in(&secret, false, over_four, &[]);
    assert_eq!(caller.own.expect("allocated").ip(), four);
    let (arrived, _) = trial(&mut caller, &mut callee, SOON);
    assert_eq!(arrived, usize::from(DATAGRAMS));
    let other = End::log_in(&secret, true, over_four, &[]);
    assert_eq!(other.own.expect("allocated").ip(), six);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_not_named_does_not_reach_the_caller() {
    for program in programs() {
        let one = server(program, "127.0.0.1", None).await;
        let other = server(program, "127.0.0.3", None).await;
        let mut caller = End::allocate(
            one.local_addr(),
            &["127.0.0.2".parse().expect("an address")],
        );
        let mut callee = End::allocate(other.local_addr(), &[]);
        let (arrived, _) = trial(&mut caller, &mut callee, Duration::from_millis(20));
        assert_eq!(arrived, 0);
        one.stop().await;
        other.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes eleven minutes; for the long run"]
async fn a_permission_is_kept_beyond_the_five_minutes_that_a_server_gives_it() {
    for program in programs() {
        let one = server(program, "127.0.0.1", None).await;
        let other = server(program, "127.0.0.2", None).await;
        // The other server's last, so that it is not the first that is refreshed.
        let permitted: Vec<IpAddr> = (3..=9)
            .chain([2])
            .map(|last| [127, 0, 0, last].into())
            .collect();
        let mut caller = End::allocate(one.local_addr(), &permitted);
        let end = Instant::now() + Duration::from_secs(330);
        while Instant::now() < end {
            caller.turn();
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut callee = End::allocate(other.local_addr(), &[]);
        assert_eq!(
            trial(&mut caller, &mut callee, SOON).0,
            usize::from(DATAGRAMS)
        );
        one.stop().await;
        other.stop().await;
    }
}
