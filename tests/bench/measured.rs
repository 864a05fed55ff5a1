//! The measured deployment: two engines as processes, coturn and a Nostr relay: an independent one, but for many calls.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ringfence_tests::{
    coturn::CoturnServer,
    deployment::{Deployment, DeploymentConfig},
    faulty_wire::FaultyWire,
    nostr_relay::NostrRelay,
    program::{installed, real_time, skipped},
};

/// The product's epochs, so that the engines fetch as often as in use, and room for all lines in one of them.
const BOOK: &str = "epoch_seconds = 60\nchanges = 16\n";
/// The same without proofs of work: each call is followed by half a minute of them, which belongs to its set-up and not to its seconds.
const WITHOUT_WORK: &str = "epoch_seconds = 60\nchanges = 16\nwork_bits = 0\n";
/// Epochs of a second, where the start would take longer than the measurement.
const SHORT: &str = "epoch_seconds = 1\n";
/// The same without proofs of work.
const SHORT_WITHOUT_WORK: &str = "epoch_seconds = 1\nwork_bits = 0\n";
/// More calls than any measurement has, so that the engines' limits do not end it.
const SETTINGS: &str = "max_calls = 4000\n";
/// The same for `[sip]`.
const LIMITS: &str = "max_calls = 4000\nmax_calls_per_line = 4000\n";

/// Starts it with so many lines of each engine and, unless `is_brief`, the product's epochs: that takes a minute. `None` if a program is
/// missing, which is reported.
pub(crate) fn start(lines: [usize; 2], is_brief: bool) -> Option<Deployment> {
    if !NostrRelay::path().is_file() {
        skipped("the relay from PyPI is not in the target folder");
        return None;
    }
    start_with(
        lines,
        NostrRelay::start,
        if is_brief { SHORT } else { BOOK },
    )
}

/// The same for calls whose seconds are measured: envelopes need no proofs of work, and the relay follows hundreds of calls in a row.
pub(crate) fn start_for_calls(lines: [usize; 2], is_brief: bool) -> Option<Deployment> {
    let book = if is_brief { SHORT } else { WITHOUT_WORK };
    start_with(lines, NostrRelay::of_box, book)
}

/// Two engines that find the TURN server over a wire each, without proofs of work; `None` if a program is missing.
pub(crate) fn start_over_wires(lines: usize) -> Option<(Deployment, [FaultyWire; 2])> {
    start_over_wires_with(lines, SETTINGS, real_time())
}

/// The same with other settings of both engines, and beside others if it is [`beside`] them.
pub(crate) fn start_over_wires_with(
    lines: usize,
    settings: &'static str,
    alone: MutexGuard<'static, ()>,
) -> Option<(Deployment, [FaultyWire; 2])> {
    if !can_start() {
        return None;
    }
    let coturn = CoturnServer::start();
    let wires = [(); 2].map(|()| FaultyWire::to(coturn.address(), Ipv4Addr::LOCALHOST));
    let turn = wires.each_ref().map(|wire| Some(wire.address()));
    let servers = (NostrRelay::of_box(), coturn);
    let pair = start_between(
        servers,
        turn,
        [lines; 2],
        (settings, SHORT_WITHOUT_WORK),
        alone,
    );
    Some((pair, wires))
}

/// What a deployment holds that runs beside one with the lock of [`real_time`].
pub(crate) fn beside() -> MutexGuard<'static, ()> {
    let lock: &'static Mutex<()> = Box::leak(Box::default());
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn can_start() -> bool {
    installed(&["setpriv", "turnserver"])
}

fn start_with(
    lines: [usize; 2],
    relay: impl FnOnce() -> NostrRelay,
    book: &'static str,
) -> Option<Deployment> {
    let servers = can_start().then(|| (relay(), CoturnServer::start()))?;
    Some(start_between(
        servers,
        [None; 2],
        lines,
        (SETTINGS, book),
        real_time(),
    ))
}

fn start_between(
    (relay, coturn): (NostrRelay, CoturnServer),
    turn: [Option<SocketAddr>; 2],
    lines: [usize; 2],
    (settings, book): (&'static str, &'static str),
    alone: MutexGuard<'static, ()>,
) -> Deployment {
    let config = DeploymentConfig {
        lines,
        settings,
        sip: LIMITS,
        book,
        turn,
    };
    Deployment::start_with(alone, relay, coturn, &config)
}
