//! The sound of earlier frames that each frame carries again (RFC 2198), so that the other side can put in what was lost.
//!
//! How many it carries follows from the loss that the other side's frames tell. Three of them reach back over [`SPREAD`], so that a burst
//! of that length is repaired by what follows it; fewer reach less far. More or less of them is another size of all frames, which a TURN server sees: it changes at
//! most once in ten seconds, and says what such a server could count, the loss. How much a loss that begins will lose is not known, and too
//! little would last for those ten seconds: it is met with as many as there may be, at its second frame.
//!
//! Frames of four times the size may be more than a narrow link takes. Chance has better seconds and worse ones; a link that is full has none
//! that is better, and what it cannot take is taken back, for a minute. What makes a wire look so loses that much of it anyway.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::blocks::{FILL_PAYLOAD_TYPE, FrameBlock};
use super::class::FrameClass;
use crate::far::FarPacket;

/// Earlier frames whose sound a frame carries, at most.
pub const MOST_DEPTH: usize = 3;

/// How far back they reach at most: the longest burst of losses that is repaired, and most of the delay that it costs.
pub const SPREAD: Duration = Duration::from_millis(80);

/// From one change of the depth to the next.
pub(crate) const PACE: Duration = Duration::from_secs(10);

/// Loss of a second, in 256ths, from which there is one more: 2, 3 and 7 frames of 50. One of them alone is chance.
const STEPS: [u8; MOST_DEPTH] = [10, 15, 35];

/// For how long a loss counts: the worst of this time tells the depth, and it ends after so long without losses.
const HOLD: Duration = Duration::from_secs(20);

/// How long another depth has to be wanted, but for the first.
const SETTLE: Duration = Duration::from_secs(1);

/// Loss, in 256ths, that a link which is full has in each second of [`PACE`]: more than a third. A wire that loses four of ten by chance has
/// better seconds.
const FULL: u8 = 90;

/// For how long nothing is repeated over a link that was full.
const REST: Duration = Duration::from_secs(60);

/// The redundancy of one call, in the direction from the phone.
#[derive(Debug)]
pub(crate) struct Redundancy {
    /// As many as the owner allows.
    most: usize,
    depth: usize,
    changed: Option<Instant>,
    /// When the loss last reached each of the steps.
    reached: [Option<Instant>; MOST_DEPTH],
    /// Since when another depth is wanted.
    wanted: Option<Instant>,
    /// Since when the link has looked full, with what is repeated, and when it was told last.
    full: Option<(Instant, Instant)>,
    rests_until: Option<Instant>,
    /// The sound of the last frames, newest first; `None` for a frame without any. Empty while nothing is carried.
    sent: VecDeque<Option<FarPacket>>,
}

