//! The measured deployment: two engines as processes, coturn and a Nostr relay: an independent one, but for many calls.

use ringfence_tests::{
    coturn::CoturnServer,
    deployment::{Deployment, DeploymentConfig},
    nostr_relay::NostrRelay,
    program::{installed, real_time, skipped},
};

/// The product's epochs, so that the engines fetch as often as in use, and room for all lines in one of them.
const BOOK: &str = "epoch_seconds = 60\nchanges = 16\n";
/// The same without proofs of work: each call is followed by half a minute of them, which belongs to its set-up and not to its seconds.
const WITHOUT_WORK: &str = "epoch_seconds = 60\nchanges = 16\nwork_bits = 0\n";
/// Epochs of a second, where the start would take longer than the measurement.
const SHORT: &str = "epoch_seconds = 1\n";
/// More calls than any measurement has, so that the engines' limits do not end it.
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

fn start_with(
    lines: [usize; 2],
    relay: impl FnOnce() -> NostrRelay,
    book: &'static str,
) -> Option<Deployment> {
    if !installed(&["setpriv", "turnserver"]) {
        return None;
    }
    let config = DeploymentConfig {
        lines,
        settings: "max_calls = 4000\n",
        sip: LIMITS,
        book,
        ..DeploymentConfig::default()
    };
    Some(Deployment::start_with(
        real_time(),
        relay(),
        CoturnServer::start(),
        &config,
    ))
}
