//! What happened to a call's packets, in numbers.
//!
//! Losses and jitter are reckoned as RFC 3550 appendix A.3 and A.8 do, for our own eyes and for the phone: no report
//! of ours goes further. No figure holds an address, and none is kept after the call.

use std::time::{Duration, Instant};

use crate::near::rewrite::{Arrival, Rewritten};

/// The figures of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// From the phone to the other engine.
    pub from_phone: Way,
    /// From the other engine to the phone.
    pub to_phone: Way,
    /// Moving pictures from the phone to the other engine.
    pub video_from_phone: Way,
    /// Moving pictures from the other engine to the phone.
    pub video_to_phone: Way,
    /// When the far leg was connected.
    pub connected: Option<Instant>,
    /// The ICE candidate types in use, ours and theirs, once connected. The far leg has no others
    /// than relayed ones.
    pub candidate_types: Option<(&'static str, &'static str)>,
}

/// The figures of one way of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Packets of sound and digits that were passed on.
    pub passed: u64,
    /// Packets that the sender numbered and that have not arrived.
    pub lost: u64,
    /// How unevenly sound arrived (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// When the first one was passed on.
    pub first: Option<Instant>,
    /// What was not passed on, and why.
    pub dropped: Dropped,
}

/// Packets that went nowhere, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Not RTP, or malformed, empty or too long RTP.
    pub malformed: u64,
    /// RTCP: it names the phone (CNAME) and ends here.
    pub rtcp: u64,
    /// SRTP that the agreed key does not open.
    pub forged: u64,
    /// From another address than the phone's.
    pub stranger: u64,
    /// A payload type that was not agreed.
    pub format: u64,
    /// Seen before.
    pub duplicate: u64,
    /// Too old, or too far from its neighbours to be believed.
    pub late: u64,
    /// More payload than fits a datagram through a TURN server.
    pub oversized: u64,
    /// Beyond the rate that moving pictures may have.
    pub throttled: u64,
    /// The microphone was not open yet, or the phone does not want to hear.
    pub muted: u64,
    /// No phone attached, no address known, or the far leg not connected.
    pub nowhere: u64,
}

impl Way {
    /// Everything that arrived, passed on or not.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.passed + self.dropped.total()
    }
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self {
            malformed,
            rtcp,
            forged,
            stranger,
            format,
            duplicate,
            late,
            oversized,
            throttled,
            muted,
            nowhere,
        } = self;
        let refused = malformed + rtcp + forged + stranger + format + oversized + throttled;
        refused + duplicate + late + muted + nowhere
    }

    fn counter(&mut self, reason: Reason) -> &mut u64 {
        match reason {
            Reason::Malformed => &mut self.malformed,
            Reason::Rtcp => &mut self.rtcp,
            Reason::Forged => &mut self.forged,
            Reason::Stranger => &mut self.stranger,
            Reason::Format => &mut self.format,
            Reason::Duplicate => &mut self.duplicate,
            Reason::Late => &mut self.late,
            Reason::Oversized => &mut self.oversized,
            Reason::Throttled => &mut self.throttled,
            Reason::Muted => &mut self.muted,
            Reason::Nowhere => &mut self.nowhere,
        }
    }
}

/// Why a packet goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Malformed,
    Rtcp,
    Forged,
    Stranger,
    Format,
    Duplicate,
    Late,
    Oversized,
    Throttled,
    Muted,
    Nowhere,
}

/// Counts one way of a call.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    way: Way,
    transit: Option<Transit>,
    /// Sixteen times the jitter, in ticks of `clock`.
    jitter: u64,
    clock: u32,
}

/// When a packet came and when it was due.
#[derive(Debug)]
struct Transit {
    arrival: Instant,
    timestamp: u32,
}

impl Meter {
    /// Counts a packet that goes on; `clock` is that of its timestamps, if they tell when it was due.
    pub(crate) fn passed(&mut self, packet: Rewritten, clock: Option<u32>, now: Instant) {
        self.way.passed += 1;
        self.way.first.get_or_insert(now);
        match packet.arrival {
            Arrival::Fresh => self.transit = None,
            Arrival::Next { skipped } => self.way.lost += u64::from(skipped),
            Arrival::Late => self.way.lost = self.way.lost.saturating_sub(1),
        }
        if let Some(clock) = clock {
            self.note_transit(packet.timestamp, clock, now);
        }
    }

