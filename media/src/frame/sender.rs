//! What leaves in each slot: a phone's sound, or fill where none has come in time.
//!
//! Slots are where the phone's packets come in the mean when a call begins. Frames leave [`WAIT`] later, those of the callee's side by up to
//! [`LONGEST_LAG`] more, drawn for the call: else the time from a frame of one side to the other side's would tell who called, since the
//! callee's phone begins to send first. They leave whether there is sound for them or not, so that a TURN server sees neither the jitter of a phone nor where sound begins and ends. A packet that is too late finds its slot
//! filled and takes the next one, and so do all after it until one of them is left out (`surplus`). A phone that begins again elsewhere, after
//! a pause or a hold, waits up to a slot: the slots stay where they are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_core::Rng;

use super::FRAME_PAYLOAD_TYPE;
use super::blocks::{self, PressBlock};
use super::class::{FrameClass, sound_micros};
use super::redundancy::Redundancy;
use super::slots::SlotClock;
use super::surplus::Surplus;
use crate::codec::Codec;
use crate::far::FarPacket;
use crate::rtp::MAX_PAYLOAD;
use crate::sequence::ahead;

/// How long a slot waits for its packet: longer than phones jitter in a house, and nothing that an ear notices (ITU-T G.114).
pub(crate) const WAIT: Duration = Duration::from_millis(5);

/// By how much more the callee's side waits at most: the slot of nearly all phones, so that its frames may be anywhere between the caller's.
pub(crate) const LONGEST_LAG: Duration = Duration::from_millis(20);

/// Packets of sound that wait for a slot. Beyond these the oldest is dropped: what is late by more is of no use.
pub(crate) const MOST_WAITING: usize = 4;

/// Packets of key presses that wait: three presses' ends, of one that goes on the newest alone. Beyond these the newest is dropped; a press
/// says its end three times.
pub(crate) const MOST_PRESSES: usize = 9;

/// How long after connection the slots may still be put where the phone is: it begins to send when its call is answered. Who called shows
/// then, too.
const SETTLING: Duration = Duration::from_secs(1);

/// Slots that may be past before they are left out: this machine slept, and frames in a burst are of no use to a phone.
const OVERDUE: u32 = 5;

/// The frames of one call, in the direction from the phone.
#[derive(Debug)]
pub(crate) struct FrameSender {
    class: FrameClass,
    /// Before connection and after the end there is none.
    slots: Option<SlotClock>,
    /// From a slot to its frame.
    wait: Duration,
    /// With the time at which each came.
    sounds: VecDeque<(Instant, FarPacket)>,
    surplus: Surplus,
    presses: VecDeque<FarPacket>,
    /// The press that is being sent: its start by the phone's timestamps and by the frames'.
    press: Option<(u32, u32)>,
    /// The phone's number of the newest sound that left.
    newest: Option<u16>,
    /// How long the last packet was, if it was shorter than the class.
    shorter: Option<u32>,
    /// When the phone sent last, whether or not that passes.
    arrival: Option<Instant>,
    redundancy: Redundancy,
    /// What each frame tells: the share of the other side's frames that was lost, in 256ths.
    lost: u8,
    sequence: u16,
    timestamp: u32,
}

