//! What the phone is given of the other side's frames: sound and key presses, numbered as if there were no fill.
//!
//! A frame that was lost counts as lost sound where sound came before and after it, and as fill elsewhere. The marker is set where sound
//! begins after a pause (RFC 3551 section 4.1).

use super::FRAME_PAYLOAD_TYPE;
use super::blocks::{FILL_PAYLOAD_TYPE, FrameBlock, FrameBlocks, PressBlock};
use crate::codec::Codec;
use crate::far::FarPacket;
use crate::sequence::{SequencePlace, SequenceWindow};

/// Frames of fill after which sound begins anew. Fewer are a phone's packet that was late or lost, at which another phone must not forget what it has
/// learnt of the delay.
const PAUSE: u16 = 10;

/// The frames of one call, in the direction to the phone.
#[derive(Debug, Default)]
pub(crate) struct FrameReceiver {
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

/// What a frame has for the phone.
#[derive(Debug, Default)]
pub(crate) struct FrameContent {
    pub(crate) press: Option<FarPacket>,
    pub(crate) sound: Option<FarPacket>,
}

impl FrameReceiver {
    /// Takes a packet of the far leg. What is no frame has nothing for the phone.
    pub(crate) fn read(&mut self, packet: &FarPacket) -> FrameContent {
        let blocks = FrameBlocks::read(&packet.payload);
        let blocks = blocks.filter(|_| packet.payload_type == FRAME_PAYLOAD_TYPE);
        let Some(blocks) = blocks else {
            return FrameContent::default();
        };
        let (mut press, mut sound) = (None, None);
        for block in blocks {
            match Codec::from_far_payload_type(block.payload_type) {
                _ if block.payload_type == FILL_PAYLOAD_TYPE => {}
                Some(codec) if codec.is_events() => press = PressBlock::read(&block),
                // Sound of before is redundancy, which nothing sends yet.
                Some(_) if block.age == 0 && !block.payload.is_empty() => sound = Some(block),
                _ => {}
            }
        }
        self.number(packet, press, sound)
    }

    fn number(
        &mut self,
        frame: &FarPacket,
        press: Option<PressBlock>,
        sound: Option<FrameBlock<'_>>,
    ) -> FrameContent {
        let place = match &mut self.window {
            Some(window) => window.place(frame.sequence),
            None => {
                self.window = Some(SequenceWindow::starting_with(frame.sequence));
                self.empty = PAUSE;
                SequencePlace::Newest { skipped: 0 }
            }
        };
        match place {
            SequencePlace::Newest { skipped } => self.number_newest(frame, skipped, press, sound),
            SequencePlace::Late => FrameContent {
                press: None,
                sound: self
                    .kept_number(frame.sequence)
                    .zip(sound)
                    .map(|(number, block)| carry(frame, (number, false), &block)),
            },
            SequencePlace::Duplicate => FrameContent::default(),
            SequencePlace::Elsewhere => {
                // The other side's engine never begins anew in a call; after an outage its frames are far ahead.
                self.window = Some(SequenceWindow::starting_with(frame.sequence));
                self.number_newest(frame, 0, press, sound)
            }
        }
    }

    fn number_newest(
        &mut self,
        frame: &FarPacket,
        skipped: u16,
        press: Option<PressBlock>,
        sound: Option<FrameBlock<'_>>,
    ) -> FrameContent {
        if skipped > 0 && self.empty == 0 && sound.is_some() {
            self.gap = Some(MissingFrames {
                frame: frame.sequence.wrapping_sub(skipped),
                number: self.next,
                count: skipped,
            });
            self.next = self.next.wrapping_add(skipped);
        }
        let begins = self.empty >= PAUSE;
        self.empty = match (&press, &sound) {
            (None, None) => self.empty.saturating_add(skipped).saturating_add(1),
            _ => 0,
        };
        let press = press.map(|press| {
            let is_new = self.press.replace(press.start) != Some(press.start);
            FarPacket {
                payload_type: press.payload_type,
                marker: is_new,
                sequence: self.take_number(),
                timestamp: press.start,
                payload: press.event.to_vec(),
            }
        });
        let sound = sound.map(|block| carry(frame, (self.take_number(), begins), &block));
        FrameContent { press, sound }
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

fn carry(frame: &FarPacket, (sequence, marker): (u16, bool), block: &FrameBlock<'_>) -> FarPacket {
    FarPacket {
        payload_type: block.payload_type,
        marker,
        sequence,
        timestamp: frame.timestamp,
        payload: block.payload.to_vec(),
    }
}