    /// Counts a packet that does not go on, if this is one.
    pub(crate) fn note<T>(&mut self, outcome: Result<T, Reason>) -> Option<T> {
        outcome
            .map_err(|reason| *self.way.dropped.counter(reason) += 1)
            .ok()
    }

    /// The jitter in ticks of the clock, as reports have it.
    pub(crate) fn jitter(&self) -> u32 {
        u32::try_from(self.jitter / 16).unwrap_or(u32::MAX)
    }

    pub(crate) fn way(&self) -> Way {
        let micros = (self.jitter / 16)
            .saturating_mul(1_000_000)
            .checked_div(u64::from(self.clock));
        Way {
            jitter: Duration::from_micros(micros.unwrap_or(0)),
            ..self.way
        }
    }

    fn note_transit(&mut self, timestamp: u32, clock: u32, now: Instant) {
        self.clock = clock;
        if let Some(before) = self.transit.replace(Transit {
            arrival: now,
            timestamp,
        }) {
            let passed = now.saturating_duration_since(before.arrival).as_micros()
                * u128::from(clock)
                / 1_000_000;
            let due = timestamp.wrapping_sub(before.timestamp).cast_signed();
            let difference = (passed.min(MAX_TICKS) as i64 - i64::from(due)).unsigned_abs();
            self.jitter = self.jitter.saturating_add(difference) - self.jitter / 16;
        }
    }
}

/// A pause longer than this (12 hours at 48 kHz) measures no jitter.
const MAX_TICKS: u128 = i32::MAX as u128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    fn packet(timestamp: u32, arrival: Arrival) -> Rewritten {
        Rewritten {
            sequence: 0,
            timestamp,
            marker: false,
            arrival,
        }
    }

    /// Passes one packet of G.711 for each time of arrival in milliseconds, each due 20 ms after
    /// the one before.
    fn meter(arrivals: impl IntoIterator<Item = u64>) -> Meter {
        let (mut meter, start) = (Meter::default(), some_time());
        for (count, arrival) in arrivals.into_iter().enumerate() {
            let kind = if count == 0 {
                Arrival::Fresh
            } else {
                Arrival::Next { skipped: 0 }
            };
            let timestamp = u32::MAX.wrapping_add(count as u32 * 160);
            meter.passed(
                packet(timestamp, kind),
                Some(8_000),
                start + Duration::from_millis(arrival),
            );
        }
        meter
    }

    #[test]
    fn even_arrivals_have_no_jitter() {
        assert_eq!(meter((0..200).map(|n| n * 20)).way().jitter, Duration::ZERO);
    }

    #[test]
    fn uneven_arrivals_have_the_jitter_of_the_standard() {
        // Each packet is alternately 5 ms early and late against the one before, which is where the
        // average settles.
        let jitter = meter((0..400).map(|n| n * 20 + n % 2 * 5)).way().jitter;
        assert!((4_500..=5_000).contains(&jitter.as_micros()), "{jitter:?}");
    }

    #[test]
    fn late_packets_are_no_longer_lost() {
        let mut meter = meter([0]);
        let now = some_time();
        meter.passed(packet(0, Arrival::Next { skipped: 3 }), Some(48_000), now);
        meter.passed(packet(0, Arrival::Late), Some(48_000), now);
        assert_eq!((meter.way().passed, meter.way().lost), (3, 2));
    }

    #[test]
    fn digits_do_not_count_as_jitter() {
        let (mut meter, start) = (meter([0]), some_time());
        for later in 1..10 {
            meter.passed(
                packet(0, Arrival::Next { skipped: 0 }),
                None,
                start + Duration::from_secs(later),
            );
        }
        assert_eq!(meter.way().jitter, Duration::ZERO);
    }

    #[test]
    fn all_that_arrived_is_counted() {
        let mut meter = meter([0, 20]);
        for reason in [Reason::Duplicate, Reason::Late, Reason::Rtcp] {
            assert_eq!(meter.note::<()>(Err(reason)), None);
        }
        assert_eq!(meter.note(Ok(7)), Some(7));
        assert_eq!(meter.way().arrived(), 5);
    }
}
