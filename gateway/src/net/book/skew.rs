//! Compares this machine's clock with the phone book's, by the `Date` of its answers (RFC 9110 section 6.6.1).
//!
//! A ring is accepted for a minute before and after its time. With a clock that is further off, phones neither ring nor call, without
//! any other sign. The difference is reported and not corrected, because the book is not trusted with the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap};

/// Less than the minute for which a ring is accepted; more than an answer takes to arrive.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(45);

/// Warns once that the clocks differ, and again only after they have agreed.
#[derive(Debug, Default)]
pub(super) struct ClockSkew {
    has_warned: AtomicBool,
    last: Mutex<Option<(Duration, bool)>>,
}

impl ClockSkew {
    /// Compares the date of an answer. `now` is the time since the Unix epoch by this machine's clock.
    pub(super) fn note(&self, headers: &HeaderMap, now: Duration) {
        let Some((apart, behind)) = difference(headers, now) else {
            return;
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((apart, behind));
        let differs = apart > TOLERANCE;
        if self.has_warned.swap(differs, Ordering::Relaxed) || !differs {
            return;
        }
        let (minutes, side) = (
            // To the nearest: the answer's date has no fraction of a second.
            (apart.as_secs() + 30) / 60,
            if behind { "behind" } else { "ahead of" },
        );
        tracing::warn!(
            "this machine's clock is about {minutes} minutes {side} the phone book's: no call can be made or received. To do: set the clock, for example with timedatectl set-ntp true; if it is right, tell the phone book's operator"
        );
    }

    /// The difference at the last answer with a date.
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
    fn the_warning_comes_once_until_the_clocks_have_agreed_again() {
        let (skew, headers) = (
            ClockSkew::default(),
            headers("Sun, 06 Nov 1994 08:49:37 GMT"),
        );
        let mut told = Vec::new();
        for seconds in [THERE + 3_600, THERE + 3_600, THERE, THERE - 60] {
            let before = skew.has_warned.load(Ordering::Relaxed);
            skew.note(&headers, Duration::from_secs(seconds));
            told.push(!before && skew.has_warned.load(Ordering::Relaxed));
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
