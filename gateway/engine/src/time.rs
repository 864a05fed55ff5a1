//! Wall time as the protocol writes it. Told by the shell; this crate never asks for it.

use std::time::{Duration, Instant};

use ringfence_phonebook::Day;

/// A moment in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since 1970; saturates.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The day that holds this moment: the unit of every expiry in the phone book.
    #[must_use]
    pub fn day(self) -> Day {
        Day::of_unix(self.seconds())
    }

    /// How far two moments are apart, whichever is first.
    #[must_use]
    pub const fn distance(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// This moment plus `by`; saturates.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Wall time, compared with the time inside a ring.
    pub wall: UnixTime,
    /// Monotonic time, by which the replay memory forgets.
    pub now: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_dates_saturate_instead_of_wrapping() {
        assert_eq!(UnixTime::from_seconds(u64::MAX).millis(), u64::MAX);
        assert_eq!(UnixTime::from_millis(u64::MAX).day(), Day::LAST);
        assert_eq!(
            UnixTime::from_millis(1).after(Duration::MAX).millis(),
            u64::MAX
        );
    }
}
