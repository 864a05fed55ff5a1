//! Notices that a running call has lost its way out, or only the other side's, by what is heard of the other side: messages that only it
//! can have made (a check with its password, a packet of its keys).
//!
//! Sound tells it, and connectivity checks (RFC 8445 section 11), which are seldom while sound comes and checks are answered: all is **calm**.
//! Where no sound has come for 300 ms, or a check has no answer, each side checks each 300 ms, so that a path is never silent because phones
//! are. After half a second of silence the own TURN server is asked whether the allocation stands. It does not answer: a new way is wanted.
//! It does: the fault is at the other side, which is waited for, or between the two servers. So after two seconds the caller **doubts** its
//! way and wants another one at another server; not the callee, which cannot say where it has gone while nothing passes.
//!
//! Where the other side's packets arrive and answers to our checks do not, the path is dead in one direction, and only this side can leave
//! it: it doubts its way too.

use std::time::{Duration, Instant};

use super::config::Role;

/// Silence before the own server is asked, and how long it may take to answer beside two round trips: three transmissions.
const SILENCE: Duration = Duration::from_millis(500);

/// See [`SILENCE`].
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// The same before the other side was ever heard, five transmissions: the silence itself tells nothing yet, and on a wire that loses a
/// third three are lost too often.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_millis(1_200);

/// From one question in a silence to the next.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Without sound for so long, checks have to tell that the path lives.
const QUIET: Duration = Duration::from_millis(300);

/// How long the answer to a check may take beside two round trips, before others follow.
const CHECK_LIMIT: Duration = Duration::from_millis(300);

/// How long checks stay frequent after one whose answer was late. On wires that lose much, twenty in a row have to be without an answer
/// before a side doubts its way, and not a few.
const ROUGH: Duration = Duration::from_secs(10);

/// Silence that the engine learns of.
const UNHEARD: Duration = Duration::from_secs(1);

/// Silence after which a caller doubts its way, though its server answers: the other side has found another one by then, if it lost its
/// own. The time doubles with each way that brings nothing.
const DOUBT: Duration = Duration::from_secs(2);

/// Time without an answer to a check after which a side doubts its way: some twenty checks. On wires that lose a fifth on each hop three
/// of five have no answer, and a move on a false alarm is to be rare. It doubles as well.
const DEAF: Duration = Duration::from_secs(6);

/// Silence after which no sound is sent: another client may have got the other side's port by now.
const MUTE: Duration = Duration::from_secs(5);

/// From one new beginning of the connectivity checks to the next. Those of a dead path end after 15 s, and if it comes back as it
/// was, neither side would begin again.
const CHECK_ANEW: Duration = Duration::from_secs(5);

/// Silence after which the call is over.
const LIMIT: Duration = Duration::from_secs(60);

/// The transaction id of a check (RFC 8489 section 5).
pub(super) type Transaction = [u8; 12];

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SearchStep {
    /// Ask the own server whether the allocation stands.
    Ask,
    /// All is calm no more: check at once.
    Hurry,
    /// Begin the connectivity checks anew.
    CheckAnew,
    /// Tell the owner that the other side is not heard.
    Unheard,
    /// A way at another server is wanted.
    Doubt,
    /// The call is over.
    Over,
}

/// How long the other side has been silent, and what was done about it.
#[derive(Debug)]
pub(super) struct WaySearch {
    heard: Instant,
    /// When sound came last.
    sound: Option<Instant>,
    /// When the first check left that has no answer, and its transaction.
    unanswered: Option<(Instant, Transaction)>,
    /// Of the path, by the newest check that was the first without an answer and got one.
    round_trip: Duration,
    rough_until: Instant,
    /// Whether the owner knows that all is calm no more.
    is_hurried: bool,
    ask_at: Instant,
    check_anew_at: Instant,
    /// Whether it was ever heard.
    is_met: bool,
    is_unheard: bool,
    /// Whether the owner knows that the call is over.
    is_over: bool,
    is_lost: bool,
    /// Whether the way lasts to the end of its allocation's lifetime only, heard or not.
    is_ending: bool,
    is_doubted: bool,
    /// When the way is doubted, and the time until the next one is; a callee's are never.
    doubt: Option<(Instant, Duration)>,
    role: Role,
    /// Whether no check was answered for so long, and when that will be.
    is_deaf: bool,
    deaf: (Instant, Duration),
    /// Whether the owner was told of silence or a lost way.
    is_told: bool,
}

