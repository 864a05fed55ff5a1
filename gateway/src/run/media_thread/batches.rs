//! Packets that come close together are handled together: to wake a thread costs the kernel more than to receive a packet. While a thread
//! has much to do it looks at its sockets each two milliseconds, which an ear does not notice; with one call it wakes for each packet.

use std::time::{Duration, Instant};

/// From one look to the next while there is much to do.
const TICK: Duration = Duration::from_millis(2);

/// When a thread looks at its sockets.
#[derive(Debug)]
pub(super) struct Batches {
    last: Instant,
    is_busy: bool,
}

impl Batches {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            last: now,
            is_busy: false,
        }
    }

    /// How long to sleep before the next look, in which nothing wakes the thread.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        match self.is_busy {
            true => TICK.saturating_sub(now.saturating_duration_since(self.last)),
            false => Duration::ZERO,
        }
    }

    /// A look has found something to do.
    pub(super) fn note(&mut self, now: Instant) {
        let took = now.saturating_duration_since(self.last);
        self.is_busy = match self.is_busy {
            true => took < 2 * TICK,
            false => took < TICK,
        };
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many looks a second has, with packets as far apart as this.
    fn looks(pause: Duration) -> usize {
        let start = Instant::now();
        let (mut batches, mut now, mut next) = (Batches::new(start), start, start + pause);
        for looks in 0.. {
            now += batches.rest(now);
            now = now.max(next);
            if now >= start + Duration::from_secs(1) {
                return looks;
            }
            while next <= now {
                next += pause;
            }
            batches.note(now);
        }
        0
    }

    #[test]
    fn one_call_has_a_look_a_packet_and_a_hundred_calls_five_hundred_a_second() {
        assert_eq!(looks(Duration::from_millis(10)), 99);
        assert_eq!(looks(Duration::from_micros(2_100)), 476);
        assert!((495..=505).contains(&looks(Duration::from_micros(100))));
    }

    #[test]
    fn a_thread_that_has_little_to_do_again_wakes_for_each_packet() {
        let start = Instant::now();
        let mut batches = Batches::new(start);
        batches.note(start + TICK / 2);
        assert_eq!(batches.rest(start + TICK), TICK / 2);
        batches.note(start + 4 * TICK);
        assert_eq!(batches.rest(start + 4 * TICK), Duration::ZERO);
    }
}
