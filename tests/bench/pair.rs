//! The measured deployment: two engines as processes, coturn and an independent Nostr relay.

use ringfence_tests::{
    coturn::CoturnServer,
    deployment::Deployment,
    nostr_relay::NostrRelay,
    program::{installed, real_time, skipped},
};

/// Starts it; `None` if a program is missing, which is reported.
pub(crate) fn start() -> Option<Deployment> {
    if !installed(&["setpriv", "turnserver"]) {
        return None;
    }
    if !NostrRelay::path().is_file() {
        skipped("the relay from PyPI is not in the target folder");
        return None;
    }
    Some(Deployment::start(
        real_time(),
        NostrRelay::start(),
        CoturnServer::start(),
    ))
}
