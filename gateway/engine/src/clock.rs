//! The wall clock of a machine that is told monotonic time only.

use std::time::Instant;

/// Pairs one monotonic instant with Unix time, and so knows Unix time at any instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    at: Instant,
    unix_ms: u64,
}

impl Clock {
    pub(crate) fn new(unix_ms: u64, at: Instant) -> Self {
        Self { at, unix_ms }
    }

    /// Unix time in milliseconds at `now`; instants before the pairing count backwards.
    pub(crate) fn unix_ms(&self, now: Instant) -> u64 {
        let ahead = now.saturating_duration_since(self.at).as_millis();
        let behind = self.at.saturating_duration_since(now).as_millis();
        self.unix_ms
            .saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX))
            .saturating_sub(u64::try_from(behind).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn unix_time_follows_the_monotonic_clock_both_ways() {
        let at = Instant::now() + Duration::from_secs(100);
        let clock = Clock::new(1_000_000, at);
        assert_eq!(clock.unix_ms(at), 1_000_000);
        assert_eq!(clock.unix_ms(at + Duration::from_millis(1_500)), 1_001_500);
        assert_eq!(clock.unix_ms(at - Duration::from_millis(250)), 999_750);
    }
}
