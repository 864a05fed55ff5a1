//! Exponential backoff: the wait before the next attempt grows with each failure, up to a limit. Told of failures; it has no clock.
//! Whether the wait is also spread at random is the caller's choice.

use std::time::Duration;

/// The waits of one thing that is tried again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    factor: u32,
    next: Duration,
}

impl Backoff {
    /// `min` after the first failure, `factor` times as long after each further one, never longer than `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration, factor: u32) -> Self {
        Self {
            min,
            max,
            factor,
            next: min,
        }
    }

    /// How long to wait after a failure.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next.min(self.max);
        self.next = delay.saturating_mul(self.factor);
        delay
    }

    /// How long the next failure will make the caller wait.
    #[must_use]
    pub fn peek(&self) -> Duration {
        self.next.min(self.max)
    }

    /// An attempt succeeded: the next failure is the first again.
    pub const fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn waits_grow_to_the_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(secs(1), secs(5), 2);
        let waits: Vec<u64> = (0..5).map(|_| backoff.next_delay().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!((backoff.peek(), backoff.next_delay()), (secs(1), secs(1)));
    }

    #[test]
    fn a_first_wait_above_the_limit_is_cut() {
        let mut backoff = Backoff::new(secs(9), secs(5), 2);
        assert_eq!(backoff.next_delay(), secs(5));
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let mut backoff = Backoff::new(secs(1), Duration::MAX, u32::MAX);
        for _ in 0..10 {
            backoff.next_delay();
        }
        assert_eq!(backoff.next_delay(), Duration::MAX);
    }
}
