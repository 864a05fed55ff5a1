//! Counts the packets of one direction of one stream: losses as RFC 3550 appendix A.3 counts them, jitter as appendix
//! A.8 does.

use std::time::{Duration, Instant};

use super::rewrite::{RewrittenNumbers, RtpArrival};
use crate::stats::{DropReason, StreamStats};

/// Counts one direction of one stream.
#[derive(Debug, Default)]
pub(super) struct StreamMeter {
    stats: StreamStats,
    transit: Option<Transit>,
    /// Sixteen times the jitter, in ticks of `clock`.
    jitter: u64,
    clock: u32,
}

/// When a packet came and when it was due.
#[derive(Debug)]
struct Transit {
    arrival: Instant,
    timestamp: u32,
}

impl StreamMeter {
    /// Counts a packet that goes on; `clock` is that of its timestamps, if they tell when it was due.
    pub(super) fn passed(&mut self, packet: RewrittenNumbers, clock: Option<u32>, now: Instant) {
        self.stats.passed += 1;
        self.stats.first.get_or_insert(now);
        match packet.arrival {
            RtpArrival::Fresh => self.transit = None,
            RtpArrival::Next { skipped } => self.stats.lost += u64::from(skipped),
            RtpArrival::Late => self.stats.lost = self.stats.lost.saturating_sub(1),
        }
        if let Some(clock) = clock {
            self.note_transit(packet.timestamp, clock, now);
        }
    }

    /// Counts a packet that does not go on, if this is one.
    pub(super) fn note<T>(&mut self, outcome: Result<T, DropReason>) -> Option<T> {
        outcome
            .map_err(|reason| *self.stats.dropped.counter(reason) += 1)
            .ok()
    }

    /// A packet that was to go on came too late for that.
    pub(super) fn note_too_late(&mut self) {
        self.stats.passed = self.stats.passed.saturating_sub(1);
        *self.stats.dropped.counter(DropReason::Late) += 1;
    }

    /// The jitter in ticks of the clock, as reports have it.
    pub(super) fn jitter(&self) -> u32 {
        u32::try_from(self.jitter / 16).unwrap_or(u32::MAX)
    }

    /// How many packets came in a format that does not cross.
    pub(super) const fn not_carried(&self) -> u64 {
        self.stats.dropped.not_carried
    }

    pub(super) fn stats(&self) -> StreamStats {
        let micros = (self.jitter / 16)
            .saturating_mul(1_000_000)
            .checked_div(u64::from(self.clock));
        StreamStats {
            jitter: Duration::from_micros(micros.unwrap_or(0)),
            ..self.stats
        }
    }

    fn note_transit(&mut self, timestamp: u32, clock: u32, now: Instant) {
        self.clock = clock;
        if let Some(before) = self.transit.replace(Transit {
            arrival: now,
            timestamp,
        }) {
            let passed = now.saturating_duration_since(before.arrival).as_micros()
                * u128::from(clock)
                / 1_000_000;
            let due = timestamp.wrapping_sub(before.timestamp).cast_signed();
            let difference = (passed.min(MAX_TICKS) as i64 - i64::from(due)).unsigned_abs();
            // Timestamps that jump are another beginning, and no jitter.
            if difference < u64::from(clock) {
                self.jitter = self.jitter + difference - self.jitter / 16;
            }
        }
    }
}

/// A pause longer than this (12 hours at 48 kHz) measures no jitter.
const MAX_TICKS: u128 = i32::MAX as u128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    fn packet(timestamp: u32, arrival: RtpArrival) -> RewrittenNumbers {
        RewrittenNumbers {
            sequence: 0,
            timestamp,
            marker: false,
            arrival,
        }
    }

    /// Passes one packet of G.711 for each time of arrival in milliseconds, each due 20 ms after
    /// the one before.
    fn meter(arrivals: impl IntoIterator<Item = u64>) -> StreamMeter {
        let (mut meter, start) = (StreamMeter::default(), some_time());
        for (count, arrival) in arrivals.into_iter().enumerate() {
            let kind = if count == 0 {
                RtpArrival::Fresh
            } else {
                RtpArrival::Next { skipped: 0 }
            };
            let timestamp = u32::MAX.wrapping_add(count as u32 * 160);
            meter.passed(
                packet(timestamp, kind),
                Some(8_000),
                start + Duration::from_millis(arrival),
            );
        }
        meter
    }

    #[test]
    fn even_arrivals_have_no_jitter() {
        assert_eq!(
            meter((0..200).map(|n| n * 20)).stats().jitter,
            Duration::ZERO
        );
    }

    #[test]
    fn uneven_arrivals_have_the_jitter_of_the_standard() {
        // Each packet is alternately 5 ms early and late against the one before, which is where the
        // average settles.
        let jitter = meter((0..400).map(|n| n * 20 + n % 2 * 5)).stats().jitter;
        assert!((4_500..=5_000).contains(&jitter.as_micros()), "{jitter:?}");
    }

    #[test]
    fn timestamps_that_jump_are_no_jitter() {
        let (mut meter, start) = (StreamMeter::default(), some_time());
        for (place, timestamp) in [0, 160, 1 << 31, (1 << 31) + 160].into_iter().enumerate() {
            let now = start + Duration::from_millis(20) * place as u32;
            let next = RtpArrival::Next { skipped: 0 };
            meter.passed(packet(timestamp, next), Some(8_000), now);
        }
        assert_eq!(meter.stats().jitter, Duration::ZERO);
    }

    #[test]
    fn late_packets_are_no_longer_lost() {
        let mut meter = meter([0]);
        let now = some_time();
        meter.passed(
            packet(0, RtpArrival::Next { skipped: 3 }),
            Some(48_000),
            now,
        );
        meter.passed(packet(0, RtpArrival::Late), Some(48_000), now);
        assert_eq!((meter.stats().passed, meter.stats().lost), (3, 2));
    }

    #[test]
    fn digits_do_not_count_as_jitter() {
        let (mut meter, start) = (meter([0]), some_time());
        for later in 1..10 {
            meter.passed(
                packet(0, RtpArrival::Next { skipped: 0 }),
                None,
                start + Duration::from_secs(later),
            );
        }
        assert_eq!(meter.stats().jitter, Duration::ZERO);
    }

    #[test]
    fn all_that_arrived_is_counted() {
        let mut meter = meter([0, 20]);
        for reason in [DropReason::Duplicate, DropReason::Late, DropReason::Rtcp] {
            assert_eq!(meter.note::<()>(Err(reason)), None);
        }
        assert_eq!(meter.note(Ok(7)), Some(7));
        assert_eq!(meter.stats().arrived(), 5);
    }
}
