//! Every wait of the core in one table, each with its reason (RFC 3261 section 17 and its table 4, RFC 6026),
//! but those of transactions that are over: see `transaction/kept`.
//!
//! Does not know what happens when a wait ends: the machine that set it does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The round trip assumed at first (RFC 3261 section 17.1.1.1).
pub(crate) const T1: Duration = Duration::from_millis(500);
/// The longest pause between repeats of anything but an INVITE.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// 64*T1: after this the other side is taken for gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(32);
/// Timer C (section 16.6): no phone may ring for longer, whoever forgets to hang up.
pub(crate) const RING_LIMIT: Duration = Duration::from_secs(180);

/// How long a request that somebody else must answer may wait, well within the phone's own patience of 64*T1.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A wait. The letters are those of RFC 3261.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// An INVITE without any answer is sent again, ever more slowly.
    A,
    /// An INVITE without any answer is given up.
    B,
    /// A request without a final answer is sent again.
    E,
    /// A request without a final answer is given up.
    F,
    /// Our refusal of an INVITE without an ACK is sent again.
    G,
    /// An ACK for our refusal is no longer expected.
    H,
    /// Repeats of an accepted INVITE are swallowed until then (RFC 6026).
    L,
    /// Our 200 to an INVITE without an ACK is sent again (section 13.3.1.4).
    AnswerAgain,
    /// An ACK for our 200 is no longer expected: the call ends (section 13.3.1.4).
    NoAck,
    /// Phones have rung for too long.
    RingLimit,
    /// A cancelled phone has been silent for too long (section 9.1).
    Fade,
    /// A provisional answer without a PRACK is sent again (RFC 3262 section 3).
    ProvisionalAgain,
    /// A PRACK is no longer expected: the INVITE is refused (RFC 3262 section 3).
    NoPrack,
    /// An offer of ours that met one of the phone's is made again (section 14.1).
    OfferAgain,
    /// Our turn to refresh the session (RFC 4028 section 10).
    Refresh,
    /// The session was not refreshed: the call ends (RFC 4028 section 10).
    SessionEnd,
    /// A phone's subscription ends (RFC 6665 section 4.2.2).
    WatchEnd,
    /// A phone's request has waited for its answer for too long.
    Unanswered,
    /// The built-in phone's turn to refresh its registration (RFC 3261 section 10.2.4).
    RegistrationRefresh,
}

impl Timer {
    const FIRST: Self = Self::A;
    const LAST: Self = Self::RegistrationRefresh;

    /// Why somebody is woken.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::A => "send the INVITE again",
            Self::B => "give the INVITE up",
            Self::E => "send the request again",
            Self::F => "give the request up",
            Self::G => "send the refusal again",
            Self::H => "stop waiting for the ACK of a refusal",
            Self::L => "forget an accepted INVITE",
            Self::AnswerAgain => "send the 200 again",
            Self::NoAck => "end a call whose ACK never came",
            Self::RingLimit => "stop ringing",
            Self::Fade => "forget phones that were cancelled",
            Self::ProvisionalAgain => "send the ringing again",
            Self::NoPrack => "refuse a phone that does not acknowledge its ringing",
            Self::OfferAgain => "make an offer again",
            Self::Refresh => "refresh the session",
            Self::SessionEnd => "end a call that was not refreshed",
            Self::WatchEnd => "end a subscription",
            Self::Unanswered => "answer a request that nobody answered",
            Self::RegistrationRefresh => "refresh the registration",
        }
    }
}

/// The waits of many machines. Setting a wait again moves it.
#[derive(Debug)]
pub(crate) struct Alarms<K> {
    by_time: BTreeSet<(Instant, K, Timer)>,
    by_key: BTreeMap<(K, Timer), Instant>,
}

impl<K: Copy + Ord> Alarms<K> {
    pub(crate) const fn new() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_key: BTreeMap::new(),
        }
    }

    pub(crate) fn set(&mut self, key: K, timer: Timer, at: Instant) {
        if let Some(before) = self.by_key.insert((key, timer), at) {
            self.by_time.remove(&(before, key, timer));
        }
        self.by_time.insert((at, key, timer));
    }

    pub(crate) fn clear(&mut self, key: K, timer: Timer) {
        if let Some(at) = self.by_key.remove(&(key, timer)) {
            self.by_time.remove(&(at, key, timer));
        }
    }

    pub(crate) fn is_set(&self, key: K, timer: Timer) -> bool {
        self.by_key.contains_key(&(key, timer))
    }

    pub(crate) fn clear_all(&mut self, key: K) {
        let range = (key, Timer::FIRST)..=(key, Timer::LAST);
        let timers: Vec<Timer> = self
            .by_key
            .range(range)
            .map(|((_, timer), _)| *timer)
            .collect();
        for timer in timers {
            self.clear(key, timer);
        }
    }

    /// Takes out the earliest wait that has ended.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(K, Timer)> {
        let (at, key, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(key, timer);
        Some((key, timer))
    }

    pub(crate) fn next(&self) -> Option<(Instant, &'static str)> {
        self.by_time
            .first()
            .map(|(at, _, timer)| (*at, timer.reason()))
    }
}

/// An instant to count from.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "simulated time needs an origin, and std offers no other"
)]
pub(crate) fn some_instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_moved_ends_once_and_late() {
        let start = some_instant();
        let mut alarms = Alarms::new();
        alarms.set(1_u64, Timer::A, start);
        alarms.set(1, Timer::A, start + T1);
        alarms.set(2, Timer::B, start + T2);
        assert_eq!(alarms.pop(start), None);
        assert_eq!(alarms.next(), Some((start + T1, Timer::A.reason())));
        assert_eq!(alarms.pop(start + T1), Some((1, Timer::A)));
        alarms.clear_all(2);
        assert_eq!(alarms.next(), None);
    }
}
