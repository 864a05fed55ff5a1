//! ICE checks and the DTLS ClientHello of the other side that arrive before its description. The callee knows the caller's relayed
//! address from the ring and begins at once; its first packets travel with the answer or overtake it. RFC 8445 section 7.3 asks to
//! process such checks all the same: dropped, they would be repeated only after a retransmission timeout.
//!
//! A kept packet gets no reply from here: it reaches WebRTC only if its sender turns out to be an accepted relayed address.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Packets kept at one time: what one side sends in [`FRESH`]. The oldest is dropped.
const MAX_KEPT: usize = 8;

/// Longest packet that is kept: a check with all its attributes has under 200 bytes, a ClientHello fills what DTLS puts into one packet.
const MAX_BYTES: usize = 1200;

/// How long a packet is of use: the sender repeats it sooner.
const FRESH: Duration = Duration::from_millis(500);

/// The packets that came early.
#[derive(Default)]
pub(super) struct EarlyPackets {
    kept: VecDeque<(SocketAddr, Vec<u8>, Instant)>,
}

impl EarlyPackets {
    /// Keeps a packet if it is STUN or DTLS by its first byte (RFC 7983), and short.
    pub(super) fn keep(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let is_of_use = matches!(bytes.first(), Some(0..=3 | 20..=63));
        if !is_of_use || bytes.len() > MAX_BYTES {
            return;
        }
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((from, bytes.to_vec(), now));
    }

    /// The packets of the accepted relayed addresses, in their order; all others are dropped.
    pub(super) fn take(
        &mut self,
        addresses: &[SocketAddr],
        now: Instant,
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let kept = std::mem::take(&mut self.kept);
        kept.into_iter()
            .filter(|(from, _, at)| addresses.contains(from) && now.duration_since(*at) <= FRESH)
            .map(|(from, bytes, _)| (from, bytes))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    const REMOTE: &str = "203.0.113.7:50000";
    const CHECK: [u8; 20] = [0; 20];
    const HELLO: [u8; 20] = [22; 20];

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn packets_of_an_accepted_relayed_address_are_returned_later_and_no_others() {
        let (mut early, now) = (EarlyPackets::default(), some_time());
        early.keep(addr(REMOTE), &CHECK, now);
        early.keep(addr(REMOTE), &HELLO, now);
        early.keep(addr("203.0.113.8:50000"), &CHECK, now);
        let heard = early.take(&[addr(REMOTE)], now);
        assert_eq!(
            heard,
            [CHECK, HELLO].map(|bytes| (addr(REMOTE), bytes.to_vec()))
        );
        assert!(early.take(&[addr(REMOTE)], now).is_empty());
    }

    #[test]
    fn packets_of_other_protocols_and_old_ones_are_dropped() {
        let (mut early, now) = (EarlyPackets::default(), some_time());
        early.keep(addr(REMOTE), &[0x80; 20], now);
        early.keep(addr(REMOTE), &[4; 20], now);
        early.keep(addr(REMOTE), &[0; MAX_BYTES + 1], now);
        early.keep(addr(REMOTE), &[], now);
        early.keep(addr(REMOTE), &CHECK, now);
        let later = now + FRESH + Duration::from_millis(1);
        assert!(early.take(&[addr(REMOTE)], later).is_empty());
    }

    #[test]
    fn a_flood_of_packets_is_kept_in_bounds() {
        let (mut early, now) = (EarlyPackets::default(), some_time());
        for _ in 0..1_000 {
            early.keep(addr(REMOTE), &CHECK, now);
        }
        assert_eq!(early.take(&[addr(REMOTE)], now).len(), MAX_KEPT);
    }
}
