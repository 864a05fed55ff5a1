//! Races over the embedded TURN server, beside servers that are silent, refuse, or are not there.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::turn::service::EmbeddedTurn;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::*;
use crate::net::tls;
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;
use crate::turn::credentials::TurnLogin;
use crate::turn::servers::TurnServers;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const LIMIT: Duration = Duration::from_secs(20);

async fn turn() -> EmbeddedTurn {
    EmbeddedTurn::start(ANY_PORT, TurnSecret::new("secret".to_owned()), true)
        .await
        .unwrap()
}

async fn servers(urls: &[String]) -> TurnServers {
    let mut targets = Vec::new();
    for url in urls {
        let endpoint: TurnEndpoint = url.parse().unwrap();
        targets.push(endpoint.resolve(&tls::client(None).unwrap()).await.unwrap());
    }
    let login = TurnLogin::Shared(Secret::new("secret".to_owned()));
    TurnServers::new(targets, login, true)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test stands in for the server"
)]
async fn socket() -> UdpSocket {
    UdpSocket::bind(ANY_PORT).await.unwrap()
}

fn udp(addr: SocketAddr) -> String {
    format!("turn:{addr}")
}

fn tcp(addr: SocketAddr) -> String {
    format!("turn:{addr}?transport=tcp")
}

/// Runs a call's race to its outcome; how long that took.
async fn race(servers: &TurnServers) -> (Outcome, Duration) {
    let start = clock::now();
    let mut race = Race::start(servers.clone(), RaceTerms::of_call(&[]));
    let outcome = timeout(LIMIT, race.outcome()).await.unwrap();
    (outcome, clock::now().saturating_duration_since(start))
}

async fn eventually(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap();
}

#[tokio::test]
async fn a_silent_first_server_costs_a_call_less_than_a_second_and_the_next_call_nothing() {
    let (silent, turn) = (socket().await, turn().await);
    let silent = silent.local_addr().unwrap();
    // The second is another server, or the same one where UDP is blocked.
    for second in [udp(turn.local_addr()), tcp(turn.local_addr())] {
        let servers = servers(&[udp(silent), second]).await;
        let (first, took) = race(&servers).await;
        let first = first.unwrap();
        assert_eq!(first.choice.position, 2);
        assert!(first.choice.passed_over.is_some(), "the status says why");
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(servers.order(0, &[]), [1, 0], "it is not asked first again");
        let (second, again) = race(&servers).await;
        let second = second.unwrap();
        assert_eq!(second.choice.position, 2);
        assert!(again < Duration::from_millis(250), "{again:?}");
        release(first.way, first.turn).await;
        release(second.way, second.turn).await;
    }
    eventually(|| turn.allocations() == 0).await;
}

#[tokio::test]
async fn without_a_server_that_answers_the_first_ones_fate_is_told_within_the_limit() {
    let silent = socket().await.local_addr().unwrap();
    let closed = {
        let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
        listener.local_addr().unwrap()
    };
    let (outcome, took) = race(&servers(&[tcp(closed), tcp(closed)]).await).await;
    assert!(
        matches!(outcome, Err(TurnProbeError::Unreachable { all: 2, .. })),
        "{outcome:?}"
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
    let (outcome, took) = race(&servers(&[udp(silent), tcp(closed)]).await).await;
    assert_eq!(outcome.unwrap_err(), NO_ANSWER);
    assert!(took < Duration::from_secs(5), "{took:?}");
    let (outcome, _) = race(&servers(&[]).await).await;
    assert_eq!(outcome.unwrap_err(), TurnProbeError::NoLogin);
}

#[tokio::test]
async fn what_a_race_began_and_no_call_took_is_released() {
    let (one, other) = (turn().await, turn().await);
    let urls = [udp(one.local_addr()), tcp(other.local_addr())];
    let terms = RaceTerms {
        stagger: Duration::ZERO,
        ..RaceTerms::of_call(&[])
    };
    let all = || one.allocations() + other.allocations();
    for micros in (0..3_000).step_by(100) {
        let race = Race::start(servers(&urls).await, terms.clone());
        sleep(Duration::from_micros(micros)).await;
        timeout(LIMIT, race.end()).await.unwrap();
    }
    eventually(|| all() == 0).await;
    let mut race = Race::start(servers(&urls).await, terms);
    let winner = race.outcome().await.unwrap();
    timeout(LIMIT, race.end()).await.unwrap();
    assert_eq!(all(), 1, "the winner's alone");
    release(winner.way, winner.turn).await;
}

/// A server that challenges each Allocate request (RFC 8489 section 9.2), then refuses it; from which sockets and with which logins
/// it was asked.
#[derive(Clone, Debug, Default)]
struct Refusing {
    asked: Arc<Mutex<Asked>>,
}

#[derive(Debug, Default)]
struct Asked {
    sockets: BTreeSet<SocketAddr>,
    logins: BTreeSet<Vec<u8>>,
}

impl Refusing {
    async fn start(code: u16) -> (Self, SocketAddr) {
        let (server, socket) = (Self::default(), socket().await);
        let (addr, asked) = (socket.local_addr().unwrap(), Arc::clone(&server.asked));
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                let request = &buffer[..count];
                let user = attribute(request, 0x0006);
                let code = if let Some(user) = user {
                    let mut asked = asked.lock().unwrap();
                    asked.sockets.insert(from);
                    asked.logins.insert(user);
                    code
                } else {
                    401
                };
                socket.send_to(&refuse(request, code), from).await.ok();
            }
        });
        (server, addr)
    }

    /// How many sockets, and how many logins.
    fn asked(&self) -> (usize, usize) {
        let asked = self.asked.lock().unwrap();
        (asked.sockets.len(), asked.logins.len())
    }
}

