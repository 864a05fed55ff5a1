//! Proves the promise of privacy on this machine: two temporary engines, with numbers of a temporary phone book, call each other through
//! the real relays and TURN servers, while two independent records show what this process opens.
//!
//! - The engine's own code records each name that it looks up, each TURN server that it connects to and each request to a phone book
//!   ([`crate::net::audit`]).
//! - The operating system lists the sockets of this process ([`super::socket_monitor`]).
//!
//! The proof covers what this program does on this machine. It does not cover what relays and TURN servers do with what they see, other
//! programs, or a running engine, which is the same program in another process. The descriptions that engines send each other have no
//! field for any address but the relayed one (PROTOCOL.md), hence no `raddr`; the addresses compared here are those of this process's
//! sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;
use url::Url;

use super::finding::Finding;
use super::socket_monitor::{ProcessSocket, SocketMonitor, sockets};
use crate::clock;
use crate::net::audit::{AuditEntry, ConnectionAudit};
use crate::net::network::LOOK_PORT;
use crate::net::outbound::{Destination, is_onion};
use crate::selfcall::call::place_for;
use crate::selfcall::report::CallReport;
use crate::selfcall::stack::Stack;
use crate::selfcall::{NetworkServers, StackOptions};

/// Length of the talk.
const TALK: Duration = Duration::from_secs(10);
/// Time for the whole call.
const LIMIT: Duration = Duration::from_secs(90);
/// Time to look a name up before the call, and for a relay to confirm the subscription.
const NAMES: Duration = Duration::from_secs(5);

/// The addresses that this process may be connected to during the call, and those it must not be.
#[derive(Debug, Default)]
struct AllowedPeers {
    /// Relays and TURN servers.
    servers: BTreeSet<SocketAddr>,
    /// The phone book, to which no connection may exist.
    book: BTreeSet<SocketAddr>,
}

/// Places the call and reports what was seen. `book` is the URL of the real phone book.
pub(super) async fn prove(outside: NetworkServers, book: &str) -> Vec<Finding> {
    let allowed = AllowedPeers {
        servers: servers(&outside).await,
        // Through a proxy the book's own address is never connected to, and its name not looked up here.
        book: match outside.outbound.proxy() {
            None => addresses_of(book).await,
            Some(_) => BTreeSet::new(),
        },
    };
    let watch = ConnectionAudit::begin();
    let options = StackOptions {
        outside: Some(outside),
        watch: watch.clone(),
        ..StackOptions::default()
    };
    let Ok(outcome) = timeout(LIMIT, call(&options, &watch, &allowed)).await else {
        let says = format!("the call did not end within {} s", LIMIT.as_secs());
        let remedy = "try again on a machine that is less busy";
        return vec![Finding::fail("call to itself", says, remedy)];
    };
    outcome
}

async fn call(
    options: &StackOptions,
    watch: &ConnectionAudit,
    allowed: &AllowedPeers,
) -> Vec<Finding> {
    let stack = match Stack::start(options).await {
        Ok(stack) => stack,
        Err(error) => {
            let remedy = error.remedy();
            return vec![Finding::fail("call to itself", error.to_string(), remedy)];
        }
    };
    // As in any engine, the relays are connected before the call; sockets that are open now do not belong to it.
    let mut before = BTreeSet::new();
    for end in &stack.ends {
        let mut relays = end.relays.clone();
        drop(timeout(NAMES, relays.wait_for(|state| state.listening > 0)).await);
    }
    before.extend(sockets().unwrap_or_default());
    let (start, socket_monitor) = (clock::now(), SocketMonitor::begin());
    let (report, _) = place_for(&stack, TALK).await;
    let seen = socket_monitor.map(SocketMonitor::stop);
    let opened = watch.since(start);
    stack.stop().await;
    vec![
        heard(&report),
        relayed(&report, &opened, allowed),
        looked_up(&opened),
        watched(seen, &before, allowed),
    ]
}

