//! Whether this machine's clock and the phone book's agree, by the `Date` of its answers (RFC 9110 section 6.6.1).
//!
//! Rings are believed for a minute either way, so that a clock that is further off makes a telephone that never rings and cannot
//! call, without any other sign. Nothing is corrected here: the book is not trusted with the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap};

/// Less than the minute in which a ring is believed; more than an answer may take on its way.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(45);

/// Says once that the clocks differ, and again when they did so after having agreed.
#[derive(Debug, Default)]
pub(super) struct ClockSkew {
    told: AtomicBool,
    last: Mutex<Option<(Duration, bool)>>,
}

impl ClockSkew {
    /// Looks at an answer. `now` is the time since the Unix epoch by this machine's clock.
    pub(super) fn note(&self, headers: &HeaderMap, now: Duration) {
        let Some((apart, behind)) = difference(headers, now) else {
            return;
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((apart, behind));
        let differs = apart > TOLERANCE;
        if self.told.swap(differs, Ordering::Relaxed) || !differs {
            return;
        }
        let (minutes, side) = (
            // To the nearest: the answer's date has no fraction of a second.
            (apart.as_secs() + 30) / 60,
            if behind { "behind" } else { "ahead of" },
        );
        tracing::warn!(
            "this machine's clock is about {minutes} minutes {side} the phone book's: calls will not come through. To do: set the clock, for example with timedatectl set-ntp true; if it is right, tell the phone book's operator"
        );
    }
}

impl ClockSkew {
    /// What the last answer with a date said.
    pub(super) fn last(&self) -> Option<(Duration, bool)> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far apart the clocks are, and whether ours is behind; `None` for an answer without a date that can be read.
pub(super) fn difference(headers: &HeaderMap, now: Duration) -> Option<(Duration, bool)> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let there = date.duration_since(UNIX_EPOCH).ok()?;
    Some((now.abs_diff(there), now < there))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of the date below.
    const THERE: u64 = 784_111_777;

    fn headers(date: &str) -> HeaderMap {
        HeaderMap::from_iter([(DATE, date.parse().unwrap())])
    }

    #[test]
    fn an_hour_is_an_hour_on_either_side() {
        let headers = headers("Sun, 06 Nov 1994 08:49:37 GMT");
        let at = |seconds| difference(&headers, Duration::from_secs(seconds));
        let hour = Duration::from_secs(3_600);
        assert_eq!(at(THERE), Some((Duration::ZERO, false)));
        assert_eq!(at(THERE - 3_600), Some((hour, true)));
        assert_eq!(at(THERE + 3_600), Some((hour, false)));
    }

    #[test]
    fn it_is_said_once_until_the_clocks_have_agreed_again() {
        let (skew, headers) = (
            ClockSkew::default(),
            headers("Sun, 06 Nov 1994 08:49:37 GMT"),
        );
        let mut told = Vec::new();
        for seconds in [THERE + 3_600, THERE + 3_600, THERE, THERE - 60] {
            let before = skew.told.load(Ordering::Relaxed);
            skew.note(&headers, Duration::from_secs(seconds));
            told.push(!before && skew.told.load(Ordering::Relaxed));
        }
        assert_eq!(told, [true, false, false, true]);
    }

    #[test]
    fn an_answer_without_a_date_says_nothing() {
        let now = Duration::from_secs(THERE);
        assert_eq!(difference(&HeaderMap::new(), now), None);
        assert_eq!(difference(&headers("yesterday"), now), None);
    }
}
