//! Datagrams between two engines that are not media: sealed messages of a call, from relayed address to relayed address.
//!
//! RFC 7983 and RFC 9443 tell the protocols of one port apart by the first byte: STUN 0 to 3, DTLS 20 to 63, TURN channels
//! 64 to 79, QUIC 80 to 127 and 192 to 255, RTP 128 to 191. They leave 4 free.
//!
//! Whose datagram it is, only its reader can tell, after opening it. So any address that the TURN server lets through may
//! send some, a bounded number a second.

use std::time::{Duration, Instant};

/// First byte of a datagram.
pub const DATAGRAM_FIRST_BYTE: u8 = 4;

/// Length of a datagram. With TURN (36 bytes), UDP and IPv6 it stays below 1,280 bytes, which every IPv6 path carries.
pub const DATAGRAM_LEN: usize = 1024;

/// Datagrams handed on in one second: a call needs four, from one sender. More are dropped and counted.
const MOST_A_SECOND: u32 = 32;

/// How many datagrams may still be handed on in this second.
#[derive(Debug, Default)]
pub(super) struct DatagramBudget {
    second: Option<Instant>,
    handed_on: u32,
}

impl DatagramBudget {
    /// Whether one more is handed on.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        let is_running = |began: &Instant| now.duration_since(*began) < Duration::from_secs(1);
        if self.second.filter(is_running).is_none() {
            (self.second, self.handed_on) = (Some(now), 0);
        }
        self.handed_on += 1;
        self.handed_on <= MOST_A_SECOND
    }
}

/// Whether data of a peer is a datagram.
pub(super) fn is_datagram(bytes: &[u8]) -> bool {
    bytes.first() == Some(&DATAGRAM_FIRST_BYTE) && bytes.len() == DATAGRAM_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_a_bounded_number_of_datagrams() {
        let start = crate::some_time();
        let mut budget = DatagramBudget::default();
        let mut admitted = |millis| {
            let now = start + Duration::from_millis(millis);
            (0..100).filter(|_| budget.admit(now)).count()
        };
        assert_eq!([admitted(0), admitted(999), admitted(1_000)], [32, 0, 32]);
    }

    #[test]
    fn nothing_else_that_comes_over_a_relay_is_a_datagram() {
        let of = |first: u8, length| {
            let mut bytes = vec![0; length];
            bytes[0] = first;
            is_datagram(&bytes)
        };
        assert!((0..=255).filter(|first| of(*first, DATAGRAM_LEN)).eq([4]));
        assert!(!of(4, 1023) && !of(4, 1025) && !is_datagram(&[]));
    }
}