fn heard(report: &CallReport) -> Finding {
    const AREA: &str = "call to itself";
    let [one, other] = report.tone_s;
    let says = format!(
        "{one:.1} s and {other:.1} s of audio, {} packets lost, ringing after {} ms, audio {} ms after the answer",
        report.lost,
        report.invite_to_ringing_ms.unwrap_or_default(),
        report.answer_to_audio_ms.unwrap_or_default()
    );
    match &report.error {
        None => Finding::ok(AREA, says),
        // Both phones received audio, so a busy machine may be the cause.
        Some(error) if one.min(other) > TALK.as_secs_f64() / 2.0 => Finding::warn(
            AREA,
            format!("{error}; {says}"),
            "try again if the machine is busy; if it persists, check the network and the load of the TURN servers",
        ),
        Some(error) => Finding::fail(
            AREA,
            error.clone(),
            "see the findings on relays and TURN servers above",
        ),
    }
}

/// Whether media went only through the TURN servers of the settings.
fn relayed(report: &CallReport, opened: &[AuditEntry], allowed: &AllowedPeers) -> Finding {
    const AREA: &str = "promise: relayed only";
    let dialled = |opened: &AuditEntry| match opened {
        AuditEntry::Turn(address) => !allowed.servers.contains(address),
        _ => false,
    };
    if report.candidate_types.iter().any(|kind| kind != "relay") || opened.iter().any(dialled) {
        return broken(AREA, "a path that is not relayed was used");
    }
    match report.candidate_types.as_slice() {
        [_, _] => Finding::ok(AREA, "both ends used a relayed address and sent no other"),
        _ => Finding::warn(
            AREA,
            "unknown: the call was not connected",
            "see the findings above",
        ),
    }
}

/// Whether no server was asked for anything because of the call.
fn looked_up(opened: &[AuditEntry]) -> Finding {
    const AREA: &str = "promise: no look-up";
    if opened.contains(&AuditEntry::Book) {
        return broken(AREA, "the phone book was asked during the call");
    }
    if opened
        .iter()
        .any(|opened| matches!(opened, AuditEntry::Name(_)))
    {
        return broken(AREA, "a name was looked up during the call");
    }
    Finding::ok(
        AREA,
        "no phone book and no name server was asked from dialling to hanging up",
    )
}

/// Judges the sockets that the operating system listed.
fn watched(
    seen: Option<BTreeSet<ProcessSocket>>,
    before: &BTreeSet<ProcessSocket>,
    allowed: &AllowedPeers,
) -> Finding {
    const AREA: &str = "promise: the system's word";
    let Some(seen) = seen else {
        let remedy = "run it on Linux with /proc";
        return Finding::warn(
            AREA,
            "this system does not list the sockets of a process",
            remedy,
        );
    };
    let strange: Vec<_> = seen
        .iter()
        .filter_map(|socket| Some((socket, complaint(socket, before, allowed)?)))
        .collect();
    match strange.first() {
        None => {
            let says = format!(
                "{} sockets seen, connected only to this machine, relays and TURN servers",
                seen.len()
            );
            Finding::ok(AREA, says)
        }
        Some((socket, why)) => broken(AREA, &format!("{why}: {}", socket.remote)),
    }
}

/// What is wrong with a socket, if anything is.
fn complaint(
    socket: &ProcessSocket,
    before: &BTreeSet<ProcessSocket>,
    allowed: &AllowedPeers,
) -> Option<&'static str> {
    let (local, remote) = (socket.local.ip(), socket.remote);
    // A look at the ways out sends nothing.
    let is_look = socket.is_udp && remote.port() == LOOK_PORT;
    if is_look || allowed.servers.contains(&remote) {
        return None;
    }
    if allowed.book.contains(&remote) {
        return Some("there was a connection to the phone book during the call");
    }
    if remote.port() == 0 {
        // A TCP listener sends nothing; a UDP socket that is bound to a network could send to any address.
        let is_open = socket.is_udp && !local.is_loopback() && !before.contains(socket);
        return is_open.then_some("a UDP socket was not bound to one peer");
    }
    if matches!(remote.port(), 53 | 853) {
        return Some("a name server was asked during the call");
    }
    (!remote.ip().is_loopback() && !before.contains(socket))
        .then_some("there was a connection to neither a relay nor a TURN server")
}

fn broken(area: &str, says: &str) -> Finding {
    Finding::fail(
        area,
        says,
        "run it again, because a relay that reconnects during these seconds looks the same; if it persists, do not place calls with this machine, and report this line",
    )
}

