//! The timers of the core, each with its reason (RFC 3261 section 17 and its table 4, RFC 6026). Completed transactions have
//! one timer for all of them: see `transaction/completed`.
//!
//! The machine that set a timer decides what happens when it runs out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The estimated round-trip time (RFC 3261 section 17.1.1.1).
pub(crate) const T1: Duration = Duration::from_millis(500);
/// The longest interval between retransmissions of a request other than INVITE, and of a 2xx.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// 64*T1: a transaction without a response for this long has failed.
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(32);
/// Timer C (section 16.6): no phone rings for longer.
pub(crate) const RING_LIMIT: Duration = Duration::from_secs(180);

/// How long a request may wait for the caller of the core to answer it: well within the phone's timer F of 64*T1.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Why a machine of this crate wants to be woken. The letters are those of RFC 3261 (table 4) and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// An INVITE without any response is retransmitted, each time after twice the interval.
    A,
    /// An INVITE without any response is given up.
    B,
    /// A request without a final response is retransmitted.
    E,
    /// A request without a final response is given up.
    F,
    /// Our refusal of an INVITE without an ACK is retransmitted.
    G,
    /// An ACK for our refusal is no longer expected.
    H,
    /// Retransmissions of an accepted INVITE are absorbed until then (RFC 6026).
    L,
    /// Our 200 to an INVITE without an ACK is retransmitted (section 13.3.1.4).
    OkRetransmission,
    /// An ACK for our 200 is no longer expected: the call ends (section 13.3.1.4).
    NoAck,
    /// Phones have rung for too long.
    RingLimit,
    /// A cancelled INVITE has had no final response for too long (section 9.1).
    NoFinalResponse,
    /// A provisional response without a PRACK is retransmitted (RFC 3262 section 3).
    ProvisionalRetransmission,
    /// A PRACK is no longer expected: the INVITE is refused (RFC 3262 section 3).
    NoPrack,
    /// On glare (491) our offer is made again (section 14.1).
    OfferRetry,
    /// Our turn to refresh the session (RFC 4028 section 10).
    SessionRefresh,
    /// The session was not refreshed: the call ends (RFC 4028 section 10).
    SessionEnd,
    /// A phone's subscription ends (RFC 6665 section 4.2.2).
    SubscriptionEnd,
    /// A request of a phone that the caller of the core has to answer has waited for too long.
    NoAnswer,
    /// A refusal that was written ahead before a restart is sent again.
    FinalMessageRepeat,
    /// A message that ends a call is dropped: its phone has not come back.
    FinalMessageEnd,
    /// The built-in phone's turn to refresh its registration (RFC 3261 section 10.2.4).
    RegistrationRefresh,
    /// A binding of the registrar expires (RFC 3261 section 10.3).
    RegistrationEnd,
    /// Completed transactions are forgotten (timers D, I, J, K, and M of RFC 6026).
    CompletedEnd,
}

impl Timer {
    const FIRST: Self = Self::A;
    const LAST: Self = Self::CompletedEnd;

    /// The reason in words, for logs.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::A => "retransmit the INVITE",
            Self::B => "give the INVITE up",
            Self::E => "retransmit the request",
            Self::F => "give the request up",
            Self::G => "retransmit the refusal",
            Self::H => "stop waiting for the ACK of a refusal",
            Self::L => "forget an accepted INVITE",
            Self::OkRetransmission => "retransmit the 200",
            Self::NoAck => "end a call whose ACK never came",
            Self::RingLimit => "stop ringing",
            Self::NoFinalResponse => "forget phones that were cancelled",
            Self::ProvisionalRetransmission => "retransmit the 180",
            Self::NoPrack => "refuse a phone that does not acknowledge its 180",
            Self::OfferRetry => "make an offer again",
            Self::SessionRefresh => "refresh the session",
            Self::SessionEnd => "end a call that was not refreshed",
            Self::SubscriptionEnd => "end a subscription",
            Self::NoAnswer => "answer a request that had no answer in time",
            Self::FinalMessageRepeat => "send a refusal from before the restart again",
            Self::FinalMessageEnd => "drop the last message for a phone that has not come back",
            Self::RegistrationRefresh => "refresh the registration",
            Self::RegistrationEnd => "end a registration",
            Self::CompletedEnd => "forget completed transactions",
        }
    }
}

/// The timers of many machines. Setting a timer again moves it.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Instant, K, Timer)>,
    by_key: BTreeMap<(K, Timer), Instant>,
}

impl<K: Copy + Ord> Timers<K> {
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

    /// Removes the earliest timer that has run out.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(K, Timer)> {
        let (at, key, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(key, timer);
        Some((key, timer))
    }

    pub(crate) fn next(&self) -> Option<(Instant, Timer)> {
        self.by_time.first().map(|(at, _, timer)| (*at, *timer))
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
        let mut timers = Timers::new();
        timers.set(1_u64, Timer::A, start);
        timers.set(1, Timer::A, start + T1);
        timers.set(2, Timer::B, start + T2);
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.next(), Some((start + T1, Timer::A)));
        assert_eq!(timers.pop(start + T1), Some((1, Timer::A)));
        timers.clear_all(2);
        assert_eq!(timers.next(), None);
    }
}
