//! Checks of the other side that arrive before this side knows whom to expect. The callee knows the caller's relay
//! from the ring and begins at once; its first check is here before the answer is. RFC 8445 section 7.3 wants it
//! heard all the same: dropped, it would be repeated only after a retransmission time-out.
//!
//! Nothing is answered from here: what was kept reaches WebRTC only if its sender turns out to be an accepted relay.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Checks kept at one time: one for each relay that a description may name. The oldest goes.
const MOST: usize = super::MAX_RELAYS;

/// Longest check that is kept; with all its attributes one has under 200 bytes.
const LONGEST: usize = 512;

/// How long a check is worth hearing: the sender repeats it sooner.
const FRESH: Duration = Duration::from_millis(500);

/// What came too early.
#[derive(Default)]
pub(super) struct Early {
    kept: VecDeque<(SocketAddr, Vec<u8>, Instant)>,
}

impl Early {
    /// Keeps a packet if it can be a check: STUN, by its first two bits (RFC 8489 section 5), and short.
    pub(super) fn keep(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let is_stun = bytes.first().is_some_and(|first| first >> 6 == 0);
        if !is_stun || bytes.len() > LONGEST {
            return;
        }
        if self.kept.len() == MOST {
            self.kept.pop_front();
        }
        self.kept.push_back((from, bytes.to_vec(), now));
    }

    /// What the accepted relays have sent; everything else is forgotten.
    pub(super) fn take(
        &mut self,
        relays: &[SocketAddr],
        now: Instant,
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let kept = std::mem::take(&mut self.kept);
        kept.into_iter()
            .filter(|(from, _, at)| relays.contains(from) && now.duration_since(*at) <= FRESH)
            .map(|(from, bytes, _)| (from, bytes))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    const RELAY: &str = "203.0.113.7:50000";
    const CHECK: [u8; 20] = [0; 20];

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_check_of_an_accepted_relay_is_heard_later_and_one_of_a_stranger_is_not() {
        let (mut early, now) = (Early::default(), some_time());
        early.keep(addr(RELAY), &CHECK, now);
        early.keep(addr("203.0.113.8:50000"), &CHECK, now);
        let heard = early.take(&[addr(RELAY)], now);
        assert_eq!(heard, [(addr(RELAY), CHECK.to_vec())]);
        assert!(early.take(&[addr(RELAY)], now).is_empty());
    }

    #[test]
    fn what_is_no_check_or_too_old_is_not_heard() {
        let (mut early, now) = (Early::default(), some_time());
        early.keep(addr(RELAY), &[0x80; 20], now);
        early.keep(addr(RELAY), &[0; LONGEST + 1], now);
        early.keep(addr(RELAY), &[], now);
        early.keep(addr(RELAY), &CHECK, now);
        let later = now + FRESH + Duration::from_millis(1);
        assert!(early.take(&[addr(RELAY)], later).is_empty());
    }

    #[test]
    fn a_flood_of_checks_is_kept_in_bounds() {
        let (mut early, now) = (Early::default(), some_time());
        for _ in 0..1_000 {
            early.keep(addr(RELAY), &CHECK, now);
        }
        assert_eq!(early.take(&[addr(RELAY)], now).len(), MOST);
    }
}
