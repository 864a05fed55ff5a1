//! The wall clock of a machine that is told monotonic time only.

use std::time::Instant;

use crate::time::UnixTime;

/// Pairs one monotonic instant with wall time, and so knows the wall time at any instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    at: Instant,
    wall: UnixTime,
}

impl Clock {
    pub(crate) fn new(wall: UnixTime, at: Instant) -> Self {
        Self { at, wall }
    }

    /// Wall time at `now`; instants before the pairing count as the pairing.
    pub(crate) fn wall(&self, now: Instant) -> UnixTime {
        self.wall.after(now.saturating_duration_since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn wall_time_follows_the_monotonic_clock() {
        let at = some_instant();
        let clock = Clock::new(UnixTime::from_seconds(1_000), at);
        assert_eq!(clock.wall(at), UnixTime::from_seconds(1_000));
        assert_eq!(
            clock.wall(at + Duration::from_millis(1_500)),
            UnixTime::from_millis(1_001_500)
        );
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn some_instant() -> Instant {
        Instant::now()
    }
}
