//! The numbers under which the phone is given the other side's sound and key presses, as if there were no fill.
//!
//! A frame that was lost counts as lost sound where sound came before and after it, and as fill elsewhere. The marker is set where sound
//! begins after a pause (RFC 3551 section 4.1).

use super::blocks::PressBlock;
use super::content::{FrameContent, FrameSound};
use crate::far::FarPacket;
use crate::sequence::{SequencePlace, SequenceWindow};

/// Frames of fill after which sound begins anew. Fewer are a phone's packet that was late or lost, at which another phone must not forget what it has
/// learnt of the delay.
const PAUSE: u16 = 10;

/// The numbering of one call, in the direction to the phone.
#[derive(Debug, Default)]
pub(super) struct FrameNumbers {
    window: Option<SequenceWindow>,
    /// The number that the next packet for the phone gets.
    next: u16,
    /// Frames since the newest with anything for the phone.
    empty: u16,
    /// The newest frames that are missing between two with sound.
    gap: Option<MissingFrames>,
    /// The start of the newest key press.
    press: Option<u32>,
}

/// Frames in a row that have not come, and the numbers that are kept for them.
#[derive(Clone, Copy, Debug)]
struct MissingFrames {
    frame: u16,
    number: u16,
    count: u16,
}

impl FrameNumbers {
    /// What the phone is given of a frame: a key press and sound.
    pub(super) fn number(&mut self, frame: FrameContent) -> [Option<FarPacket>; 2] {
        let place = match &mut self.window {
            Some(window) => window.place(frame.sequence),
            None => {
                self.window = Some(SequenceWindow::starting_with(frame.sequence));
                self.empty = PAUSE;
                SequencePlace::Newest { skipped: 0 }
            }
        };
        match place {
            SequencePlace::Newest { skipped } => self.number_newest(frame, skipped),
            SequencePlace::Late => {
                let number = self.kept_number(frame.sequence);
                let late = number.zip(frame.sound);
                let late =
                    late.map(|(number, sound)| carry(frame.timestamp, (number, false), sound));
                [None, late]
            }
            SequencePlace::Duplicate => [None, None],
            SequencePlace::Elsewhere => {
                // The other side's engine never begins anew in a call; after an outage its frames are far ahead.
                self.window = Some(SequenceWindow::starting_with(frame.sequence));
                self.number_newest(frame, 0)
            }
        }
    }

    fn number_newest(&mut self, frame: FrameContent, skipped: u16) -> [Option<FarPacket>; 2] {
        if skipped > 0 && self.empty == 0 && frame.sound.is_some() {
            self.gap = Some(MissingFrames {
                frame: frame.sequence.wrapping_sub(skipped),
                number: self.next,
                count: skipped,
            });
            self.next = self.next.wrapping_add(skipped);
        }
        let begins = self.empty >= PAUSE;
        self.empty = match (&frame.press, &frame.sound) {
            (None, None) => self.empty.saturating_add(skipped).saturating_add(1),
            _ => 0,
        };
        let press = frame.press.map(|press| self.carry_press(press));
        let sound = frame.sound;
        let sound = sound.map(|sound| carry(frame.timestamp, (self.take_number(), begins), sound));
        [press, sound]
    }

    fn carry_press(&mut self, press: PressBlock) -> FarPacket {
        let is_new = self.press.replace(press.start) != Some(press.start);
        FarPacket {
            payload_type: press.payload_type,
            marker: is_new,
            sequence: self.take_number(),
            timestamp: press.start,
            payload: press.event.to_vec(),
        }
    }

    fn take_number(&mut self) -> u16 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }

    /// The number that was kept for a frame that comes late.
    fn kept_number(&self, sequence: u16) -> Option<u16> {
        let gap = self.gap?;
        let place = sequence.wrapping_sub(gap.frame);
        (place < gap.count).then(|| gap.number.wrapping_add(place))
    }
}

fn carry(timestamp: u32, (sequence, marker): (u16, bool), sound: FrameSound) -> FarPacket {
    FarPacket {
        payload_type: sound.codec.far_payload_type(),
        marker,
        sequence,
        timestamp,
        payload: sound.payload,
    }
}
