//! Totals of calls, for a monitor: how many, how many packets, how much was lost, how unevenly they came. Numbers only;
//! nothing of a single call is kept.

use std::collections::BTreeMap;

use ringfence_engine::EndReason;
use ringfence_media::MediaStats;
use ringfence_media::stats::{RepairStats, StreamStats};

/// Upper bounds of the jitter histogram, in microseconds: from a local network to speech that cannot be understood.
const JITTER_BOUNDS: [u64; 9] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000,
];

/// Totals over all calls whose media has ended, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallTotals {
    /// Calls whose WebRTC side was connected.
    pub calls: u64,
    /// From phones to other engines.
    pub from_phones: DirectionTotals,
    /// From other engines to phones.
    pub to_phones: DirectionTotals,
    /// What became of the frames from other engines.
    pub repair: RepairStats,
    /// Calls in any state that have ended, with how.
    pub ended: BTreeMap<EndReason, u64>,
}

/// Totals over one direction of all calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectionTotals {
    /// Packets of audio and digits that were forwarded.
    pub passed: u64,
    /// Packets that never arrived, by their sequence numbers.
    pub lost: u64,
    /// Packets that arrived and were not forwarded, for any reason.
    pub dropped: u64,
    /// Calls by their final jitter (RFC 3550 section 6.4.1); the last bucket is for those above all bounds.
    jitter: [u64; JITTER_BOUNDS.len() + 1],
    /// The sum of all jitters, in microseconds.
    jitter_micros: u64,
}

impl CallTotals {
    /// Counts a call that has ended, also one that never had sound.
    pub(crate) fn add_end(&mut self, reason: EndReason) {
        *self.ended.entry(reason).or_default() += 1;
    }

    /// Adds an ended call. One that was never connected has no media and does not count.
    pub(crate) fn add(&mut self, figures: &MediaStats) {
        if figures.connected.is_none() {
            return;
        }
        self.calls += 1;
        self.from_phones.add(&figures.from_phone);
        self.to_phones.add(&figures.to_phone);
        self.repair.frames += figures.repair.frames;
        self.repair.lost += figures.repair.lost;
        self.repair.repaired += figures.repair.repaired;
        self.repair.concealed += figures.repair.concealed;
    }
}

impl DirectionTotals {
    fn add(&mut self, way: &StreamStats) {
        self.passed += way.passed;
        self.lost += way.lost;
        self.dropped += way.dropped.total();
        if way.passed == 0 {
            return;
        }
        let micros = u64::try_from(way.jitter.as_micros()).unwrap_or(u64::MAX);
        let place = JITTER_BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.jitter.get_mut(place) {
            *count += 1;
        }
        self.jitter_micros = self.jitter_micros.saturating_add(micros);
    }

    /// Calls by their jitter: upper bounds in seconds, the last one infinite, each with the calls that were at most that and above
    /// the bound before; and the sum of all jitters in seconds.
    #[must_use]
    pub fn jitter(&self) -> (Vec<(f64, u64)>, f64) {
        let seconds = |micros: u64| micros as f64 / 1e6;
        let bounds = JITTER_BOUNDS.into_iter().map(seconds);
        let bounds = bounds.chain([f64::INFINITY]);
        let buckets = bounds.zip(self.jitter).collect();
        (buckets, seconds(self.jitter_micros))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    fn call(jitter_millis: u64) -> MediaStats {
        let way = StreamStats {
            passed: 100,
            lost: 3,
            jitter: Duration::from_millis(jitter_millis),
            ..StreamStats::default()
        };
        MediaStats {
            from_phone: way,
            repair: RepairStats {
                frames: 50,
                lost: 5,
                repaired: 4,
                concealed: 1,
                ..RepairStats::default()
            },
            connected: Some(clock::now()),
            ..MediaStats::default()
        }
    }

    #[test]
    fn calls_add_up_and_each_jitter_has_its_bucket() {
        let mut totals = CallTotals::default();
        for millis in [1, 3, 3, 500] {
            totals.add(&call(millis));
        }
        assert_eq!(
            (
                totals.calls,
                totals.from_phones.passed,
                totals.from_phones.lost
            ),
            (4, 400, 12)
        );
        let repair = totals.repair;
        assert_eq!((repair.frames, repair.lost), (200, 20));
        assert_eq!((repair.repaired, repair.concealed), (16, 4));
        let (buckets, sum) = totals.from_phones.jitter();
        let filled: Vec<_> = buckets
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(filled, [(0.001, 1), (0.005, 2), (f64::INFINITY, 1)]);
        assert!((sum - 0.507).abs() < 1e-9, "{sum}");
        assert_eq!(
            totals.to_phones.jitter().1,
            0.0,
            "a way without a packet has no jitter"
        );
    }

    #[test]
    fn a_call_that_was_never_connected_is_none() {
        let mut totals = CallTotals::default();
        totals.add(&MediaStats {
            connected: None,
            ..call(1)
        });
        assert_eq!(totals, CallTotals::default());
    }
}
