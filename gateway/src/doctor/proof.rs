//! The promise, proved on this machine: two engines that live for one call, with numbers of a phone book that lives as long, call each
//! other through the real relays and TURN servers, and two witnesses watch what is opened meanwhile.
//!
//! - Our own code notes each name that it looks up, each TURN server that it dials and each request to a phone book where it does
//!   so ([`crate::net::audit`]).
//! - The system tells which sockets this process has ([`super::socket_monitor`]).
//!
//! It covers what this program does on this machine. It does not cover what relays and TURN servers do with what they see, what other
//! programs do, or the engine that runs beside: that one is the same program, and another process. The descriptions that the engines
//! send each other have no place for another address than the relayed one (PROTOCOL.md), hence no `raddr`; the addresses that are
//! compared here are those of this process's sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::finding::Finding;
use super::socket_monitor::{Socket, Witness, sockets};
use crate::clock;
use crate::net::audit::{AuditEntry, ConnectionAudit};
use crate::selfcall::call::place_for;
use crate::selfcall::report::CallReport;
use crate::selfcall::stack::Stack;
use crate::selfcall::{Outside, StackOptions};

/// How long both ends talk.
const TALK: Duration = Duration::from_secs(10);
/// For all of it.
const LIMIT: Duration = Duration::from_secs(90);
/// For the look-up of a name before the call.
const NAMES: Duration = Duration::from_secs(5);

/// Whom the process may be connected to.
#[derive(Debug, Default)]
struct Allowed {
    /// Relays and TURN servers.
    servers: BTreeSet<SocketAddr>,
    /// The phone book, to which there must be nothing.
    book: BTreeSet<SocketAddr>,
}

/// Calls, and says what was seen. `book` is the URL of the real phone book.
pub(super) async fn prove(outside: Outside, book: &str) -> Vec<Finding> {
    let allowed = Allowed {
        servers: servers(&outside).await,
        book: addresses_of(book).await,
    };
    let watch = ConnectionAudit::begin();
    let options = StackOptions {
        outside: Some(outside),
        watch: watch.clone(),
        ..StackOptions::default()
    };
    let Ok(outcome) = timeout(LIMIT, call(&options, &watch, &allowed)).await else {
        let says = format!("it did not end within {} s", LIMIT.as_secs());
        let remedy = "try again on a machine that is less busy";
        return vec![Finding::fail("call to itself", says, remedy)];
    };
    outcome
}

async fn call(options: &StackOptions, watch: &ConnectionAudit, allowed: &Allowed) -> Vec<Finding> {
    let stack = match Stack::start(options).await {
        Ok(stack) => stack,
        Err(fault) => {
            let remedy = fault.remedy();
            return vec![Finding::fail("call to itself", fault.to_string(), remedy)];
        }
    };
    // The relays are connected before anybody dials, as in any engine; what is there now is no part of the call.
    let mut before = BTreeSet::new();
    for end in &stack.ends {
        let mut relays = end.relays.clone();
        drop(timeout(NAMES, relays.wait_for(|state| state.listening > 0)).await);
    }
    before.extend(sockets().unwrap_or_default());
    let (start, witness) = (clock::now(), Witness::begin());
    let (report, _) = place_for(&stack, TALK).await;
    let seen = witness.map(Witness::tell);
    let opened = watch.since(start);
    stack.stop().await;
    vec![
        heard(&report),
        relayed(&report, &opened, allowed),
        looked_up(&opened),
        witnessed(seen, &before, allowed),
    ]
}

fn heard(report: &CallReport) -> Finding {
    const AREA: &str = "call to itself";
    let [one, other] = report.tone_s;
    let says = format!(
        "{one:.1} s and {other:.1} s of sound, {} packets lost, ringing after {} ms, sound {} ms after the answer",
        report.lost,
        report.invite_to_ringing_ms.unwrap_or_default(),
        report.answer_to_audio_ms.unwrap_or_default()
    );
    match &report.error {
        None => Finding::ok(AREA, says),
        // Both heard each other: a gap may be this machine's.
        Some(error) if one.min(other) > TALK.as_secs_f64() / 2.0 => Finding::warn(
            AREA,
            format!("{error}; {says}"),
            "on a busy machine, try again; if it stays, look at the network and at the TURN servers' load",
        ),
        Some(error) => Finding::fail(AREA, error.clone(), "look at relays and TURN servers above"),
    }
}

/// Sound went through TURN servers of the settings alone.
fn relayed(report: &CallReport, opened: &[AuditEntry], allowed: &Allowed) -> Finding {
    const AREA: &str = "promise: relayed only";
    let dialled = |opened: &AuditEntry| match opened {
        AuditEntry::Turn(address) => !allowed.servers.contains(address),
        _ => false,
    };
    if report.candidate_types.iter().any(|kind| kind != "relay") || opened.iter().any(dialled) {
        return broken(AREA, "a path that is not relayed was used");
    }
    match report.candidate_types.as_slice() {
        [_, _] => Finding::ok(AREA, "both sides used a relayed address and told no other"),
        _ => Finding::warn(
            AREA,
            "nothing is known of it: there was no call",
            "see above",
        ),
    }
}

