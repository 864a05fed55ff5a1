//! How good each call is, second by second, for the eyes of this machine's user. Kept while the call lasts, and for its last minutes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringfence_engine::CallLabel;
use ringfence_media::figures::Way;
use ringfence_media::{Figures, mos::mos};

/// Seconds of a call that are kept: the last five minutes.
pub const MOST_SAMPLES: usize = 300;

/// What a phone waits before it plays, at least: one packet of 20 ms.
const PACKET: Duration = Duration::from_millis(20);

/// The curves of all calls that have sound.
#[derive(Debug, Default)]
pub(crate) struct QualityHistories(BTreeMap<CallLabel, QualityHistory>);

/// One call, second by second.
#[derive(Clone, Debug, Default)]
pub struct QualityHistory {
    /// The last samples, oldest first.
    pub samples: VecDeque<QualitySample>,
    last: Figures,
}

/// One second of both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QualitySample {
    /// What the phone here says.
    pub from_phone: Quality,
    /// What the phone here hears.
    pub to_phone: Quality,
}

/// One second of one way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Packets that were passed on.
    pub packets: u64,
    /// The share of packets that did not come, from 0 to 1.
    pub lost: f64,
    /// How unevenly they came (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// How good that sounds, 1 to 4.5; `None` without a packet. The delay on the way is not known: it is counted as one packet and
    /// what a phone must wait for the jitter.
    pub mos: Option<f64>,
}

impl QualityHistories {
    /// The figures of a call so far, a second after the last ones.
    pub(crate) fn add(&mut self, call: CallLabel, figures: &Figures) {
        if figures.connected.is_none() {
            return;
        }
        let curve = self.0.entry(call).or_default();
        let last = std::mem::replace(&mut curve.last, *figures);
        if curve.samples.len() >= MOST_SAMPLES {
            curve.samples.pop_front();
        }
        curve.samples.push_back(QualitySample {
            from_phone: Quality::between(&last.from_phone, &figures.from_phone),
            to_phone: Quality::between(&last.to_phone, &figures.to_phone),
        });
    }

    /// The call is over.
    pub(crate) fn end(&mut self, call: CallLabel) {
        self.0.remove(&call);
    }

    /// What is known of a call.
    pub(crate) fn of(&self, call: CallLabel) -> QualityHistory {
        self.0.get(&call).cloned().unwrap_or_default()
    }
}

impl Quality {
    fn between(before: &Way, now: &Way) -> Self {
        let packets = now.passed.saturating_sub(before.passed);
        // A packet that comes late takes a loss of an earlier second back.
        let missing = now.lost.saturating_sub(before.lost);
        let all = packets + missing;
        let lost = if all == 0 {
            0.0
        } else {
            missing as f64 / all as f64
        };
        Self {
            packets,
            lost,
            jitter: now.jitter,
            mos: (all > 0).then(|| mos(lost, PACKET + 2 * now.jitter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(passed: u64, lost: u64, jitter: u64) -> Way {
        Way {
            passed,
            lost,
            jitter: Duration::from_millis(jitter),
            ..Way::default()
        }
    }

    #[test]
    fn a_second_counts_what_came_and_what_did_not_in_it() {
        let quality = Quality::between(&way(100, 5, 0), &way(145, 10, 3));
        assert_eq!((quality.packets, quality.lost), (45, 0.1));
        assert!(quality.mos.unwrap() < 4.0);
        let silence = Quality::between(&way(100, 5, 0), &way(100, 5, 3));
        assert_eq!((silence.packets, silence.lost, silence.mos), (0, 0.0, None));
        let repaired = Quality::between(&way(100, 5, 0), &way(150, 3, 0));
        assert_eq!(repaired.lost, 0.0);
    }

    #[test]
    fn jitter_costs_what_a_phone_must_wait_for_it() {
        let mos = |jitter| {
            Quality::between(&way(0, 0, 0), &way(50, 0, jitter))
                .mos
                .unwrap()
        };
        assert!(mos(1) > 4.4 && mos(150) < 4.0);
    }
}