impl FrameSender {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self {
            class: FrameClass::usual(Codec::Pcmu),
            slots: None,
            wait: WAIT,
            sounds: VecDeque::with_capacity(MOST_WAITING + 1),
            surplus: Surplus::default(),
            presses: VecDeque::new(),
            press: None,
            newest: None,
            shorter: None,
            arrival: None,
            redundancy: Redundancy::default(),
            lost: 0,
            // As for SRTP in `near/rewrite`: the lower half (RFC 3711 section 3.3.1).
            sequence: (rng.next_u32() as u16) >> 1,
            timestamp: rng.next_u32(),
        }
    }

    /// Lets each frame carry the sound of so many earlier ones at most.
    pub(crate) fn limit_redundancy(&mut self, most: usize) {
        self.redundancy.limit(most);
    }

    /// This side was called: its frames leave later by a share of [`LONGEST_LAG`], in 2^32ths, which is to be random.
    pub(crate) fn lag(&mut self, share: u32) {
        self.wait = WAIT + LONGEST_LAG.mul_f64(f64::from(share) / (f64::from(u32::MAX) + 1.0));
    }

    /// The other side tells which share of the frames it lost, in 256ths.
    pub(crate) fn note_loss(&mut self, share: u8, now: Instant) {
        self.redundancy.note_loss(share, now);
    }

    /// Tells the other side which share of its frames was lost, from the next frame on.
    pub(crate) fn tell_loss(&mut self, share: u8) {
        self.lost = share;
    }

    /// How many earlier frames' sound each frame carries.
    pub(crate) fn depth(&self) -> usize {
        self.redundancy.depth(self.class)
    }

    /// Takes the codec that was agreed with the phone.
    pub(crate) fn agree(&mut self, codec: Codec) {
        if codec != self.class.codec() {
            self.change_class(FrameClass::usual(codec), None);
        }
    }

    /// The far leg is connected: frames leave from now on, in step with the phone if that sends already.
    pub(crate) fn start(&mut self, now: Instant) {
        let first = self.arrival.unwrap_or(now);
        let mut slots = SlotClock::new(first, self.class.micros(), now + SETTLING);
        slots.skip(now);
        if slots.next() < now {
            slots.step();
        }
        self.slots = Some(slots);
    }

    /// Nothing leaves any more.
    pub(crate) fn stop(&mut self) {
        self.slots = None;
        self.close();
    }

    /// Whether frames leave.
    pub(crate) const fn is_running(&self) -> bool {
        self.slots.is_some()
    }

    /// What waits does not pass any more.
    pub(crate) fn close(&mut self) {
        self.sounds.clear();
        self.presses.clear();
    }

    /// The phone has sent something that does not pass: the slots learn its pace all the same.
    pub(crate) fn note_arrival(&mut self, now: Instant) {
        self.arrival = Some(now);
        if let Some(slots) = &mut self.slots {
            slots.note(now, self.wait);
        }
    }

    /// Takes a packet of the phone: sound, or a key press. False if one is lost: it came too late, or an older one gives way to it.
    pub(crate) fn push(&mut self, packet: FarPacket, now: Instant) -> bool {
        self.arrival = Some(now);
        let Some(codec) = Codec::from_far_payload_type(packet.payload_type) else {
            return false;
        };
        if self.slots.is_none() {
            return false;
        }
        match codec.is_events() {
            true => self.push_press(packet),
            false => self.push_sound(codec, packet, now),
        }
    }

    fn push_press(&mut self, packet: FarPacket) -> bool {
        if packet.payload.len() < 4 {
            return false;
        }
        // Where a frame is longer than the phone's pace, a press that goes on would fill the queue, and its end (a bit, RFC 4733 section
        // 2.3.2) find no place.
        if let Some(last) = self.presses.back_mut()
            && last.timestamp == packet.timestamp
            && last.payload[1] & 0x80 == 0
        {
            *last = packet;
            return true;
        }
        if self.presses.len() >= MOST_PRESSES {
            return false;
        }
        self.presses.push_back(packet);
        true
    }

    fn push_sound(&mut self, codec: Codec, packet: FarPacket, now: Instant) -> bool {
        let is_late = |newest| ahead(packet.sequence, newest) <= 0;
        if packet.payload.len() > MAX_PAYLOAD || self.newest.is_some_and(is_late) {
            return false;
        }
        self.follow_class(codec, &packet.payload, now);
        if let Some(slots) = &mut self.slots {
            // Where nothing waits, the first slots leave this packet its whole time.
            let least = if self.sounds.is_empty() {
                WAIT
            } else {
                Duration::ZERO
            };
            slots.note(now, self.wait - least);
        }
        let later = |(_, it): &&(Instant, FarPacket)| ahead(it.sequence, packet.sequence) > 0;
        let behind = self.sounds.iter().rev().take_while(later).count();
        let place = self.sounds.len() - behind;
        self.sounds.insert(place, (now, packet));
        let length = Duration::from_micros(self.class.micros().into());
        let first = self.sounds.front();
        let is_left_out = first.is_some_and(|(_, first)| self.surplus.takes(first, length));
        if self.sounds.len() <= MOST_WAITING && !is_left_out {
            return true;
        }
        self.sounds.pop_front();
        false
    }

    fn follow_class(&mut self, codec: Codec, payload: &[u8], now: Instant) {
        let class = self.class.after(codec, payload, self.shorter);
        let micros = sound_micros(codec, payload);
        self.shorter = micros.filter(|micros| *micros < class.micros());
        if class != self.class {
            self.change_class(class, Some(now));
        }
    }

    fn change_class(&mut self, class: FrameClass, now: Option<Instant>) {
        let is_other_pace = class.micros() != self.class.micros();
        self.class = class;
        self.redundancy.forget();
        let next = self.slots.as_ref().map(SlotClock::next);
        if let Some(next) = now
            .or(next)
            .filter(|_| is_other_pace && self.slots.is_some())
        {
            let settles_until = next + SETTLING;
            self.slots = Some(SlotClock::new(next, class.micros(), settles_until));
        }
    }

    /// The frame that is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<FarPacket> {
        let slots = self.slots.as_mut()?;
        let past = now - (self.wait - WAIT);
        if slots.next() + slots.length() * OVERDUE < past {
            let skipped = slots.skip(past);
            self.timestamp = self
                .timestamp
                .wrapping_add(skipped.wrapping_mul(self.class.ticks()));
            self.redundancy.forget();
        }
        let due = self.next_timeout().filter(|due| *due <= now)?;
        let (came, sound) = self.sounds.pop_front().unzip();
        let wait = came.map(|came| due.saturating_duration_since(came));
        self.surplus.note(wait);
        let press = self.presses.pop_front();
        self.newest = sound.as_ref().map(|sound| sound.sequence).or(self.newest);
        let press = press.and_then(|packet| self.place_press(&packet));
        let payload = self.write_frame(press, sound.as_ref())?;
        self.redundancy.keep(self.class, sound);
        let frame = FarPacket {
            payload_type: FRAME_PAYLOAD_TYPE,
            marker: false,
            sequence: self.sequence,
            timestamp: self.timestamp,
            payload,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.class.ticks());
        if let Some(slots) = &mut self.slots {
            slots.step();
        }
        Some(frame)
    }

    fn write_frame(&self, press: Option<PressBlock>, sound: Option<&FarPacket>) -> Option<Vec<u8>> {
        let bytes = self.class.bytes(self.depth());
        let repeats = self.redundancy.blocks(self.class);
        let sound = sound.map(|sound| (sound.payload_type, &sound.payload[..]));
        // Sound that waited while the class became smaller is beyond it.
        let first = (self.lost, press);
        blocks::write(bytes, first, &repeats, sound)
            .or_else(|| blocks::write(bytes, first, &repeats, None))
    }

    /// When the next frame leaves.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        Some(self.slots.as_ref()?.next() + self.wait)
    }

    /// A key press by the frames' timestamps: it starts in the first frame that has it.
    fn place_press(&mut self, packet: &FarPacket) -> Option<PressBlock> {
        let known = self.press.filter(|(theirs, _)| *theirs == packet.timestamp);
        let (_, start) = *self
            .press
            .insert(known.unwrap_or((packet.timestamp, self.timestamp)));
        Some(PressBlock {
            payload_type: packet.payload_type,
            event: *packet.payload.first_chunk()?,
            start,
        })
    }
}
