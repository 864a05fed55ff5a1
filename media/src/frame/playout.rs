//! The playout buffer before the phone: while the other side repeats earlier sound, each slot is handed out as much later as it may be
//! repaired until then.
//!
//! It begins without delay, and losses make it deeper: a slot that is missing waits for one frame more, as long as what the frames repeat is
//! older, and all behind it are as late from then on. So the delay is what the losses need and no more, a single one 20 ms, and each step of
//! it comes where the phone would have missed a packet. A slot that is missing waits a margin longer for the frames' jitter. When less is
//! repeated, the delay shrinks by a small part of a slot at a time, and by whole ones where nothing is heard, so that a phone notices no more
//! than a delay that changes slowly; no sound is cut out or doubled. Frames from far ahead of the slot that is due can fill `MOST_SLOTS`; then
//! the buffer begins anew at the newest.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::arrivals::ArrivalClock;
use super::content::FrameContent;
use crate::sequence::ahead;

/// The deepest buffer: what frames repeat is not older.
pub const MOST_DELAY: Duration = Duration::from_millis(80);

/// How much longer a slot waits that is missing: three times the jitter of the frames, within these bounds.
const LEAST_MARGIN: Duration = Duration::from_millis(5);
const MOST_MARGIN: Duration = Duration::from_millis(20);

/// By this part of a slot that is heard the delay shrinks at most: 80 ms in 1.6 s.
const RAMP: u32 = 20;

/// Slots that are held at most.
const MOST_SLOTS: u16 = 32;

/// Frames in a row that have to come early, by how much more than a margin, until the buffer follows: the way has become shorter.
const EARLY_RUN: u16 = 50;
const EARLY: Duration = Duration::from_millis(10);

/// Slots in a row without anything in time, at which the buffer ends: the other side is not heard, or the way has become longer, and
/// the next frame that comes begins another one.
const LONGEST_ABSENCE: u16 = 5;

/// The buffer of one call.
#[derive(Debug)]
pub(super) struct PlayoutBuffer {
    /// When the frame of the next slot comes, in the mean.
    clock: ArrivalClock,
    micros: u32,
    next: u16,
    /// From the next slot on.
    slots: VecDeque<Option<HeldSlot>>,
    delay: Duration,
    /// The age of the oldest sound that frames repeat now.
    need: Duration,
    /// How far frames are off, in the mean.
    jitter: Duration,
    /// Frames since the last look, and by how much the least early of them was early.
    early: (u16, Duration),
    absent: u16,
}

/// What is held for a slot.
#[derive(Debug)]
pub(super) struct HeldSlot {
    pub(super) content: FrameContent,
    /// Whether its own frame came, rather than one that repeats it.
    pub(super) came: bool,
}

/// A slot whose time has come.
#[derive(Debug)]
pub(super) struct PlayoutSlot {
    pub(super) sequence: u16,
    pub(super) held: Option<HeldSlot>,
}

impl PlayoutBuffer {
    /// A buffer whose first slot is that of the frame which has just come. Frames are so many microseconds apart, and repeat sound of this
    /// age.
    pub(super) fn new(first: u16, micros: u32, need: Duration, now: Instant) -> Self {
        Self {
            clock: ArrivalClock::new(now, micros),
            micros,
            next: first,
            slots: VecDeque::new(),
            delay: Duration::ZERO,
            need,
            jitter: Duration::ZERO,
            early: (0, Duration::MAX),
            absent: 0,
        }
    }

    /// The frames repeat sound of this age from now on.
    pub(super) fn set_need(&mut self, need: Duration) {
        self.need = need;
    }

    /// Microseconds from one slot to the next.
    pub(super) const fn micros(&self) -> u32 {
        self.micros
    }

    pub(super) const fn delay(&self) -> Duration {
        self.delay
    }

