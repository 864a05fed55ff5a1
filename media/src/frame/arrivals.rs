//! The clock of the frames that come: where they come early or late in the mean, it is pulled towards them by steps too small to hear.

use std::time::{Duration, Instant};

use super::clock_rate::{ClockRate, moved, nanos_from};

/// Of how far a packet was off, so much is corrected at once: the mean of so many packets.
const PULL: i64 = 64;
/// And so much in each later slot, which learns the difference of the clocks; PULL squared times eight keeps the two from swinging.
const LEARN: i64 = 8 * PULL * PULL;
/// The largest step, as a part of a slot: 20 ms are made up for in four seconds.
const LARGEST_STEP: i64 = 200;

/// When the next frame comes, in the mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArrivalClock {
    next: Instant,
    rate: ClockRate,
}

impl ArrivalClock {
    /// Slots that are so many microseconds apart, the first at this moment.
    pub(super) fn new(first: Instant, micros: u32) -> Self {
        Self {
            next: first,
            rate: ClockRate::new(micros, LEARN),
        }
    }

    /// The next slot.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// The next slot has been served.
    pub(super) fn step(&mut self) {
        self.next += self.length();
    }

    /// A frame has come that is so many slots after the next one.
    pub(super) fn pull(&mut self, arrival: Instant, slots: usize) {
        let expected = self.next + self.length() * u32::try_from(slots).unwrap_or(u32::MAX);
        let off = nanos_from(expected, arrival);
        let largest = self.rate.span / LARGEST_STEP;
        self.next = moved(self.next, (off / PULL).clamp(-largest, largest));
        if off.abs() <= self.rate.span / 4 {
            self.rate.learn(off);
        }
    }

    /// All slots are sooner by this.
    pub(super) fn bring_forward(&mut self, by: Duration) {
        self.next = self.next.checked_sub(by).unwrap_or(self.next);
    }

    /// From one slot to the next.
    pub(super) fn length(&self) -> Duration {
        self.rate.length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    #[test]
    fn the_clock_learns_how_fast_frames_come() {
        for millionths in [-200.0, 200.0, 0.0] {
            let start = some_time();
            let mut clock = ArrivalClock::new(start, 20_000);
            let phone = |packet: u32| {
                start + Duration::from_secs_f64(f64::from(packet) * 0.02 * (1.0 + millionths / 1e6))
            };
            for packet in 0..20_000 {
                clock.pull(phone(packet), 0);
                clock.step();
            }
            let off = clock.next().saturating_duration_since(phone(20_000))
                + phone(20_000).saturating_duration_since(clock.next());
            assert!(off < Duration::from_micros(50), "{millionths}: {off:?}");
            let learnt = clock.length().as_secs_f64() / 0.02 - 1.0;
            assert!((learnt * 1e6 - millionths).abs() < 10.0, "{learnt}");
        }
    }

    #[test]
    fn one_late_packet_moves_the_slots_by_little() {
        let start = some_time();
        let mut clock = ArrivalClock::new(start, 20_000);
        clock.pull(start + Duration::from_millis(15), 0);
        assert_eq!(clock.next() - start, Duration::from_micros(100));
    }
}
