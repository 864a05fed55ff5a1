//! The quality of each call, second by second, for the user of this machine. Kept while the call lasts: its last five minutes, and the
//! sums of all of it, which go to the list of past calls.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringfence_engine::CallLabel;
use ringfence_engine::line::call_quality::CallQuality;
use ringfence_media::stats::{RepairStats, StreamStats};
use ringfence_media::{Codec, MediaStats, mos::mos};

/// Seconds of a call that are kept: the last five minutes.
const MOST_SAMPLES: usize = 300;

/// How many there is room for at a time: most calls are short.
const MORE_SAMPLES: usize = 30;

/// The least playout delay of a phone: one packet of 20 ms.
const PACKET: Duration = Duration::from_millis(20);

/// The histories of all calls with media. Boxed, as a tree has room for more entries than it has.
#[derive(Debug, Default)]
pub(crate) struct QualityHistories(BTreeMap<CallLabel, Box<QualityHistory>>);

/// The quality of one call, second by second.
#[derive(Clone, Debug, Default)]
pub struct QualityHistory {
    /// The last samples, oldest first.
    pub samples: VecDeque<QualitySample>,
    last: MediaStats,
    /// Seconds so far, and the sum of the buffer's delays in them.
    seconds: u32,
    delays: Duration,
}

/// One second of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QualitySample {
    /// From the phone of this engine.
    pub from_phone: QualityCounts,
    /// To the phone of this engine.
    pub to_phone: QualityCounts,
}

/// One second of one direction as it is kept: [`Quality`] follows from it. A second of a call has some hundred packets; what is more than
/// a field can say counts as the most that it can.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QualityCounts {
    packets: u16,
    missing: u16,
    frames: u16,
    lost_on_way: u16,
    repaired: u16,
    concealed: u16,
    /// In hundredths of a millisecond.
    jitter: u16,
    /// In milliseconds.
    delay: u16,
}

/// One second of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Packets that were forwarded.
    pub packets: u64,
    /// The share of packets that were lost, from 0 to 1: what a phone missed, or heard concealment of.
    pub lost: f64,
    /// Of the frames that the other engine sent, the shares that were lost on the way, that later frames brought back, and that were
    /// concealed. What the other side's phone hears is not known here.
    pub lost_on_way: f64,
    /// See `lost_on_way`.
    pub repaired: f64,
    /// See `lost_on_way`.
    pub concealed: f64,
    /// The delay of the playout buffer.
    pub delay: Duration,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// Mean opinion score by the E-model, 1 to 4.5; `None` without a packet. The network's delay is not known: one packet and the
    /// playout delay that the jitter requires are counted, and that of our own buffer.
    pub mos: Option<f64>,
}

impl QualityHistories {
    /// Adds the figures of a call so far, a second after the last ones. Returns how it has sounded as a whole, once there was sound.
    pub(crate) fn add(&mut self, call: CallLabel, figures: &MediaStats) -> Option<CallQuality> {
        figures.connected?;
        let history = self.0.entry(call).or_default();
        let last = std::mem::replace(&mut history.last, *figures);
        if history.samples.len() >= MOST_SAMPLES {
            history.samples.pop_front();
        }
        if history.samples.len() == history.samples.capacity() {
            history.samples.reserve_exact(MORE_SAMPLES);
        }
        history.samples.push_back(QualitySample {
            from_phone: QualityCounts::between(
                &last.from_phone,
                &figures.from_phone,
                RepairStats::default(),
            ),
            to_phone: QualityCounts::between(
                &last.to_phone,
                &figures.to_phone,
                figures.repair.since(&last.repair),
            ),
        });
        history.seconds += 1;
        history.delays += figures.repair.delay;
        history.whole(figures)
    }

    /// Forgets an ended call.
    pub(crate) fn end(&mut self, call: CallLabel) {
        self.0.remove(&call);
    }

    /// The history of a call; empty if it has no media.
    pub(crate) fn of(&self, call: CallLabel) -> QualityHistory {
        let history = self.0.get(&call);
        history.map(|it| (**it).clone()).unwrap_or_default()
    }
}

impl QualityHistory {
    /// The phone's codec and the one between the engines, once something was heard.
    pub(crate) const fn codecs(&self) -> Option<(Codec, Codec)> {
        self.last.codecs
    }

    /// The call as a whole, at the phone of this engine.
    fn whole(
        &self,
        MediaStats {
            to_phone,
            repair,
            codecs,
            ..
        }: &MediaStats,
    ) -> Option<CallQuality> {
        let all = to_phone.passed + to_phone.lost;
        let share = |part: u64, all: u64| (part * 1_000 / all.max(1)).min(1_000) as u16;
        let heard_not = (to_phone.lost + repair.concealed).min(all);
        let delay = self.delays / self.seconds.max(1);
        let score = (all > 0).then(|| {
            let lost = heard_not as f64 / all as f64;
            mos(lost, PACKET + 2 * to_phone.jitter + delay)
        });
        Some(CallQuality {
            lost: share(repair.lost, repair.frames),
            repaired: share(repair.repaired, repair.frames),
            concealed: share(repair.concealed, repair.frames),
            delay: u16::try_from(delay.as_millis()).unwrap_or(u16::MAX),
            mos: (score? * 100.0).round() as u16,
            codecs: *codecs,
        })
    }
}