    /// What is held, without waiting.
    pub(super) fn into_slots(self) -> impl Iterator<Item = PlayoutSlot> {
        let numbers = (0..).map(move |place| self.next.wrapping_add(place));
        let slots = numbers.zip(self.slots);
        slots.map(|(sequence, held)| PlayoutSlot { sequence, held })
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// The frame, if its slot is over.
    pub(super) fn insert(
        &mut self,
        content: FrameContent,
        now: Instant,
    ) -> Result<(), FrameContent> {
        let mut place = ahead(content.sequence, self.next);
        if place >= MOST_SLOTS.into() {
            self.slots.clear();
            self.clock = ArrivalClock::new(now, self.micros);
            (self.next, place) = (content.sequence, 0);
        }
        let Ok(place) = usize::try_from(place) else {
            return Err(content);
        };
        self.follow(place, now);
        self.put(place, content, true);
        Ok(())
    }

    /// Takes what a later frame repeats, if it is missing and its slot is still to come.
    pub(super) fn repair(&mut self, content: FrameContent) {
        let place = ahead(content.sequence, self.next);
        if let Ok(place) = usize::try_from(place)
            && place < usize::from(MOST_SLOTS)
            && self.slots.get(place).is_none_or(Option::is_none)
        {
            self.put(place, content, false);
        }
    }

    fn put(&mut self, place: usize, content: FrameContent, came: bool) {
        while self.slots.len() <= place {
            self.slots.push_back(None);
        }
        self.slots[place] = Some(HeldSlot { content, came });
    }

    /// The clock follows a frame that came so many slots ahead.
    fn follow(&mut self, place: usize, now: Instant) {
        let expected = self.clock.next() + self.clock.length() * place as u32;
        let early = expected.saturating_duration_since(now);
        let off = early.max(now.saturating_duration_since(expected));
        self.jitter = (self.jitter * 15 + off.min(MOST_DELAY)) / 16;
        self.clock.pull(now, place);
        let (frames, least) = self.early;
        self.early = (frames + 1, least.min(early));
        if self.early.0 >= EARLY_RUN {
            let (_, least) = std::mem::replace(&mut self.early, (0, Duration::MAX));
            if least > EARLY {
                // The slots stay where they are, and the delay that is too much is drained as any.
                self.clock.bring_forward(least);
                self.delay += least;
            }
        }
    }

    /// When the next slot is handed out.
    pub(super) fn due(&self) -> Instant {
        // What is missing comes with the frame that repeats it, at the last moment or not at all.
        let wait = match self.slots.front() {
            Some(Some(_)) => self.delay,
            _ => self.delay + self.margin(),
        };
        self.clock.next() + wait
    }

    /// The slot whose time has come.
    pub(super) fn poll(&mut self, now: Instant) -> Option<PlayoutSlot> {
        if self.due() > now {
            return None;
        }
        let is_missing = !matches!(self.slots.front(), Some(Some(_)));
        if is_missing && self.delay < self.need {
            self.delay = (self.delay + self.clock.length()).min(self.need);
            return None;
        }
        let held = self.slots.pop_front().flatten();
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        self.clock.step();
        self.absent = match held {
            Some(_) => 0,
            None => self.absent + 1,
        };
        let is_pause = held.as_ref().is_some_and(|held| held.content.is_fill());
        self.shrink(is_pause);
        Some(PlayoutSlot { sequence, held })
    }

    /// Whether nothing is to be repaired any more, or nothing comes.
    pub(super) fn is_over(&self) -> bool {
        let is_drained = self.need.is_zero() && self.delay.is_zero();
        self.slots.is_empty() && (is_drained || self.absent >= LONGEST_ABSENCE)
    }

    /// A delay that is more than can be needed comes nearer to it.
    fn shrink(&mut self, is_pause: bool) {
        if self.delay > self.need {
            let step = self.clock.length() / if is_pause { 1 } else { RAMP };
            self.delay = self.delay.saturating_sub(step).max(self.need);
        }
    }

    fn margin(&self) -> Duration {
        (3 * self.jitter).clamp(LEAST_MARGIN, MOST_MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    #[test]
    fn what_is_far_ahead_begins_the_buffer_anew() {
        let fill = |sequence| FrameContent {
            sequence,
            timestamp: 0,
            press: None,
            sound: None,
        };
        let now = some_time();
        let mut buffer = PlayoutBuffer::new(65_530, 20_000, MOST_DELAY, now);
        for sequence in 65_530..=65_535 {
            buffer.insert(fill(sequence), now).unwrap();
        }
        buffer.insert(fill(25), now).unwrap();
        assert_eq!(buffer.slots.len(), usize::from(MOST_SLOTS));
        buffer.repair(fill(26));
        assert_eq!(buffer.slots.len(), usize::from(MOST_SLOTS));
        buffer.insert(fill(26), now).unwrap();
        assert_eq!((buffer.slots.len(), buffer.next), (1, 26));
        assert!(buffer.insert(fill(25), now).is_err(), "its slot is over");
    }
}