impl WaySearch {
    /// The other side was heard just now.
    pub(super) fn new(role: Role, now: Instant) -> Self {
        Self {
            heard: now,
            sound: None,
            unanswered: None,
            round_trip: Duration::ZERO,
            rough_until: now,
            is_hurried: true,
            ask_at: now + SILENCE,
            check_anew_at: now + CHECK_ANEW,
            is_met: true,
            is_unheard: false,
            is_over: false,
            is_lost: false,
            is_ending: false,
            is_doubted: false,
            doubt: (role == Role::Caller).then_some((now + DOUBT, 2 * DOUBT)),
            role,
            is_deaf: false,
            deaf: (now + DEAF, 2 * DEAF),
            is_told: false,
        }
    }

    /// The other side was never heard, and may not be for some time yet. The allocation may have waited for long: the server is asked at
    /// once, unless it has just answered.
    pub(super) fn before_contact(
        (is_lost, is_fresh): (bool, bool),
        role: Role,
        now: Instant,
    ) -> Self {
        let wait = if is_fresh { ASK_AGAIN } else { Duration::ZERO };
        Self {
            ask_at: now + wait,
            is_met: false,
            is_unheard: true,
            is_lost,
            ..Self::new(role, now)
        }
    }

    /// Which side this is.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The other side is heard. True if that is news.
    pub(super) fn handle_heard(&mut self, now: Instant) -> bool {
        let is_told = self.is_told;
        *self = Self {
            is_ending: self.is_ending,
            is_deaf: self.is_deaf,
            // Without a word there was no answer either.
            deaf: match self.is_unheard {
                true => (now + DEAF, 2 * DEAF),
                false => self.deaf,
            },
            sound: self.sound,
            unanswered: self.unanswered,
            round_trip: self.round_trip,
            rough_until: self.rough_until,
            is_hurried: self.is_hurried,
            ..Self::new(self.role, now)
        };
        is_told
    }

    /// Sound of the other side is heard. True if that is news.
    pub(super) fn handle_sound(&mut self, now: Instant) -> bool {
        let is_news = self.handle_heard(now);
        self.sound = Some(now);
        self.is_hurried &= !self.is_calm(now);
        is_news
    }

    /// A check to the other side left.
    pub(super) fn handle_checked(&mut self, transaction: Transaction, now: Instant) {
        self.unanswered.get_or_insert((now, transaction));
    }

    /// The other side has answered a check.
    pub(super) fn handle_answered(&mut self, transaction: Transaction, now: Instant) {
        if let Some((at, first)) = self.unanswered.take() {
            let took = now.saturating_duration_since(at);
            if took > self.check_limit() {
                self.rough_until = now + ROUGH;
            }
            if first == transaction {
                self.round_trip = took;
            }
        }
        self.is_deaf = false;
        self.deaf = (now + DEAF, 2 * DEAF);
        self.is_hurried &= !self.is_calm(now);
    }

    /// Whether sound tells that the path lives, and no check says otherwise.
    pub(super) fn is_calm(&self, now: Instant) -> bool {
        let until = self.calm_until();
        let is_smooth = self.is_met && !self.wants_way() && self.rough_until <= now;
        is_smooth && until.is_some_and(|until| now < until)
    }

    /// When all is calm no more, unless sound or an answer comes.
    fn calm_until(&self) -> Option<Instant> {
        let quiet = self.sound.map(|sound| sound + QUIET)?;
        let late = self.unanswered.map(|(at, _)| at + self.check_limit());
        Some(late.map_or(quiet, |late| late.min(quiet)))
    }

    fn check_limit(&self) -> Duration {
        CHECK_LIMIT + 2 * self.round_trip
    }

    /// The own way is of no use. True if that is news.
    pub(super) fn handle_lost(&mut self) -> bool {
        self.is_told = true;
        !std::mem::replace(&mut self.is_lost, true)
    }

    /// The server refuses the login of the way, which goes on for a while.
    pub(super) fn handle_login_over(&mut self) {
        self.is_ending = true;
    }