impl QualityCounts {
    /// What has come between two looks at a stream.
    pub(crate) fn between(before: &StreamStats, now: &StreamStats, repair: RepairStats) -> Self {
        let short = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
        Self {
            packets: short(now.passed.saturating_sub(before.passed)),
            // A late packet takes back a loss of an earlier second.
            missing: short(now.lost.saturating_sub(before.lost)),
            frames: short(repair.frames),
            lost_on_way: short(repair.lost),
            repaired: short(repair.repaired),
            concealed: short(repair.concealed),
            jitter: u16::try_from(now.jitter.as_micros() / 10).unwrap_or(u16::MAX),
            delay: u16::try_from(repair.delay.as_millis()).unwrap_or(u16::MAX),
        }
    }

    /// What these counts mean.
    pub fn quality(&self) -> Quality {
        let all = u64::from(self.packets) + u64::from(self.missing);
        let share = |part: u64, all: u64| {
            if all == 0 {
                0.0
            } else {
                part as f64 / all as f64
            }
        };
        let of_frames = |part: u16| share(part.into(), self.frames.into());
        let heard_not = u64::from(self.missing) + u64::from(self.concealed);
        let lost = share(heard_not.min(all), all);
        let delay = Duration::from_millis(self.delay.into());
        let jitter = 10 * Duration::from_micros(self.jitter.into());
        Quality {
            packets: self.packets.into(),
            lost,
            lost_on_way: of_frames(self.lost_on_way),
            repaired: of_frames(self.repaired),
            concealed: of_frames(self.concealed),
            delay,
            jitter,
            mos: (all > 0).then(|| mos(lost, PACKET + 2 * jitter + delay)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(passed: u64, lost: u64, jitter: u64) -> StreamStats {
        StreamStats {
            passed,
            lost,
            jitter: Duration::from_millis(jitter),
            ..StreamStats::default()
        }
    }

    #[test]
    fn a_second_counts_what_came_and_what_did_not_in_it() {
        let between =
            |before, now| QualityCounts::between(&before, &now, RepairStats::default()).quality();
        let quality = between(way(100, 5, 0), way(145, 10, 3));
        assert_eq!((quality.packets, quality.lost), (45, 0.1));
        assert!(quality.mos.unwrap() < 4.0);
        let silence = between(way(100, 5, 0), way(100, 5, 3));
        assert_eq!((silence.packets, silence.lost, silence.mos), (0, 0.0, None));
        let repaired = between(way(100, 5, 0), way(150, 3, 0));
        assert_eq!(repaired.lost, 0.0);
    }

    #[test]
    fn what_was_repaired_is_not_lost_and_what_was_concealed_is() {
        let repair = RepairStats {
            frames: 50,
            lost: 10,
            repaired: 8,
            concealed: 1,
            delay: Duration::from_millis(65),
        };
        let quality = QualityCounts::between(&way(0, 0, 0), &way(49, 1, 0), repair).quality();
        assert_eq!((quality.lost, quality.lost_on_way), (0.04, 0.2));
        assert_eq!((quality.repaired, quality.concealed), (0.16, 0.02));
        let at_once = RepairStats {
            delay: Duration::from_millis(200),
            ..repair
        };
        let later = QualityCounts::between(&way(0, 0, 0), &way(49, 1, 0), at_once).quality();
        assert!(later.mos < quality.mos);
    }

    #[test]
    fn a_call_as_a_whole_has_the_sums_of_all_its_seconds() {
        let (mut histories, call) = (QualityHistories::default(), CallLabel::default());
        let mut figures = MediaStats::default();
        assert_eq!(histories.add(call, &figures), None, "not connected");
        figures.connected = Some(std::time::Instant::now());
        figures.codecs = Some((Codec::Pcma, Codec::Opus));
        assert_eq!(histories.add(call, &figures), None, "nothing was heard");
        // An hour: the last five minutes are clean, and the buffer is drained.
        let mut last = None;
        for second in 1..=3_600 {
            let is_lossy = second <= 1_800;
            figures.to_phone.passed += if is_lossy { 49 } else { 50 };
            figures.to_phone.lost += u64::from(is_lossy);
            figures.repair.frames += 50;
            figures.repair.delay = Duration::from_millis(if is_lossy { 80 } else { 0 });
            if is_lossy {
                figures.repair.lost += 10;
                figures.repair.repaired += 7;
                figures.repair.concealed += 2;
            }
            last = histories.add(call, &figures);
        }
        let whole = last.unwrap();
        assert_eq!((whole.lost, whole.repaired, whole.concealed), (100, 70, 20));
        assert_eq!((whole.missed(), whole.delay), (10, 39));
        assert_eq!(whole.codecs, figures.codecs);
        assert_eq!(
            whole.mos,
            (mos(0.03, Duration::from_millis(59)) * 100.0).round() as u16
        );
        assert_eq!(histories.of(call).samples.len(), MOST_SAMPLES);
    }

    #[test]
    fn jitter_costs_what_a_phone_must_wait_for_it() {
        let mos = |jitter| {
            QualityCounts::between(&way(0, 0, 0), &way(50, 0, jitter), RepairStats::default())
                .quality()
                .mos
                .unwrap()
        };
        assert!(mos(1) > 4.4 && mos(150) < 4.0);
    }

    #[test]
    fn five_minutes_of_a_call_are_small() {
        assert!(MOST_SAMPLES * size_of::<QualitySample>() <= 10_000);
        let (mut histories, call) = (QualityHistories::default(), CallLabel::default());
        let figures = MediaStats {
            connected: Some(crate::clock::now()),
            ..MediaStats::default()
        };
        for (seconds, room) in [(20, 30), (90, 90), (400, 300)] {
            histories.end(call);
            for _ in 0..seconds {
                histories.add(call, &figures);
            }
            let samples = histories.of(call).samples;
            assert_eq!(samples.len(), seconds.min(MOST_SAMPLES));
            assert!(histories.0[&call].samples.capacity() <= room);
        }
    }
}