/// The value of the first attribute of this type in a STUN message (RFC 8489 section 14).
fn attribute(message: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let mut rest = message.get(20..)?;
    while let [t0, t1, l0, l1, value @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if u16::from_be_bytes([*t0, *t1]) == wanted {
            return Some(value.get(..length)?.to_vec());
        }
        rest = value.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// An error response to an Allocate request, with a challenge.
fn refuse(request: &[u8], code: u16) -> Vec<u8> {
    let [class, number] = [code / 100, code % 100].map(|part| u8::try_from(part).unwrap());
    let mut body = vec![0x00, 0x09, 0, 4, 0, 0, class, number];
    body.extend([0x00, 0x14, 0, 4, b'h', b'o', b'm', b'e']);
    body.extend([0x00, 0x15, 0, 4, b'o', b'n', b'c', b'e']);
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let mut reply = vec![0x01, 0x13];
    reply.extend(length);
    reply.extend(&request[4..20]);
    reply.extend(body);
    reply
}

#[tokio::test]
async fn each_refusal_has_its_answer_and_the_call_another_server() {
    let turn = turn().await;
    // The code; from how many sockets, with how many logins the server that refuses is asked.
    let table = [
        (300, (1, 1)),
        (401, (1, 1)),
        (403, (1, 1)),
        (437, (2, 1)),
        (440, (2, 1)),
        (441, (2, 1)),
        (442, (1, 1)),
        (486, (2, 2)),
        (508, (1, 1)),
        (500, (1, 1)),
    ];
    for (code, asked) in table {
        let (refusing, addr) = Refusing::start(code).await;
        let servers = servers(&[udp(addr), udp(turn.local_addr())]).await;
        let (outcome, took) = race(&servers).await;
        let winner = outcome.unwrap();
        assert_eq!(winner.choice.position, 2, "{code}");
        assert_eq!(refusing.asked(), asked, "{code}");
        assert!(took < Duration::from_secs(1), "{code}: {took:?}");
        let why = winner.choice.passed_over.clone().unwrap_or_default();
        assert!(why.contains(&code.to_string()), "{code}: {why}");
        release(winner.way, winner.turn).await;
    }
}

/// It relays IPv6 alone, and answers 440 to the first request (RFC 8656 section 7.2).
#[tokio::test]
async fn a_server_without_ipv4_relayed_addresses_gives_an_ipv6_one() {
    let at = SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), 0);
    let secret = TurnSecret::new("secret".to_owned());
    let turn = EmbeddedTurn::start(at, secret, true).await.unwrap();
    let (outcome, took) = race(&servers(&[udp(turn.local_addr())]).await).await;
    let winner = outcome.unwrap();
    assert!(winner.way.address().unwrap().is_ipv6());
    assert!(took < Duration::from_secs(1), "{took:?}");
    release(winner.way, winner.turn).await;
}

#[tokio::test]
async fn a_call_whose_other_side_is_known_gets_a_relayed_address_of_its_family_alone() {
    let four = turn().await;
    let six = SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), 0);
    let six = EmbeddedTurn::start(six, TurnSecret::new("secret".to_owned()), true);
    let six = six.await.unwrap();
    let servers = servers(&[udp(four.local_addr()), udp(six.local_addr())]).await;
    for (other, relayed_at) in [
        ("198.51.100.1", four.local_addr().ip()),
        ("2001:db8::1", six.local_addr().ip()),
    ] {
        let terms = RaceTerms::of_call(&[other.parse().unwrap()]);
        let mut race = Race::start(servers.clone(), terms);
        let winner = timeout(LIMIT, race.outcome()).await.unwrap().unwrap();
        assert_eq!(winner.way.address().unwrap().ip(), relayed_at);
        release(winner.way, winner.turn).await;
    }
}

/// The TURN client repeats the request with each new nonce (RFC 8489 section 9.2.5); the race does not wait for its end.
#[tokio::test]
async fn a_server_whose_nonces_are_always_stale_loses() {
    let (turn, (_refusing, addr)) = (turn().await, Refusing::start(438).await);
    let (outcome, took) = race(&servers(&[udp(addr), udp(turn.local_addr())]).await).await;
    let winner = outcome.unwrap();
    assert_eq!(winner.choice.position, 2);
    assert!(took < Duration::from_secs(1), "{took:?}");
    release(winner.way, winner.turn).await;
}
