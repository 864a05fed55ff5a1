//! The pair that is measured: two engines as processes of their own, coturn and an independent relay between them.

use ringfence_tests::{
    coturn::CoturnServer,
    deployment::Deployment,
    nostr_relay::NostrRelay,
    program::{installed, real_time, skipped},
};

/// Starts it; `None` when a program is missing, which has then been told.
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
