//! Wall time as the protocol writes it, its pairing with monotonic time, and the timers of an engine.
//!
//! The shell tells both clocks; this crate never reads one.

use std::fmt;
use std::time::{Duration, Instant};

use ringfence_book::Day;

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

    /// The UTC day of this moment: the unit of every expiry in the phone book.
    #[must_use]
    pub fn day(self) -> Day {
        Day::of_unix(self.seconds())
    }

    /// The time between two moments, in whatever order.
    #[must_use]
    pub const fn distance(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// The time since an earlier moment; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment less `by`; saturates.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
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
pub struct Moment {
    /// Wall time, compared with the time inside a ring.
    pub wall: UnixTime,
    /// Monotonic time, by which the replay memory settles.
    pub now: Instant,
}

/// Pairs one monotonic instant with wall time, and so gives the wall time at any instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    at: Instant,
    wall: UnixTime,
}

impl WallClock {
    pub(crate) fn new(wall: UnixTime, at: Instant) -> Self {
        Self { at, wall }
    }

    /// Wall time at `now`; instants before the pairing count as the pairing.
    pub(crate) fn wall(&self, now: Instant) -> UnixTime {
        self.wall.after(now.saturating_duration_since(self.at))
    }
}

/// Why [`crate::Engine::handle_timeout`] is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// The SIP side: a retransmission, an expiry.
    Sip(ringfence_sip::Timer),
    /// An outgoing text was taken by no relay in time.
    TextPosting,
    /// An incoming text is offered to the phones again.
    TextDelivery,
    /// The next envelope of the presence round is due.
    PresenceRound,
    /// A presence report is too old to be shown.
    PresenceExpiry,
    /// Caller: no relayed address or no proof of work in time.
    CallSetUp,
    /// Caller: an envelope after the ring is due.
    PostingSlot,
    /// Caller: the ring was taken back long enough ago.
    Withdrawn,
    /// A missed-call note is believed.
    MissedNote,
    /// An envelope that no call expects may be opened.
    Strangers,
    /// Caller: no answer in time.
    NoAnswer,
    /// Callee: no person picked up in time.
    Ringing,
    /// The next packet for a phone that hears that its feature code was carried out.
    CodeTone,
    /// Callee: no confirmation of the caller in time.
    Confirmation,
    /// The two engines did not connect in time.
    Connection,
    /// Caller: a new relayed address is said over relays.
    Moved,
    /// The phone of a call is silent.
    PhoneWatch,
    /// A key that a phone said in INFO did not come in its audio.
    KeyPress,
    /// The other side has had time to receive the hang-up.
    HangUp,
    /// What the next process must know is to be saved.
    RestartState,
    /// The ending of a call of another process is posted again.
    EndingPosting,
}

impl Timer {
    /// The reason in words, for logs.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Sip(timer) => timer.reason(),
            Self::TextPosting => "no relay took a text",
            Self::TextDelivery => "a text is offered to phones again",
            Self::PresenceRound => "the next envelope of the presence round",
            Self::PresenceExpiry => "a presence report is too old",
            Self::CallSetUp => "TURN server or proof of work is late",
            Self::PostingSlot => "an envelope that follows a ring",
            Self::Withdrawn => "nobody has answered a ring that was taken back",
            Self::Strangers => "an envelope that waits may be opened",
            Self::MissedNote => "a missed-call note is believed",
            Self::NoAnswer => "no answer in time",
            Self::Ringing => "no person picked up",
            Self::CodeTone => "a phone hears that its feature code was carried out",
            Self::Confirmation => "the caller did not confirm",
            Self::Connection => "the two engines did not connect",
            Self::Moved => "the callee may not know the new relayed address",
            Self::PhoneWatch => "a silent phone is watched",
            Self::KeyPress => "a key in INFO has waited for the same in the audio",
            Self::HangUp => "the other side has had time to receive the hang-up",
            Self::RestartState => "what a restart must know is saved",
            Self::EndingPosting => "the end of a call from before the restart is posted again",
        }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
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

    #[test]
    fn wall_time_follows_the_monotonic_clock() {
        let at = some_instant();
        let clock = WallClock::new(UnixTime::from_seconds(1_000), at);
        assert_eq!(clock.wall(at), UnixTime::from_seconds(1_000));
        assert_eq!(
            clock.wall(at + Duration::from_millis(1_500)),
            UnixTime::from_millis(1_001_500)
        );
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn some_instant() -> Instant {
        Instant::now()
    }
}
