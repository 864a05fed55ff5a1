//! ICE checks of the other side that arrive before its description. The callee knows the caller's relayed address from the
//! ring and begins at once; its first check overtakes the answer. RFC 8445 section 7.3 asks to process it all the same:
//! dropped, it would be repeated only after a retransmission timeout.
//!
//! A kept check gets no reply from here: it reaches WebRTC only if its sender turns out to be an accepted relayed address.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::description::MAX_RELAYED_ADDRESSES;

/// Checks kept at one time: one for each address that a description may name. The oldest is dropped.
const MAX_KEPT: usize = MAX_RELAYED_ADDRESSES;

/// Longest check that is kept; a check with all its attributes has under 200 bytes.
const MAX_BYTES: usize = 512;

/// How long a check is of use: the sender repeats it sooner.
const FRESH: Duration = Duration::from_millis(500);

/// The checks that came early.
#[derive(Default)]
pub(super) struct EarlyChecks {
    kept: VecDeque<(SocketAddr, Vec<u8>, Instant)>,
}

impl EarlyChecks {
    /// Keeps a packet if it can be a check: STUN by its first two bits (RFC 8489 section 5), and short.
    pub(super) fn keep(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let is_stun = bytes.first().is_some_and(|first| first >> 6 == 0);
        if !is_stun || bytes.len() > MAX_BYTES {
            return;
        }
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((from, bytes.to_vec(), now));
    }

    /// The checks of the accepted relayed addresses; all others are dropped.
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

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_check_of_an_accepted_relayed_address_is_returned_later_and_no_other() {
        let (mut early, now) = (EarlyChecks::default(), some_time());
        early.keep(addr(REMOTE), &CHECK, now);
        early.keep(addr("203.0.113.8:50000"), &CHECK, now);
        let heard = early.take(&[addr(REMOTE)], now);
        assert_eq!(heard, [(addr(REMOTE), CHECK.to_vec())]);
        assert!(early.take(&[addr(REMOTE)], now).is_empty());
    }

    #[test]
    fn packets_that_are_no_check_or_too_old_are_dropped() {
        let (mut early, now) = (EarlyChecks::default(), some_time());
        early.keep(addr(REMOTE), &[0x80; 20], now);
        early.keep(addr(REMOTE), &[0; MAX_BYTES + 1], now);
        early.keep(addr(REMOTE), &[], now);
        early.keep(addr(REMOTE), &CHECK, now);
        let later = now + FRESH + Duration::from_millis(1);
        assert!(early.take(&[addr(REMOTE)], later).is_empty());
    }

    #[test]
    fn a_flood_of_checks_is_kept_in_bounds() {
        let (mut early, now) = (EarlyChecks::default(), some_time());
        for _ in 0..1_000 {
            early.keep(addr(REMOTE), &CHECK, now);
        }
        assert_eq!(early.take(&[addr(REMOTE)], now).len(), MAX_KEPT);
    }
}