/// Nobody was asked for anything because of the call.
fn looked_up(opened: &[AuditEntry]) -> Finding {
    const AREA: &str = "promise: no look-up";
    if opened.contains(&AuditEntry::Book) {
        return broken(AREA, "a phone book was asked while there was a call");
    }
    if opened
        .iter()
        .any(|opened| matches!(opened, AuditEntry::Name(_)))
    {
        return broken(AREA, "a name was looked up while there was a call");
    }
    Finding::ok(
        AREA,
        "no phone book and no name server was asked from dialling to hanging up",
    )
}

/// What the system says of this process's sockets.
fn witnessed(
    seen: Option<BTreeSet<Socket>>,
    before: &BTreeSet<Socket>,
    allowed: &Allowed,
) -> Finding {
    const AREA: &str = "promise: the system's word";
    let Some(seen) = seen else {
        let remedy = "run it on Linux with /proc";
        return Finding::warn(
            AREA,
            "this system does not tell which sockets there are",
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
                "{} sockets seen: this machine, relays and TURN servers, and nobody else",
                seen.len()
            );
            Finding::ok(AREA, says)
        }
        Some((socket, why)) => broken(AREA, &format!("{why}: {}", socket.remote)),
    }
}

/// What is wrong with a socket, if anything is.
fn complaint(
    socket: &Socket,
    before: &BTreeSet<Socket>,
    allowed: &Allowed,
) -> Option<&'static str> {
    let (local, remote) = (socket.local.ip(), socket.remote);
    if allowed.servers.contains(&remote) {
        return None;
    }
    if allowed.book.contains(&remote) {
        return Some("there was a connection to the phone book during the call");
    }
    if remote.port() == 0 {
        // A listener takes, it does not send; a datagram socket that is bound to a network could send to anybody.
        let is_open = socket.is_udp && !local.is_loopback() && !before.contains(socket);
        return is_open.then_some("a socket was open to everybody");
    }
    if matches!(remote.port(), 53 | 853) {
        return Some("a name server was asked during the call");
    }
    (!remote.ip().is_loopback() && !before.contains(socket))
        .then_some("somebody was connected who is neither a relay nor a TURN server")
}

fn broken(area: &str, says: &str) -> Finding {
    Finding::fail(
        area,
        says,
        "run it again, because a relay that was lost and dialled anew in these seconds looks alike; if it stays so, do not place calls with this machine, and report it with this line",
    )
}

async fn servers(outside: &Outside) -> BTreeSet<SocketAddr> {
    let mut found = BTreeSet::new();
    for relay in &outside.relays {
        found.extend(addresses_of(relay).await);
    }
    for turn in &outside.turn.urls {
        found.extend(resolved(&turn.host, turn.port).await);
    }
    found
}

/// All addresses of the host of a URL.
async fn addresses_of(url: &str) -> BTreeSet<SocketAddr> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return BTreeSet::new();
    };
    let usual = if matches!(scheme, "https" | "wss") {
        443
    } else {
        80
    };
    let place = rest.split('/').next().unwrap_or_default();
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(usual)),
        _ => (place, usual),
    };
    resolved(host.trim_start_matches('[').trim_end_matches(']'), port).await
}

async fn resolved(host: &str, port: u16) -> BTreeSet<SocketAddr> {
    let found = timeout(NAMES, lookup_host((host, port))).await;
    let found = found.ok().and_then(Result::ok);
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn socket(is_udp: bool, local: &str, remote: &str) -> Socket {
        Socket {
            is_udp,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    fn allowed() -> Allowed {
        Allowed {
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

    fn verdict(socket: Socket) -> Verdict {
        witnessed(Some([socket].into()), &BTreeSet::new(), &allowed()).verdict
    }

    #[test]
    fn what_a_call_needs_is_no_complaint() {
        for fine in [
            socket(true, "192.168.1.5:40000", "203.0.113.1:3478"),
            socket(false, "192.168.1.5:40001", "203.0.113.2:443"),
            socket(true, "127.0.0.1:5060", "0.0.0.0:0"),
            socket(false, "127.0.0.1:40002", "127.0.0.1:5060"),
        ] {
            assert_eq!(verdict(fine), Verdict::Ok, "{fine:?}");
        }
    }

    #[test]
    fn whatever_else_is_opened_breaks_the_promise() {
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
            assert_eq!(verdict(wrong), Verdict::Fail, "{wrong:?}");
        }
        let report = CallReport {
            candidate_types: vec!["relay".to_owned(); 2],
            ..CallReport::default()
        };
        let elsewhere = AuditEntry::Turn("198.51.100.7:3478".parse().unwrap());
        assert_eq!(
            relayed(&report, &[elsewhere], &allowed()).verdict,
            Verdict::Fail
        );
        assert_eq!(relayed(&report, &[], &allowed()).verdict, Verdict::Ok);
        assert_eq!(looked_up(&[AuditEntry::Book]).verdict, Verdict::Fail);
        assert_eq!(
            looked_up(&[AuditEntry::Name("a".to_owned())]).verdict,
            Verdict::Fail
        );
    }

    #[tokio::test]
    async fn the_place_behind_a_url_is_found() {
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