    /// There is a new way: it is asked about only if the silence goes on.
    pub(super) fn handle_adopted(&mut self, now: Instant) {
        (self.is_lost, self.is_ending, self.is_told) = (false, false, true);
        self.put_off_doubt(now);
        self.ask_at = now + SILENCE;
        self.check_anew_at = now + CHECK_ANEW;
    }

    /// There is reason to ask the own server now, heard or not.
    pub(super) fn ask_now(&mut self, now: Instant) {
        self.ask_at = now;
    }

    /// The way is as good as another one for now.
    pub(super) fn put_off_doubt(&mut self, now: Instant) {
        (self.is_doubted, self.is_deaf) = (false, false);
        for (at, pause) in self.doubt.iter_mut().chain([&mut self.deaf]) {
            (*at, *pause) = (now + *pause, 2 * *pause);
        }
    }

    /// Whether a new way is wanted.
    pub(super) fn wants_way(&self) -> bool {
        self.is_lost || self.is_ending || self.is_doubted || self.is_deaf
    }

    /// Whether the own way stands as far as its server knows: a new one is of use at another server only.
    pub(super) fn wants_elsewhere(&self) -> bool {
        self.wants_way() && !self.is_lost && !self.is_ending
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
        if !self.is_over && self.heard + LIMIT <= now {
            self.is_over = true;
            return Some(SearchStep::Over);
        }
        if !self.is_hurried && !self.is_calm(now) {
            self.is_hurried = true;
            return Some(SearchStep::Hurry);
        }
        if !self.is_lost && self.ask_at <= now {
            self.ask_at = now + ASK_AGAIN;
            return Some(SearchStep::Ask);
        }
        if self.is_met && !self.wants_way() {
            self.is_doubted = self.doubt.is_some_and(|(at, _)| at <= now);
            // A side that hears nothing gets no answers either.
            self.is_deaf = self.deaf.0 <= now && !self.is_unheard;
            if self.wants_way() {
                return Some(SearchStep::Doubt);
            }
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
        let hurry = self.calm_until().filter(|_| !self.is_hurried);
        let ask = (!self.is_lost).then_some(self.ask_at);
        let unheard = (!self.is_unheard).then_some(self.heard + UNHEARD);
        let deaf = (!self.is_unheard).then_some(self.deaf);
        let doubts = self.doubt.into_iter().chain(deaf);
        let doubts = doubts.map(|(at, _)| at);
        let doubts = doubts.filter(|_| self.is_met && !self.wants_way());
        let limit = (!self.is_over).then_some(self.heard + LIMIT);
        let steps = hurry.into_iter().chain(ask).chain(unheard);
        let steps = steps.chain(doubts).chain(limit);
        steps.fold(self.check_anew_at, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use super::SearchStep::{Ask, CheckAnew, Doubt, Hurry, Over, Unheard};
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
        let mut search = WaySearch::new(Role::Callee, start);
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
        let mut search = WaySearch::before_contact((false, false), Role::Caller, start);
        let seen = steps(&mut search, start, 3_000);
        assert_eq!(seen, [(0, Ask), (2_000, Ask)]);
        assert!(!search.handle_heard(start));
    }

    #[test]
    fn the_server_can_be_asked_at_once_and_a_lost_way_is_not_asked_about() {
        let start = crate::some_time();
        let mut search = WaySearch::new(Role::Callee, start);
        search.ask_now(start);
        assert_eq!(steps(&mut search, start, 900), [(0, Ask)]);
        assert!(!search.wants_way());
        search.handle_lost();
        search.ask_now(start);
        assert_eq!(steps(&mut search, start, 900), []);
    }

    #[test]
    fn a_lost_way_is_told_once_and_not_asked_about() {
        let start = crate::some_time();
        let mut search = WaySearch::new(Role::Callee, start);
        assert!(!search.handle_heard(start), "it was never unheard");
        assert!(search.handle_lost() && !search.handle_lost());
        assert!(search.wants_way() && !search.wants_elsewhere());
        assert_eq!(steps(&mut search, start, 1_500), [(1_000, Unheard)]);
        let later = start + Duration::from_millis(1_500);
        search.handle_adopted(later);
        assert!(!search.wants_way());
        assert_eq!(steps(&mut search, later, 600), [(500, Ask)]);
        assert!(search.handle_heard(later) && !search.handle_heard(later));
    }

    #[test]
    fn a_side_that_is_heard_again_is_no_longer_lost() {
        let start = crate::some_time();
        let mut search = WaySearch::new(Role::Callee, start);
        search.handle_lost();
        assert!(search.handle_heard(start + SILENCE));
        assert!(!search.wants_way());
        assert!(search.handle_lost(), "and may be lost again");
    }

    #[test]
    fn a_way_whose_login_is_over_is_replaced_at_any_server_though_the_other_side_is_heard() {
        let start = crate::some_time();
        let mut search = WaySearch::new(Role::Caller, start);
        search.handle_login_over();
        assert!(!search.handle_heard(start), "it is no news");
        assert!(search.wants_way() && !search.wants_elsewhere());
        assert!(search.handle_lost(), "it may be lost besides");
        search.handle_adopted(start);
        assert!(!search.wants_way());
    }

    #[test]
    fn a_caller_that_hears_nothing_doubts_its_way_and_each_next_one_for_longer() {
        let start = crate::some_time();
        let mut search = WaySearch::new(Role::Caller, start);
        let doubts = |search: &mut WaySearch, from: u64| {
            let from = start + Duration::from_secs(from);
            let seen = steps(search, from, 20_000);
            let doubt = seen.iter().find(|(_, step)| *step == Doubt);
            doubt.map(|(at, _)| *at)
        };
        assert_eq!(doubts(&mut search, 0), Some(2_000));
        assert!(search.wants_elsewhere());
        let at = start + Duration::from_secs(20);
        search.handle_adopted(at);
        assert!(!search.wants_way());
        assert_eq!(doubts(&mut search, 20), Some(4_000));
        assert!(search.handle_lost() && search.wants_way() && !search.wants_elsewhere());
        search.handle_heard(at);
        assert!(!search.wants_way());
    }

    #[test]
    fn all_is_calm_while_sound_comes_and_checks_are_answered() {
        let start = crate::some_time();
        let mut search = WaySearch::new(Role::Callee, start);
        assert!(!search.is_calm(start), "no sound yet");
        search.handle_heard(start);
        assert!(!search.is_calm(start), "a check is no sound");
        search.handle_sound(start);
        assert!(search.is_calm(start) && search.step(start).is_none());
        assert_eq!(
            steps(&mut search, start, 600),
            [(300, Hurry), (500, Ask)],
            "no sound"
        );
        let later = start + Duration::from_secs(1);
        search.handle_sound(later);
        search.handle_checked([1; 12], later);
        let mut now = later;
        while search.step(now).is_none() {
            now += Duration::from_millis(20);
            search.handle_sound(now);
        }
        assert_eq!(now, later + CHECK_LIMIT, "no answer");
        search.handle_answered([1; 12], now);
        assert!(search.is_calm(now), "as late as it may be");
        // The answer took 300 ms: the next may take 900.
        search.handle_checked([2; 12], now);
        now += 3 * CHECK_LIMIT - Duration::from_millis(1);
        search.handle_sound(now);
        assert!(search.is_calm(now) && !search.is_calm(now + Duration::from_millis(1)));
    }

    #[test]
    fn after_a_late_answer_all_is_not_calm_for_a_while() {
        let start = crate::some_time();
        let mut search = WaySearch::new(Role::Callee, start);
        search.handle_sound(start);
        search.handle_checked([1; 12], start);
        let now = start + 2 * CHECK_LIMIT;
        search.handle_answered([2; 12], now);
        assert_eq!(search.round_trip, Duration::ZERO, "of another check");
        for (at, is_calm) in [(now, false), (now + ROUGH, true)] {
            search.handle_sound(at - Duration::from_millis(1));
            assert_eq!(search.is_calm(at), is_calm);
        }
    }

    #[test]
    fn a_side_that_hears_and_gets_no_answers_doubts_its_way_until_one_comes() {
        let start = crate::some_time();
        for role in [Role::Caller, Role::Callee] {
            let mut search = WaySearch::new(role, start);
            for millis in 0..5_990 {
                let now = start + Duration::from_millis(millis);
                search.handle_heard(now);
                assert_eq!(search.step(now), None);
            }
            let now = start + DEAF;
            assert_eq!(search.step(now), Some(Doubt));
            search.handle_heard(now);
            assert!(search.wants_elsewhere(), "hearing is no answer");
            search.handle_answered([0; 12], now);
            assert!(!search.wants_way());
        }
    }
}
