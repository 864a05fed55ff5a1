//! The last flight of a DTLS handshake (RFC 9147 section 5.8), which is sent again at a steady pace until the other side has it.
//!
//! dimpl doubles its retransmission timer. Over two wires that each lose a fifth, a flight and its answer both arrive in two tries of
//! five, and a doubled timer turns a few lost tries into seconds of silence after a person has picked up. Here the same bytes leave again:
//! records that arrive twice are dropped by their numbers.

use std::time::{Duration, Instant};

/// Between two transmissions. It is above the round trip of most relayed paths, so that little is sent twice without need.
const PACE: Duration = Duration::from_millis(150);

/// A session that waits for so long waits for nothing: the flight has arrived.
const IDLE: Duration = Duration::from_secs(3600);

/// The packets of a flight, and when they leave again.
#[derive(Default)]
pub(super) struct Flight {
    packets: Vec<Vec<u8>>,
    /// How many of them have left since their time came.
    repeated: Option<usize>,
    /// Whether the next packet begins another flight.
    is_over: bool,
    again_at: Option<Instant>,
}

impl Flight {
    /// What is sent from now on is another flight.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// A packet left.
    pub(super) fn sent(&mut self, packet: &[u8]) {
        if !is_handshake(packet) {
            return;
        }
        if std::mem::take(&mut self.is_over) {
            *self = Self::default();
        }
        self.packets.push(packet.to_vec());
    }

    /// The next packet that leaves again.
    pub(super) fn repeat(&mut self) -> Option<&[u8]> {
        let next = self.repeated?;
        self.repeated = Some(next + 1).filter(|next| *next < self.packets.len());
        self.packets.get(next).map(Vec::as_slice)
    }

    /// The session has its next timer at `at`. When this side's timers are due.
    pub(super) fn timeout(&mut self, at: Instant, now: Instant) -> Instant {
        if at > now + IDLE {
            *self = Self::default();
        }
        match self.packets.is_empty() {
            true => at,
            // The session tells no time when a packet leaves: the pace begins with the next.
            false => at.min(self.again_at.unwrap_or(now)),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.packets.is_empty() {
            return;
        }
        match self.again_at {
            Some(at) if now < at => {}
            again_at => {
                self.repeated = again_at.map(|_| 0);
                self.again_at = Some(now + PACE);
            }
        }
    }
}

/// Whether a packet begins with a record of the handshake: in clear (22), or under its keys, which are those of epoch 2 (RFC 9147
/// section 4).
fn is_handshake(packet: &[u8]) -> bool {
    packet
        .first()
        .is_some_and(|first| *first == 22 || first & 0b1110_0011 == 0b0010_0010)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(flight: &mut Flight) -> Vec<u8> {
        std::iter::from_fn(|| flight.repeat().map(|packet| packet[1])).collect()
    }

    #[test]
    fn a_flight_leaves_again_at_a_steady_pace_until_another_one_leaves_or_none_is_awaited() {
        let start = crate::some_time();
        let mut flight = Flight::default();
        let soon = start + 4 * PACE;
        assert_eq!(flight.timeout(soon, start), soon);
        flight.sent(&[22, 1]);
        flight.sent(&[0b0010_1110, 2]);
        flight.sent(&[0b0010_1111, 3]);
        assert_eq!(flight.timeout(soon, start), start);
        flight.handle_timeout(start);
        assert_eq!(repeated(&mut flight), []);
        for round in 1..4 {
            let at = start + round * PACE;
            assert_eq!(flight.timeout(soon, start), at);
            flight.handle_timeout(at - Duration::from_millis(1));
            assert_eq!(repeated(&mut flight), []);
            flight.handle_timeout(at);
            assert_eq!(repeated(&mut flight), [1, 2]);
        }
        flight.end();
        flight.sent(&[22, 4]);
        flight.handle_timeout(soon);
        flight.handle_timeout(soon + PACE);
        assert_eq!(repeated(&mut flight), [4]);
        let never = soon + 2 * IDLE;
        assert_eq!(flight.timeout(never, soon), never);
        flight.handle_timeout(soon + 2 * PACE);
        assert_eq!(repeated(&mut flight), []);
    }
}
