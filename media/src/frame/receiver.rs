//! What the phone is given of the other side's frames, and when: sound and key presses at once, or from the playout buffer while the
//! frames repeat earlier sound, with what was lost put in.
//!
//! What no frame brings back is concealed while there is a buffer ([`concealment`](crate::concealment)), and left out elsewhere: without
//! one a loss shows when the next frame comes, and the phone has bridged it then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::content::{self, FrameContent, FrameSound, ReadFrame, RepeatedSound};
use super::loss_window::LossWindow;
use super::numbers::FrameNumbers;
use super::playout::{MOST_DELAY, PlayoutBuffer, PlayoutSlot};
use crate::concealment::Concealer;
use crate::far::FarPacket;
use crate::sequence::ahead;
use crate::stats::RepairStats;

/// Further ahead than this a frame is no loss but another beginning: a minute of sound.
const MOST_LOST: i32 = 3_000;

/// Microseconds from one frame to the next that are believed.
const SLOTS: std::ops::RangeInclusive<u32> = 10_000..=120_000;

/// The frames of one call, in the direction to the phone.
#[derive(Debug, Default)]
pub(crate) struct FrameReceiver {
    numbers: FrameNumbers,
    buffer: Option<PlayoutBuffer>,
    concealer: Concealer,
    loss: LossWindow,
    ready: VecDeque<FarPacket>,
    /// Ticks per second, and from one frame to the next.
    clock: Option<u32>,
    span: Option<u32>,
    /// Ticks between the last two frames of which one followed the other.
    step: Option<u32>,
    /// Number and timestamp of the frame that came last.
    latest: Option<(u16, u32)>,
    /// Number and timestamp of the slot that was handed out last.
    handed: Option<(u16, u32)>,
    /// The frame that the statistics expect next.
    expected: Option<u16>,
    stats: RepairStats,
}

impl FrameReceiver {
    /// Takes a packet of the far leg; returns the share of our frames that the other side has lost, in 256ths. What is no frame tells
    /// nothing, and has nothing for the phone.
    pub(crate) fn read(&mut self, packet: &FarPacket, now: Instant) -> Option<u8> {
        let ReadFrame {
            content,
            repeats,
            lost,
        } = content::read(packet)?;
        self.loss.note(content.sequence);
        self.take(content, repeats, now);
        Some(lost)
    }

    /// The share of the other side's frames that was lost in the last second, in 256ths.
    pub(crate) fn loss(&self) -> u8 {
        self.loss.share()
    }

    fn take(&mut self, frame: FrameContent, repeats: Vec<RepeatedSound>, now: Instant) {
        self.learn(&frame);
        let slot = self.slot();
        if self
            .buffer
            .as_ref()
            .is_some_and(|it| Some(it.micros()) != slot)
        {
            // The other phone's packets have another length.
            self.end_slots();
        }
        let need = self.need(&repeats);
        match &mut self.buffer {
            Some(buffer) => buffer.set_need(need),
            None => self.begin((frame.sequence, slot), need, now),
        }
        let (sequence, timestamp) = (frame.sequence, frame.timestamp);
        let Some(buffer) = &mut self.buffer else {
            self.count(sequence);
            return self.hand_on(frame);
        };
        let late = buffer.insert(frame, now).err();
        if let Some(span) = self.span {
            let repeats = repeats.into_iter();
            let repeats = repeats.filter_map(|it| earlier((sequence, timestamp), span, it));
            repeats.for_each(|repeated| buffer.repair(repeated));
        }
        if let Some(late) = late {
            // Its number may be kept: nothing was put in its place.
            let packets = self.numbers.number(late);
            self.ready.extend(packets.into_iter().flatten());
        }
    }

