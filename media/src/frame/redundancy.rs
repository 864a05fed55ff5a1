//! The sound of earlier frames that each frame carries again (RFC 2198), so that the other side can put in what was lost.
//!
//! How many it carries follows from the loss that the other side reports (RFC 3550 section 6.4). They are spread over the last
//! [`SPREAD`], so that a burst of losses of that length is repaired by what follows it. More or less of them is another size of all
//! frames, which a TURN server sees: it changes at most once in ten seconds, and says what such a server could count, the loss.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::blocks::{FILL_PAYLOAD_TYPE, FrameBlock};
use super::class::FrameClass;
use crate::far::FarPacket;

/// Earlier frames whose sound a frame carries, at most.
pub const MOST_DEPTH: usize = 3;

/// How far back they reach: the longest burst of losses that is repaired, and most of the delay that it costs.
pub const SPREAD: Duration = Duration::from_millis(80);

/// From one change of the depth to the next.
pub(crate) const PACE: Duration = Duration::from_secs(10);

/// Loss in 256ths from which there is one more: 1.2 %, 5.5 % and 14 %. Below the next, what is lost as many times in a row is 0.3 %.
const STEPS: [u8; MOST_DEPTH] = [3, 14, 36];

/// Reports that are remembered, of which the worst counts: some 20 s without losses end the redundancy.
const REPORTS: usize = 4;

/// The redundancy of one call, in the direction from the phone.
#[derive(Debug)]
pub(crate) struct Redundancy {
    /// As many as the owner allows.
    most: usize,
    depth: usize,
    changed: Option<Instant>,
    /// The loss of the last reports.
    reports: [u8; REPORTS],
    /// The sound of the last frames, newest first; `None` for a frame without any. Empty while nothing is carried.
    sent: VecDeque<Option<FarPacket>>,
}

impl Default for Redundancy {
    fn default() -> Self {
        Self {
            most: MOST_DEPTH,
            depth: 0,
            changed: None,
            reports: [0; REPORTS],
            sent: VecDeque::new(),
        }
    }
}

impl Redundancy {
    /// Allows so many at most, from now on.
    pub(crate) fn limit(&mut self, most: usize) {
        self.most = most.min(MOST_DEPTH);
        self.depth = self.depth.min(self.most);
    }

    /// The other side has reported a loss, in 256ths.
    pub(crate) fn note_loss(&mut self, fraction: u8, now: Instant) {
        self.reports.rotate_right(1);
        self.reports[0] = fraction;
        let worst = self.reports.iter().max().copied().unwrap_or_default();
        let depth = STEPS.iter().filter(|step| worst >= **step).count();
        let depth = depth.min(self.most);
        let is_soon = |changed| now.saturating_duration_since(changed) < PACE;
        if depth != self.depth && !self.changed.is_some_and(is_soon) {
            (self.depth, self.changed) = (depth, Some(now));
        }
    }

    /// How many earlier frames a frame of this class carries.
    pub(crate) fn depth(&self, class: FrameClass) -> usize {
        self.depth.min(class.most_depth())
    }

    /// The blocks of a frame of this class that carry them, oldest first.
    pub(crate) fn blocks(&self, class: FrameClass) -> Vec<FrameBlock<'_>> {
        let ages = class.ages(self.depth(class));
        let blocks = ages.map(|age| {
            let sound = self.sent.get(age - 1).and_then(Option::as_ref);
            let (payload_type, payload) = match sound {
                Some(sound) => (sound.payload_type, &sound.payload[..]),
                None => (FILL_PAYLOAD_TYPE, &[][..]),
            };
            let ticks = age as u32 * class.ticks();
            FrameBlock {
                payload_type,
                age: u16::try_from(ticks).unwrap_or(u16::MAX),
                payload,
            }
        });
        blocks.collect()
    }

    /// A frame of this class has left, with this sound of the phone.
    pub(crate) fn keep(&mut self, class: FrameClass, sound: Option<FarPacket>) {
        if self.depth(class) == 0 {
            return self.forget();
        }
        // What was too long for its own frame is for the later ones, too.
        let sound = sound.filter(|sound| sound.payload.len() <= class.room());
        self.sent.push_front(sound);
        self.sent.truncate(class.reach());
    }

    /// What left before is of another class, or from before a gap.
    pub(crate) fn forget(&mut self) {
        self.sent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::some_time;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_depth_follows_the_worst_of_the_last_reports_and_the_limit() {
        let (class, start) = (FrameClass::usual(Codec::Pcmu), some_time());
        for (most, fraction, depth) in [
            (3, 0, 0),
            (3, 2, 0),
            (3, 3, 1),
            (3, 13, 1),
            (3, 14, 2),
            (3, 36, 3),
            (3, 255, 3),
            (2, 255, 2),
            (0, 255, 0),
        ] {
            let mut redundancy = Redundancy::default();
            redundancy.limit(most);
            redundancy.note_loss(fraction, start);
            assert_eq!(redundancy.depth(class), depth, "{most} {fraction}");
            let clean = (1..20).map(|report| {
                redundancy.note_loss(0, at(start, 5 * report));
                redundancy.depth(class)
            });
            let depths: Vec<_> = clean.collect();
            assert_eq!(depths[..3], [depth; 3]);
            assert_eq!(depths[3..], [0; 16]);
        }
    }

    #[test]
    fn the_depth_changes_once_in_ten_seconds() {
        let (class, start) = (FrameClass::usual(Codec::Pcmu), some_time());
        let mut redundancy = Redundancy::default();
        let (mut depth, mut changes) = (0, Vec::new());
        for second in 0..600 {
            // From report to report there is much, little or no loss.
            redundancy.note_loss(
                [0, 40, 5, 0, 0, 0, 0, 20][second as usize % 8],
                at(start, second),
            );
            if std::mem::replace(&mut depth, redundancy.depth(class)) != depth {
                changes.push(second);
            }
        }
        assert!(changes.len() > 5, "{changes:?}");
        assert!(
            changes.windows(2).all(|pair| pair[1] - pair[0] >= 10),
            "{changes:?}"
        );
    }
}
