//! Whether the phone is silent: nothing that only the phone sends has come for five seconds. Audio counts, and so do comfort
//! noise, key presses and RTCP, authenticated where keys were agreed.
//!
//! A phone that is muted or on hold may send nothing and live, so silence alone proves nothing: the engine decides what it
//! means. It is noticed while the near leg has terms, whatever direction they agree on.

use std::time::{Duration, Instant};

/// The silence that is reported: as long as the interval of RTCP (RFC 3550 section 6.2), and more than any gap of Wi-Fi.
const LIMIT: Duration = Duration::from_secs(5);

/// How long the phone has been silent, and what was reported of it.
#[derive(Debug, Default)]
pub(super) struct PhoneSilence {
    /// When the phone was heard last, or its first terms came; `None` without a phone.
    since: Option<Instant>,
    is_silent: bool,
    is_reported: bool,
}

impl PhoneSilence {
    /// The phone's terms came. That breaks no silence, but a phone that was not silent has all the time again.
    pub(super) fn note_terms(&mut self, now: Instant) {
        if !self.is_silent {
            self.since = Some(now);
        }
    }

    /// The phone was heard.
    pub(super) fn note_heard(&mut self, now: Instant) {
        self.since = Some(now);
        self.is_silent = false;
    }

    /// Whether the phone is silent, if that has changed since it was returned last.
    pub(super) fn poll(&mut self, now: Instant) -> Option<bool> {
        self.is_silent |= self.due().is_some_and(|due| due <= now);
        let is_news = self.is_silent != self.is_reported;
        self.is_reported = self.is_silent;
        is_news.then_some(self.is_silent)
    }

    /// When the phone will be silent if nothing comes.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.since.filter(|_| !self.is_silent)?;
        Some(since + LIMIT)
    }

    /// When the phone was heard last, if it is silent.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since.filter(|_| self.is_silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    #[test]
    fn only_changes_are_returned() {
        let (mut silence, start) = (PhoneSilence::default(), some_time());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!((silence.poll(at(60_000)), silence.due()), (None, None));
        silence.note_terms(start);
        assert_eq!((silence.poll(at(4_999)), silence.since()), (None, None));
        assert_eq!(silence.due(), Some(at(5_000)));
        assert_eq!(silence.poll(at(5_000)), Some(true));
        assert_eq!((silence.poll(at(9_000)), silence.due()), (None, None));
        assert_eq!(silence.since(), Some(start));
        silence.note_terms(at(9_000));
        assert_eq!(
            (silence.poll(at(9_000)), silence.since()),
            (None, Some(start))
        );
        silence.note_heard(at(9_500));
        assert_eq!(
            (silence.poll(at(9_500)), silence.since()),
            (Some(false), None)
        );
        assert_eq!(silence.poll(at(14_499)), None);
        silence.note_terms(at(14_499));
        assert_eq!(silence.poll(at(19_498)), None);
        assert_eq!(silence.poll(at(19_499)), Some(true));
    }

    #[test]
    fn a_silence_that_ended_before_it_was_reported_is_none() {
        let (mut silence, start) = (PhoneSilence::default(), some_time());
        silence.note_terms(start);
        silence.note_heard(start + Duration::from_secs(6));
        assert_eq!(silence.poll(start + Duration::from_secs(6)), None);
    }
}