async fn servers(outside: &NetworkServers) -> BTreeSet<SocketAddr> {
    let mut found = BTreeSet::new();
    match outside.outbound.proxy() {
        None => {
            for relay in &outside.relays {
                found.extend(addresses_of(relay).await);
            }
        }
        Some(proxy) => found.extend(resolved(&proxy.host, proxy.port).await),
    }
    for turn in &outside.turn.urls {
        found.extend(resolved(&turn.host, turn.port).await);
    }
    found
}

/// All addresses of the host of a URL.
async fn addresses_of(url: &str) -> BTreeSet<SocketAddr> {
    let server = Url::parse(url).ok().and_then(|url| Destination::of(&url));
    match server {
        Some(server) if !is_onion(&server.host) => resolved(&server.host, server.port).await,
        _ => BTreeSet::new(),
    }
}

async fn resolved(host: &str, port: u16) -> BTreeSet<SocketAddr> {
    let found = timeout(NAMES, lookup_host((host, port))).await;
    let found = found.ok().and_then(Result::ok);
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn socket(is_udp: bool, local: &str, remote: &str) -> ProcessSocket {
        ProcessSocket {
            is_udp,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    fn allowed() -> AllowedPeers {
        AllowedPeers {
            servers: [
                "203.0.113.1:3478".parse().unwrap(),
                "203.0.113.2:443".parse().unwrap(),
            ]
            .into(),
            book: [
                "127.0.0.1:7420".parse().unwrap(),
                "203.0.113.3:443".parse().unwrap(),
            ]
            .into(),
        }
    }

    fn verdict(socket: ProcessSocket) -> Severity {
        watched(Some([socket].into()), &BTreeSet::new(), &allowed()).verdict
    }

    #[test]
    fn connections_that_a_call_needs_are_allowed() {
        for fine in [
            socket(true, "192.168.1.5:40000", "203.0.113.1:3478"),
            socket(false, "192.168.1.5:40001", "203.0.113.2:443"),
            socket(true, "127.0.0.1:5060", "0.0.0.0:0"),
            socket(false, "127.0.0.1:40002", "127.0.0.1:5060"),
        ] {
            assert_eq!(verdict(fine), Severity::Ok, "{fine:?}");
        }
    }

    #[test]
    fn any_other_connection_breaks_the_promise() {
        for wrong in [
            socket(true, "192.168.1.5:40000", "198.51.100.7:50000"),
            socket(true, "192.168.1.5:40000", "0.0.0.0:0"),
            socket(true, "0.0.0.0:40000", "0.0.0.0:0"),
            socket(true, "192.168.1.5:40000", "192.168.1.1:53"),
            socket(true, "127.0.0.1:40000", "127.0.0.53:53"),
            socket(false, "192.168.1.5:40000", "203.0.113.3:443"),
            socket(false, "127.0.0.1:40000", "127.0.0.1:7420"),
            socket(false, "192.168.1.5:40000", "198.51.100.7:443"),
        ] {
            assert_eq!(verdict(wrong), Severity::Fail, "{wrong:?}");
        }
        let report = CallReport {
            candidate_types: vec!["relay".to_owned(); 2],
            ..CallReport::default()
        };
        let elsewhere = AuditEntry::Turn("198.51.100.7:3478".parse().unwrap());
        assert_eq!(
            relayed(&report, &[elsewhere], &allowed()).verdict,
            Severity::Fail
        );
        assert_eq!(relayed(&report, &[], &allowed()).verdict, Severity::Ok);
        assert_eq!(looked_up(&[AuditEntry::Book]).verdict, Severity::Fail);
        assert_eq!(
            looked_up(&[AuditEntry::Name("a".to_owned())]).verdict,
            Severity::Fail
        );
    }

    #[tokio::test]
    async fn the_address_of_a_url_is_found() {
        for (url, place) in [
            ("ws://127.0.0.1:7777", "127.0.0.1:7777"),
            ("https://127.0.0.1/book", "127.0.0.1:443"),
            ("ws://[::1]:7", "[::1]:7"),
            ("http://[::1]", "[::1]:80"),
        ] {
            let found = addresses_of(url).await;
            assert!(found.contains(&place.parse().unwrap()), "{url}: {found:?}");
        }
    }
}
