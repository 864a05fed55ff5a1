//! Notices that a running call has lost its way out, or only the other side's, by what is heard of the other side: messages that only it
//! can have made (a check with its password, a packet of its keys).
//!
//! Both sides check each other all the time (RFC 8445 section 11), each 300 ms at most, so that a path is never silent because phones are.
//! After half a second of silence the own TURN server is asked whether the allocation stands. It does not answer: a new way is wanted.
//! It does: the fault is at the other side, which is waited for.

use std::time::{Duration, Instant};

/// Silence before the own server is asked, and how long it may take to answer beside two round trips: three transmissions.
const SILENCE: Duration = Duration::from_millis(500);

/// See [`SILENCE`].
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// The same before the other side was ever heard, five transmissions: the silence itself tells nothing yet, and on a wire that loses a
/// third three are lost too often.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_millis(1_200);

/// From one question in a silence to the next.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Silence that the engine learns of.
const UNHEARD: Duration = Duration::from_secs(1);

/// Silence after which no sound is sent: another client may have got the other side's port by now.
const MUTE: Duration = Duration::from_secs(5);

/// From one new beginning of the connectivity checks to the next. Those of a dead path end after 15 s, and if it comes back as it
/// was, neither side would begin again.
const CHECK_ANEW: Duration = Duration::from_secs(5);

/// Silence after which the call is over.
const LIMIT: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SearchStep {
    /// Ask the own server whether the allocation stands.
    Ask,
    /// Begin the connectivity checks anew.
    CheckAnew,
    /// Tell the owner that the other side is not heard.
    Unheard,
    /// The call is over.
    Over,
}

/// How long the other side has been silent, and what was done about it.
#[derive(Debug)]
pub(super) struct WaySearch {
    heard: Instant,
    ask_at: Instant,
    check_anew_at: Instant,
    /// Whether it was ever heard.
    is_met: bool,
    is_unheard: bool,
    is_lost: bool,
    /// Whether the owner was told of silence or a lost way.
    is_told: bool,
}

impl WaySearch {
    /// The other side was heard just now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            ask_at: now + SILENCE,
            check_anew_at: now + CHECK_ANEW,
            is_met: true,
            is_unheard: false,
            is_lost: false,
            is_told: false,
        }
    }

    /// The other side was never heard, and may not be for some time yet. The allocation may have waited for long: the server is asked at
    /// once.
    pub(super) fn before_contact(is_lost: bool, now: Instant) -> Self {
        Self {
            ask_at: now,
            is_met: false,
            is_unheard: true,
            is_lost,
            ..Self::new(now)
        }
    }

    /// The other side is heard. True if that is news.
    pub(super) fn handle_heard(&mut self, now: Instant) -> bool {
        let is_told = self.is_told;
        *self = Self::new(now);
        is_told
    }

    /// The own way is of no use. True if that is news.
    pub(super) fn handle_lost(&mut self) -> bool {
        self.is_told = true;
        !std::mem::replace(&mut self.is_lost, true)
    }

    /// There is a new way: it is asked about only if the silence goes on.
    pub(super) fn handle_adopted(&mut self, now: Instant) {
        self.is_lost = false;
        self.ask_at = now + SILENCE;
        self.check_anew_at = now + CHECK_ANEW;
    }

    /// Whether a new way is wanted.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// How long the own server may take to answer.
    pub(super) fn answer_limit(&self) -> Duration {
        match self.is_met {
            true => ANSWER_LIMIT,
            false => FIRST_ANSWER_LIMIT,
        }
    }

    /// Whether sound may be sent.
    pub(super) fn may_speak(&self, now: Instant) -> bool {
        now < self.heard + MUTE
    }

    /// The next step that is due, until `None`.
    pub(super) fn step(&mut self, now: Instant) -> Option<SearchStep> {
        if self.heard + LIMIT <= now {
            return Some(SearchStep::Over);
        }
        if !self.is_lost && self.ask_at <= now {
            self.ask_at = now + ASK_AGAIN;
            return Some(SearchStep::Ask);
        }
        if !self.is_unheard && self.heard + UNHEARD <= now {
            (self.is_unheard, self.is_told) = (true, true);
            return Some(SearchStep::Unheard);
        }
        if self.check_anew_at <= now {
            self.check_anew_at = now + CHECK_ANEW;
            return Some(SearchStep::CheckAnew);
        }
        None
    }

    /// When a step is due.
    pub(super) fn next_timeout(&self) -> Instant {
        let ask = (!self.is_lost).then_some(self.ask_at);
        let unheard = (!self.is_unheard).then_some(self.heard + UNHEARD);
        let others = (self.heard + LIMIT).min(self.check_anew_at);
        ask.into_iter().chain(unheard).fold(others, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use super::SearchStep::{Ask, CheckAnew, Over, Unheard};
    use super::*;

    /// The steps that are due from `start + from` to `start + to`, as an owner meets them.
    fn steps(search: &mut WaySearch, start: Instant, to: u64) -> Vec<(u64, SearchStep)> {
        let mut steps = Vec::new();
        loop {
            let at = search.next_timeout();
            if at > start + Duration::from_millis(to) {
                return steps;
            }
            let step = search.step(at).expect("a step is due");
            let after = u64::try_from((at - start).as_millis()).unwrap();
            steps.push((after, step));
            if step == Over {
                return steps;
            }
        }
    }

    #[test]
    fn silence_is_asked_about_told_and_ends_the_call_after_a_minute() {
        let start = crate::some_time();
        let mut search = WaySearch::new(start);
        let seen = steps(&mut search, start, 120_000);
        let of = |wanted| {
            let times = seen.iter().filter(move |(_, step)| *step == wanted);
            times.map(|(at, _)| *at).collect::<Vec<_>>()
        };
        assert_eq!(of(Ask)[..3], [500, 2_500, 4_500]);
        assert_eq!(of(Unheard), [1_000]);
        assert_eq!(of(CheckAnew)[..2], [5_000, 10_000]);
        assert_eq!(of(Over), [60_000]);
        assert!(search.may_speak(start + Duration::from_millis(4_999)));
        assert!(!search.may_speak(start + MUTE));
    }

    #[test]
    fn before_contact_the_server_is_asked_at_once_and_silence_is_no_news() {
        let start = crate::some_time();
        let mut search = WaySearch::before_contact(false, start);
        let seen = steps(&mut search, start, 3_000);
        assert_eq!(seen, [(0, Ask), (2_000, Ask)]);
        assert!(!search.handle_heard(start));
    }

    #[test]
    fn a_lost_way_is_told_once_and_not_asked_about() {
        let start = crate::some_time();
        let mut search = WaySearch::new(start);
        assert!(!search.handle_heard(start), "it was never unheard");
        assert!(search.handle_lost() && !search.handle_lost());
        assert!(search.is_lost());
        assert_eq!(steps(&mut search, start, 1_500), [(1_000, Unheard)]);
        let later = start + Duration::from_millis(1_500);
        search.handle_adopted(later);
        assert!(!search.is_lost());
        assert_eq!(steps(&mut search, later, 600), [(500, Ask)]);
        assert!(search.handle_heard(later) && !search.handle_heard(later));
    }

    #[test]
    fn a_side_that_is_heard_again_is_no_longer_lost() {
        let start = crate::some_time();
        let mut search = WaySearch::new(start);
        search.handle_lost();
        assert!(search.handle_heard(start + SILENCE));
        assert!(!search.is_lost());
        assert!(search.handle_lost(), "and may be lost again");
    }
}
