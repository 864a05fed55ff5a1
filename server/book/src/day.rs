//! Days since 1970-01-01 (UTC). Nothing here reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A day, counted from 1970-01-01 UTC. Coarse on purpose: a time of day would tell when a key was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(u32);

/// Seconds of a day, without the leap seconds that Unix time does not count either.
const SECONDS: u64 = 86_400;

impl Day {
    /// The last day there is; said where no end is meant.
    pub const LAST: Self = Self(u32::MAX);

    /// The day with this count.
    #[must_use]
    pub const fn new(days: u32) -> Self {
        Self(days)
    }

    /// The day that holds this Unix time (seconds). A time beyond the last day is the last day.
    #[must_use]
    pub fn of_unix(seconds: u64) -> Self {
        Self(u32::try_from(seconds / SECONDS).unwrap_or(u32::MAX))
    }

    /// The count.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }

    /// The day `days` later, at most [`Day::LAST`].
    #[must_use]
    pub const fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "day {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight() {
        assert_eq!(Day::of_unix(86_399), Day::new(0));
        assert_eq!(Day::of_unix(86_400), Day::new(1));
        assert_eq!(Day::of_unix(u64::MAX), Day::LAST);
    }

    #[test]
    fn no_day_comes_after_the_last() {
        assert_eq!(Day::new(u32::MAX - 1).plus(5), Day::LAST);
    }
}
