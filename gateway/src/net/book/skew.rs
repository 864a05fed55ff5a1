//! Compares this machine's clock with the phone book's, by the `Date` of its answers (RFC 9110 section 6.6.1), and follows the
//! difference between two answers.
//!
//! A ring is accepted for a minute before and after its time, and says by the clock until when it may sound. With a clock that is off,
//! phones ring for less time, and beyond a minute neither ring nor call, without any other sign. The difference is reported and not
//! corrected, because the book is not trusted with the time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use hyper::header::{AGE, DATE, HeaderMap};

use crate::clock::ClockReading;

/// Half of the time for which a phone usually rings is left with such a clock; more than an answer takes to arrive.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(15);

/// How far this machine's clock is from the phone book's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// The difference.
    pub apart: Duration,
    /// Whether this machine's clock is behind.
    pub is_behind: bool,
}

impl ClockOffset {
    fn of(here: Duration, there: Duration) -> Self {
        Self {
            apart: here.abs_diff(there),
            is_behind: here < there,
        }
    }
}

/// The phone book's time at the moment of its last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockCheck {
    there: Duration,
    here: ClockReading,
}

impl ClockCheck {
    /// The difference of the clocks at a later moment, if the book's clock went on at the pace of the one here that is never set. So a
    /// wall clock that is set between two downloads is noticed at once, and one that slept is not accused.
    #[must_use]
    pub fn offset(&self, now: ClockReading) -> ClockOffset {
        let passed = now.running.saturating_sub(self.here.running);
        ClockOffset::of(now.wall, self.there.saturating_add(passed))
    }
}

/// The last comparison.
#[derive(Debug, Default)]
pub(super) struct ClockSkew(Mutex<Option<ClockCheck>>);

impl ClockSkew {
    /// Notes the date of an answer that came now.
    pub(super) fn note(&self, headers: &HeaderMap, here: ClockReading) {
        if let Some(there) = date(headers) {
            let check = ClockCheck { there, here };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(check);
        }
    }

    /// The comparison at the last answer with a date.
    pub(super) fn last(&self) -> Option<ClockCheck> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far apart the clocks are; `None` for an answer without a date that can be read.
pub(super) fn difference(headers: &HeaderMap, now: Duration) -> Option<ClockOffset> {
    Some(ClockOffset::of(now, date(headers)?))
}

/// The date of an answer as time since the Unix epoch. An answer from a cache has the date at which it was made, and says how old it is
/// (RFC 9111, section 5.1).
fn date(headers: &HeaderMap) -> Option<Duration> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let made = date.duration_since(UNIX_EPOCH).ok()?;
    let age: Option<u32> = match headers.get(AGE) {
        None => Some(0),
        Some(age) => age.to_str().ok()?.trim().parse().ok(),
    };
    Some(made + Duration::from_secs(age?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of the date below.
    const THERE: u64 = 784_111_777;

    fn headers(date: &str) -> HeaderMap {
        HeaderMap::from_iter([(DATE, date.parse().unwrap())])
    }

    fn seconds(seconds: u64, is_behind: bool) -> ClockOffset {
        ClockOffset {
            apart: Duration::from_secs(seconds),
            is_behind,
        }
    }

    #[test]
    fn an_hour_is_an_hour_on_either_side() {
        let headers = headers("Sun, 06 Nov 1994 08:49:37 GMT");
        let at = |seconds| difference(&headers, Duration::from_secs(seconds));
        assert_eq!(at(THERE), Some(seconds(0, false)));
        assert_eq!(at(THERE - 3_600), Some(seconds(3_600, true)));
        assert_eq!(at(THERE + 3_600), Some(seconds(3_600, false)));
    }

    #[test]
    fn a_clock_that_is_set_between_two_answers_is_noticed_and_a_machine_that_slept_is_not_accused()
    {
        let skew = ClockSkew::default();
        let at = |wall, running| ClockReading {
            wall: Duration::from_secs(wall),
            running: Duration::from_secs(running),
        };
        skew.note(&headers("Sun, 06 Nov 1994 08:49:37 GMT"), at(THERE, 100));
        let check = skew.last().unwrap();
        for (wall, running, expected) in [
            (THERE + 7_200, 7_300, seconds(0, false)),
            (THERE + 3_610, 110, seconds(3_600, false)),
            (THERE - 110, 110, seconds(120, true)),
            (THERE + 10, 110, seconds(0, false)),
        ] {
            assert_eq!(check.offset(at(wall, running)), expected, "{wall}");
        }
    }

    #[test]
    fn an_answer_from_a_cache_does_not_accuse_the_clock() {
        let mut cached = headers("Sun, 06 Nov 1994 08:49:37 GMT");
        cached.insert(AGE, "3600".parse().unwrap());
        let now = Duration::from_secs(THERE + 3_600);
        assert_eq!(difference(&cached, now), Some(seconds(0, false)));
        cached.insert(AGE, "long ago".parse().unwrap());
        assert_eq!(difference(&cached, now), None);
    }

    #[test]
    fn an_answer_without_a_date_says_nothing() {
        let now = Duration::from_secs(THERE);
        assert_eq!(difference(&HeaderMap::new(), now), None);
        assert_eq!(difference(&headers("yesterday"), now), None);
    }
}
