//! The one place of the shell that reads a clock.
//!
//! The cores are given the time. Loops that wait need monotonic time (`Instant`); proofs of work, Nostr events and TURN
//! credentials need the time of day.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) use ringfence_daemon::clock::until;

/// Time since the Unix epoch. A clock set before 1970 reads as 0, which every freshness check then refuses.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Monotonic time, as the runtime's timers have it: a test that pauses them pauses this too.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock and a clock that is never set, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Time since the Unix epoch.
    pub wall: Duration,
    /// Time that has passed, on Linux with the time in which the machine slept; of no meaning by itself.
    pub running: Duration,
}

/// Reads both clocks. Their difference changes only when the wall clock is set (on other systems than Linux: also when the machine
/// slept).
#[must_use]
pub fn reading() -> ClockReading {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let passed = rustix::time::clock_gettime(clock);
    ClockReading {
        wall: since_epoch(),
        running: Duration::try_from(passed).unwrap_or_default(),
    }
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

/// Whole days since the Unix epoch.
#[must_use]
pub fn unix_days() -> u32 {
    u32::try_from(unix_seconds() / 86_400).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_seconds_tell_the_same_date() {
        let days = u64::from(unix_days());
        assert!(days > 20_000, "this clock is set before 2024");
        assert!(unix_seconds() / 86_400 - days <= 1);
    }
}