impl Default for Redundancy {
    fn default() -> Self {
        Self {
            most: MOST_DEPTH,
            depth: 0,
            changed: None,
            reached: [None; MOST_DEPTH],
            wanted: None,
            full: None,
            rests_until: None,
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

    /// The other side tells its loss of the last second, in 256ths.
    pub(crate) fn note_loss(&mut self, share: u8, now: Instant) {
        if self.rests(share, now) {
            return;
        }
        let is_within = |at: Instant, span| now.saturating_duration_since(at) < span;
        let steps = self.reached.iter_mut().zip(STEPS);
        steps
            .filter(|(_, step)| share >= *step)
            .for_each(|(reached, _)| *reached = Some(now));
        let counts = |reached: &&Option<Instant>| reached.is_some_and(|at| is_within(at, HOLD));
        let depth = self.reached.iter().filter(counts).count().min(self.most);
        if depth == self.depth {
            self.wanted = None;
            return;
        }
        let wanted = *self.wanted.get_or_insert(now);
        let is_soon = self.changed.is_some_and(|changed| is_within(changed, PACE));
        let begins = self.depth == 0;
        if !is_soon && (begins || !is_within(wanted, SETTLE)) {
            let depth = if begins { self.most } else { depth };
            (self.depth, self.changed, self.wanted) = (depth, Some(now), None);
            // Whether the link takes as many is not known yet.
            self.full = None;
        }
    }

    /// Whether nothing is repeated now, since the link has no room for it.
    fn rests(&mut self, share: u8, now: Instant) -> bool {
        let is_full = self.depth > 0 && share >= FULL;
        // What was told before an outage says nothing of the link after it.
        let goes_on =
            |(_, told): &(Instant, Instant)| now.saturating_duration_since(*told) < SETTLE;
        let since = self.full.filter(goes_on).map_or(now, |(since, _)| since);
        let since = is_full.then_some(since);
        self.full = since.map(|since| (since, now));
        if since.is_some_and(|since| now.saturating_duration_since(since) >= PACE) {
            *self = Self {
                most: self.most,
                changed: Some(now),
                rests_until: Some(now + REST),
                ..Self::default()
            };
        }
        self.rests_until.is_some_and(|until| now < until)
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

    /// The depth after each of so many seconds with this loss.
    fn tell(redundancy: &mut Redundancy, loss: u8, seconds: u32, now: &mut Instant) -> Vec<usize> {
        let class = FrameClass::usual(Codec::Pcmu);
        let depths = (0..seconds).map(|_| {
            for _ in 0..50 {
                *now += Duration::from_millis(20);
                redundancy.note_loss(loss, *now);
            }
            redundancy.depth(class)
        });
        depths.collect()
    }

    #[test]
    fn the_depth_follows_the_worst_of_the_last_seconds_and_the_limit() {
        for (most, loss, depth) in [
            (3, 0, 0),
            (3, 9, 0),
            (3, 10, 1),
            (3, 14, 1),
            (3, 15, 2),
            (3, 35, 3),
            (3, 89, 3),
            (2, 89, 2),
            (0, 255, 0),
        ] {
            let (mut redundancy, mut now) = (Redundancy::default(), some_time());
            redundancy.limit(most);
            let lossy = tell(&mut redundancy, loss, 12, &mut now);
            let first = if depth > 0 { most } else { 0 };
            assert_eq!(lossy[..10], [first; 10], "{most} {loss}: as many as may be");
            assert_eq!(lossy[11], depth, "{most} {loss}: known after ten seconds");
            let clean = tell(&mut redundancy, 0, 40, &mut now);
            assert_eq!(clean[..20], [depth; 20]);
            assert_eq!(clean[21..], [0; 19]);
        }
    }

    #[test]
    fn a_loss_that_begins_is_met_with_all_at_its_second_frame() {
        let (mut redundancy, now) = (Redundancy::default(), some_time());
        let class = FrameClass::usual(Codec::Pcmu);
        let depths = [0, 5, 10, 15].map(|share| {
            redundancy.note_loss(share, now);
            redundancy.depth(class)
        });
        assert_eq!(depths, [0, 0, 3, 3], "one lost frame is chance");
    }

    #[test]
    fn nothing_is_repeated_for_a_minute_over_a_link_that_is_full() {
        let (mut redundancy, mut now) = (Redundancy::default(), some_time());
        assert_eq!(tell(&mut redundancy, 90, 9, &mut now), [3; 9]);
        // One better second, and the link is not full.
        assert_eq!(tell(&mut redundancy, 89, 1, &mut now), [3]);
        assert_eq!(tell(&mut redundancy, 90, 10, &mut now), [3; 10]);
        assert_eq!(tell(&mut redundancy, 90, 60, &mut now), [0; 60]);
        assert_eq!(tell(&mut redundancy, 10, 1, &mut now), [3]);
    }

    #[test]
    fn a_link_is_full_once_it_was_so_for_ten_seconds_with_what_is_repeated_now() {
        let (mut redundancy, mut now) = (Redundancy::default(), some_time());
        assert_eq!(tell(&mut redundancy, 12, 12, &mut now)[11], 1);
        // Three seconds after a change of the depth, most is lost: more is repeated first.
        now += Duration::from_secs(3);
        let depths = tell(&mut redundancy, 100, 20, &mut now);
        let changes: Vec<_> = (1..20).filter(|at| depths[*at] != depths[at - 1]).collect();
        assert!(
            changes.windows(2).all(|pair| pair[1] - pair[0] >= 10),
            "{depths:?}"
        );
        assert!(depths.contains(&3));

        // An outage between two samples is no full link.
        let (mut redundancy, mut now) = (Redundancy::default(), some_time());
        assert_eq!(tell(&mut redundancy, 92, 1, &mut now), [3]);
        now += Duration::from_secs(12);
        assert_eq!(tell(&mut redundancy, 92, 1, &mut now), [3]);
    }

    #[test]
    fn the_depth_changes_once_in_ten_seconds() {
        let (mut redundancy, mut now) = (Redundancy::default(), some_time());
        let (mut depth, mut changes) = (0, Vec::new());
        for second in 0..600 {
            // From second to second there is much, little or no loss.
            let loss = [0, 40, 12, 0, 0, 0, 0, 20][second / 4 % 8];
            let told = tell(&mut redundancy, loss, 1, &mut now)[0];
            if std::mem::replace(&mut depth, told) != told {
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
