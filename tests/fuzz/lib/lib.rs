//! What the targets for the far leg share: a TURN server without sockets, a WebRTC peer that says what the fuzzer wants, and a leg
//! between them under one clock. Nothing here waits, and only the keys of DTLS differ from run to run.

pub mod call;
pub mod hostile_dtls;
pub mod hostile_peer;
pub mod turn_stub;

use std::sync::OnceLock;
use std::time::Instant;

/// Where the simulated time of every input starts, so that a run does not depend on when it begins.
pub fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Writes `bytes` over `packet` from the position that `at` chooses; an empty `bytes` cuts the packet there.
pub fn overwrite(packet: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if packet.is_empty() {
        return;
    }
    let at = at % packet.len();
    if bytes.is_empty() {
        packet.truncate(at);
    }
    for (old, new) in packet.iter_mut().skip(at).zip(bytes) {
        *old = *new;
    }
}
