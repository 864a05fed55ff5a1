//! How fast another machine's clock is: what both clocks of a call have learnt of it, and their arithmetic.
//!
//! Clocks differ by up to some hundred millionths (RFC 3550 section 6.4.1 has a receiver follow them too). A loop of second order learns
//! the difference, and keeps it while nothing comes.

use std::time::{Duration, Instant};

/// The largest difference of the clocks, as a part of a slot: more than any phone's.
const LARGEST_DRIFT: i64 = 1_000;

/// From one slot to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockRate {
    /// Nanoseconds by this machine's clock.
    pub(super) span: i64,
    /// The sum of how far packets were off: `learn` times the difference.
    learnt: i64,
    /// Of how far a packet is off, this part is the difference in each later slot.
    learn: i64,
}

impl ClockRate {
    /// Slots that are so many microseconds apart until something is learnt.
    pub(super) fn new(micros: u32, learn: i64) -> Self {
        Self {
            span: i64::from(micros) * 1_000,
            learnt: 0,
            learn,
        }
    }

    /// A packet was so many nanoseconds late.
    pub(super) fn learn(&mut self, off: i64) {
        let largest = self.span / LARGEST_DRIFT * self.learn;
        self.learnt = (self.learnt + off).clamp(-largest, largest);
    }

    /// From one slot to the next, as it has been learnt.
    pub(super) fn length(&self) -> Duration {
        Duration::from_nanos((self.span + self.learnt / self.learn).unsigned_abs())
    }
}

/// A moment so many nanoseconds later.
pub(super) fn moved(at: Instant, nanos: i64) -> Instant {
    let by = Duration::from_nanos(nanos.unsigned_abs());
    let moved = match nanos < 0 {
        true => at.checked_sub(by),
        false => at.checked_add(by),
    };
    moved.unwrap_or(at)
}

/// Nanoseconds from one moment to another: less than nothing if the other is before.
pub(super) fn nanos_from(one: Instant, other: Instant) -> i64 {
    nanos(other.saturating_duration_since(one)) - nanos(one.saturating_duration_since(other))
}

pub(super) fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}
