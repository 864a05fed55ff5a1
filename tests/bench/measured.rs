//! The measured deployment: two engines as processes, coturn and an independent Nostr relay.

use ringfence_tests::{
    coturn::CoturnServer,
    deployment::{Deployment, DeploymentConfig},
    nostr_relay::NostrRelay,
    program::{installed, real_time, skipped},
};

/// More calls than any measurement has, so that the engines' limits do not end it.
const LIMITS: &str = "max_calls = 4000\nmax_calls_per_line = 4000\n";

/// Starts it with so many lines of each engine; `None` if a program is missing, which is reported.
pub(crate) fn start(lines: [usize; 2]) -> Option<Deployment> {
    if !installed(&["setpriv", "turnserver"]) {
        return None;
    }
    if !NostrRelay::path().is_file() {
        skipped("the relay from PyPI is not in the target folder");
        return None;
    }
    let config = DeploymentConfig {
        lines,
        settings: "max_calls = 4000\n",
        sip: LIMITS,
    };
    Some(Deployment::start_with(
        real_time(),
        NostrRelay::start(),
        CoturnServer::start(),
        &config,
    ))
}