    /// The next packet for the phone.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<FarPacket> {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return Some(packet);
            }
            let buffer = self.buffer.as_mut()?;
            let due = buffer.poll(now)?;
            self.stats.delay = buffer.delay();
            if buffer.is_over() {
                self.stats.delay = Duration::ZERO;
                self.buffer = None;
            }
            self.release(due);
        }
    }

    /// When a slot of the buffer is handed out.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.buffer.as_ref().map(PlayoutBuffer::due)
    }

    pub(crate) const fn stats(&self) -> RepairStats {
        self.stats
    }

    /// What was missing has something in its place that was made behind the frames.
    pub(crate) const fn note_concealed(&mut self, packets: usize) {
        self.stats.concealed += packets as u64;
    }

    /// Takes clock and pace of the frames.
    fn learn(&mut self, frame: &FrameContent) {
        // A key press may have another clock than the sound beside it (`negotiate`).
        let sound = frame.sound.as_ref().map(|sound| sound.codec.clock());
        self.clock = sound.or(self.clock).or_else(|| frame.clock());
        let before = self.latest.replace((frame.sequence, frame.timestamp));
        if let Some((sequence, timestamp)) = before
            && frame.sequence == sequence.wrapping_add(1)
        {
            let step = frame.timestamp.wrapping_sub(timestamp);
            // One alone is where the other engine slept, which leaves out time and no numbers.
            let is_confirmed = self.step.replace(step) == Some(step);
            if is_confirmed || self.span.is_none() {
                self.span = Some(step);
            }
        }
    }

    /// Frames have another pace from now on: what the buffer holds is handed out, since its slots are as long as those before.
    fn end_slots(&mut self) {
        self.stats.delay = Duration::ZERO;
        let buffer = self.buffer.take();
        for slot in buffer.into_iter().flat_map(PlayoutBuffer::into_slots) {
            self.release(slot);
        }
    }

    /// Microseconds from one frame to the next.
    fn slot(&self) -> Option<u32> {
        let (clock, span) = self.clock.zip(self.span)?;
        let micros = content::time(span, clock).as_micros();
        let micros = u32::try_from(micros).ok();
        micros.filter(|micros| SLOTS.contains(micros))
    }

    /// How long a slot has to wait at most so that it can be repaired.
    fn need(&self, repeats: &[RepeatedSound]) -> Duration {
        let clock = self.clock.unwrap_or(u32::MAX);
        let ages = repeats.iter().map(|it| content::time(it.age.into(), clock));
        ages.filter(|age| *age <= MOST_DELAY)
            .max()
            .unwrap_or_default()
    }

    /// Begins to hold slots, if there is a need.
    fn begin(&mut self, (sequence, slot): (u16, Option<u32>), need: Duration, now: Instant) {
        if let Some(micros) = slot
            && !need.is_zero()
        {
            self.note_missing(sequence);
            self.buffer = Some(PlayoutBuffer::new(sequence, micros, need, now));
        }
    }

    /// Counts a frame that came without a buffer.
    fn count(&mut self, sequence: u16) {
        if self
            .expected
            .is_some_and(|expected| ahead(sequence, expected) < 0)
        {
            // It was counted as lost before.
            self.stats.lost = self.stats.lost.saturating_sub(1);
            return;
        }
        self.note_missing(sequence);
        self.stats.frames += 1;
        self.expected = Some(sequence.wrapping_add(1));
    }

    /// Counts the frames that are missing before this one.
    fn note_missing(&mut self, sequence: u16) {
        let missing = self.expected.map(|expected| ahead(sequence, expected));
        let missing = missing.filter(|missing| (0..=MOST_LOST).contains(missing));
        let missing = u64::from(missing.unwrap_or_default().unsigned_abs());
        self.stats.frames += missing;
        self.stats.lost += missing;
        if missing > 0 {
            self.expected = Some(sequence);
        }
    }

    fn release(&mut self, PlayoutSlot { sequence, held }: PlayoutSlot) {
        self.note_missing(sequence);
        self.expected = Some(sequence.wrapping_add(1));
        self.stats.frames += 1;
        let came = held.as_ref().is_some_and(|held| held.came);
        self.stats.lost += u64::from(!came);
        self.stats.repaired += u64::from(!came && held.is_some());
        if let Some(held) = held {
            return self.hand_on(held.content);
        }
        // After fill there is nothing to go on from.
        let sound = self.concealer.conceal();
        let at = self.handed.zip(self.span);
        if let (Some((codec, payload)), Some(((before, timestamp), span))) = (sound, at) {
            self.stats.concealed += 1;
            let slots = u32::from(sequence.wrapping_sub(before));
            self.number(FrameContent {
                sequence,
                timestamp: timestamp.wrapping_add(slots.wrapping_mul(span)),
                press: None,
                sound: Some(FrameSound { codec, payload }),
            });
        }
    }

    fn hand_on(&mut self, mut content: FrameContent) {
        match &mut content.sound {
            Some(FrameSound { codec, payload }) if self.buffer.is_some() => {
                self.concealer.pass(*codec, payload);
            }
            _ => self.concealer.forget(),
        }
        self.number(content);
    }

    fn number(&mut self, content: FrameContent) {
        self.handed = Some((content.sequence, content.timestamp));
        let packets = self.numbers.number(content);
        self.ready.extend(packets.into_iter().flatten());
    }
}

/// What a frame repeats, as the content of the slot that it is of; `None` if it lies between slots.
fn earlier(
    (sequence, timestamp): (u16, u32),
    span: u32,
    RepeatedSound { age, sound }: RepeatedSound,
) -> Option<FrameContent> {
    let age = u32::from(age);
    let slots = u16::try_from(age / span).ok()?;
    let is_in_step = age.is_multiple_of(span) && slots > 0;
    is_in_step.then(|| FrameContent {
        sequence: sequence.wrapping_sub(slots),
        timestamp: timestamp.wrapping_sub(age),
        press: None,
        sound,
    })
}
