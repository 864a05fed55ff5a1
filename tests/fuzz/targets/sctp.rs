//! What a hostile peer says inside a call that it was let into: SCTP packets (RFC 9260) and messages of the data channel (RFC 8831),
//! altered, lost and added before DTLS encrypts them. The leg never panics, serves its timers, and hands on no message that is too long.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringfence_fuzz::call::Call;
use ringfence_fuzz::hostile_dtls::with_plan;
use ringfence_media::far::Role;

fuzz_target!(|script: (u8, Vec<(u8, u8, Vec<u8>)>)| {
    with_plan(|plan| *plan = Default::default());
    let (setup, acts) = script;
    let role = if setup & 1 == 0 { Role::Caller } else { Role::Callee };
    let mut call = Call::to_peer(role);
    let pass = &mut |_: &mut Vec<u8>| true;
    // Otherwise the acts meet INIT and COOKIE-ECHO.
    if setup & 2 != 0 {
        call.advance(Duration::from_millis(500), pass);
        assert!(call.is_connected && call.is_control_open, "an honest peer is connected");
    }
    for (act, number, bytes) in acts.iter().take(64) {
        let bytes = bytes.get(..bytes.len().min(1_100)).unwrap_or_default();
        match act % 8 {
            0 | 7 => call.advance(Duration::from_millis(u64::from(*number) * 16), pass),
            // Ports, tag and checksum are what an attacker gets right.
            1 => with_plan(|plan| plan.changes.push_back((12 + usize::from(*number), bytes.to_vec()))),
            2 => with_plan(|plan| plan.changes.push_back((usize::from(*number), bytes.to_vec()))),
            3 => with_plan(|plan| plan.added.push_back(bytes.to_vec())),
            4 => with_plan(|plan| plan.dropped = usize::from(number % 8)),
            5 => {
                if let Some(peer) = &mut call.peer {
                    peer.send_control(bytes, call.now);
                }
            }
            _ => {
                call.leg.send_control(bytes, call.now);
            }
        }
    }
    call.advance(Duration::from_secs(5), pass);
    call.leg.close(call.now);
    call.advance(Duration::from_secs(5), pass);
});
