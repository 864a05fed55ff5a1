//! A peer's ICE and DTLS packets at a leg (RFC 8445, RFC 9147): real ones of a whole handshake that are altered, lost, repeated, and
//! any others among them, before the connection stands and after. The leg never panics, and serves its timers.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringfence_fuzz::call::Call;
use ringfence_fuzz::hostile_dtls::with_plan;
use ringfence_fuzz::overwrite;
use ringfence_media::far::Role;

/// How many datagrams are remembered for a repetition.
const KEPT: usize = 32;

/// What happens to the next datagrams of the peer.
#[derive(Default)]
struct Wire {
    changes: Vec<(bool, usize, Vec<u8>)>,
    lost: usize,
    sent: Vec<Vec<u8>>,
}

impl Wire {
    fn pass(&mut self, datagram: &mut Vec<u8>) -> bool {
        if self.sent.len() < KEPT {
            self.sent.push(datagram.clone());
        }
        if self.lost > 0 {
            self.lost -= 1;
            return false;
        }
        // RFC 7983: which bytes begin a STUN packet, and which one of DTLS or SRTP.
        let is_stun = matches!(datagram[..], [0..=3, ..]);
        if let Some(next) = self.changes.iter().position(|(stun, ..)| *stun == is_stun) {
            let (_, at, bytes) = self.changes.remove(next);
            overwrite(datagram, at, &bytes);
        }
        true
    }
}

fuzz_target!(|script: (u8, Vec<(u8, u8, Vec<u8>)>)| {
    with_plan(|plan| *plan = Default::default());
    let (setup, acts) = script;
    let role = if setup & 1 == 0 { Role::Caller } else { Role::Callee };
    let (mut call, mut wire) = (Call::to_peer(role), Wire::default());
    if setup & 2 != 0 {
        call.advance(Duration::from_millis(500), &mut |_| true);
        assert!(call.is_connected, "an honest peer is connected");
    }
    for (sequence, (act, number, bytes)) in acts.iter().take(64).enumerate() {
        let bytes = bytes.get(..bytes.len().min(1_500)).unwrap_or_default();
        match act % 8 {
            0 => call.advance(Duration::from_millis(u64::from(*number) * 8), &mut |datagram| wire.pass(datagram)),
            1 => wire.changes.push((false, usize::from(*number), bytes.to_vec())),
            2 => wire.changes.push((true, usize::from(*number), bytes.to_vec())),
            3 => call.from_peer(bytes),
            4 => {
                let kept = wire.sent.len().max(1);
                if let Some(mut datagram) = wire.sent.get(usize::from(*number) % kept).cloned() {
                    if let [at, bytes @ ..] = bytes {
                        overwrite(&mut datagram, usize::from(*at), bytes);
                    }
                    call.from_peer(&datagram);
                }
            }
            5 => wire.lost = usize::from(number % 8),
            6 => call.speak(sequence as u16),
            _ => call.settle(&mut |datagram| wire.pass(datagram)),
        }
    }
    call.advance(Duration::from_secs(40), &mut |datagram| wire.pass(datagram));
});
