//! Packets that come close together are handled together: to wake a thread costs the kernel more than to receive a packet. While a thread
//! has much to do it looks at its sockets each two milliseconds, which an ear does not notice; with one call it wakes for each packet.

use std::time::{Duration, Instant};

/// From one look to the next while there is much to do.
const TICK: Duration = Duration::from_millis(2);

/// Looks in a row that find something within a tick, after which there is much to do. With one call the slot of a frame and a packet of the
/// other side may be close together for as long as it lasts, and to sleep between the two would be one more time to wake.
const RUN: u8 = 4;

/// When a thread looks at its sockets.
#[derive(Debug)]
pub(super) struct Batches {
    last: Instant,
    /// Looks in a row within a tick, up to [`RUN`].
    run: u8,
}

impl Batches {
    pub(super) const fn new(now: Instant) -> Self {
        Self { last: now, run: 0 }
    }

    /// How long to sleep before the next look, in which nothing wakes the thread.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        match self.is_busy() {
            true => TICK.saturating_sub(now.saturating_duration_since(self.last)),
            false => Duration::ZERO,
        }
    }

    /// A look has found something to do.
    pub(super) fn note(&mut self, now: Instant) {
        let took = now.saturating_duration_since(self.last);
        self.run = match self.is_busy() {
            true if took < 2 * TICK => RUN,
            false if took < TICK => self.run + 1,
            _ => 0,
        };
        self.last = now;
    }

    const fn is_busy(&self) -> bool {
        self.run >= RUN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many looks a second has, and how many times the thread sleeps before one, with packets as far apart as these in turn.
    fn looks(pauses: &[u64]) -> (usize, usize) {
        let start = Instant::now();
        let mut pauses = pauses.iter().cycle().map(|it| Duration::from_micros(*it));
        let mut packets = std::iter::from_fn(|| pauses.next());
        let (mut batches, mut now) = (Batches::new(start), start);
        let mut next = start + packets.next().unwrap_or_default();
        let mut rests = 0;
        for looks in 0.. {
            let rest = batches.rest(now);
            rests += usize::from(!rest.is_zero());
            now = (now + rest).max(next);
            if now >= start + Duration::from_secs(1) {
                return (looks, rests);
            }
            while next <= now {
                next += packets.next().unwrap_or_default();
            }
            batches.note(now);
        }
        (0, 0)
    }

    #[test]
    fn one_call_has_a_look_a_packet_and_a_hundred_calls_five_hundred_a_second() {
        assert_eq!(looks(&[10_000]), (99, 0));
        assert_eq!(looks(&[2_100]), (476, 0));
        let (looks, rests) = looks(&[100]);
        assert!((495..=505).contains(&looks) && rests + 5 >= looks);
    }

    #[test]
    fn one_call_whose_packets_come_close_together_has_no_sleep_beside() {
        assert_eq!(looks(&[500, 5_000, 1_000, 13_500]), (199, 0));
        let (looks, rests) = looks(&[500; 20]);
        assert!(looks < 510 && rests + 5 >= looks, "ten calls have");
    }

    #[test]
    fn a_thread_that_has_little_to_do_again_wakes_for_each_packet() {
        let start = Instant::now();
        let mut batches = Batches::new(start);
        for look in 1..=u32::from(RUN) {
            assert_eq!(batches.rest(start), Duration::ZERO);
            batches.note(start + look * TICK / 2);
        }
        let last = start + u32::from(RUN) * TICK / 2;
        assert_eq!(batches.rest(last + TICK / 2), TICK / 2);
        batches.note(last + 3 * TICK);
        assert_eq!(batches.rest(last + 3 * TICK), Duration::ZERO);
    }
}
