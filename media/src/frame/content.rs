//! What a frame of the other side holds, read: a key press, sound, the sound of earlier frames, and what that side has lost of ours.

use std::time::Duration;

use super::FRAME_PAYLOAD_TYPE;
use super::blocks::{FILL_PAYLOAD_TYPE, FrameBlock, FrameBlocks, PressBlock};
use crate::codec::Codec;
use crate::far::FarPacket;

/// What the frame of one slot has for the phone. Without press and sound it is fill.
#[derive(Debug)]
pub(super) struct FrameContent {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) press: Option<PressBlock>,
    pub(super) sound: Option<FrameSound>,
}

/// The sound of one frame.
#[derive(Clone, Debug)]
pub(super) struct FrameSound {
    pub(super) codec: Codec,
    pub(super) payload: Vec<u8>,
}

/// What an earlier frame had; without sound, fill.
#[derive(Debug)]
pub(super) struct RepeatedSound {
    /// Ticks by which it is older.
    pub(super) age: u16,
    pub(super) sound: Option<FrameSound>,
}

/// All that a frame tells.
#[derive(Debug)]
pub(super) struct ReadFrame {
    pub(super) content: FrameContent,
    /// What it repeats, oldest first.
    pub(super) repeats: Vec<RepeatedSound>,
    /// The share of our frames that its sender has lost, in 256ths.
    pub(super) lost: u8,
}

/// Reads a frame. `None` for what is no frame.
pub(super) fn read(packet: &FarPacket) -> Option<ReadFrame> {
    let blocks = FrameBlocks::read(&packet.payload);
    let mut blocks = blocks.filter(|_| packet.payload_type == FRAME_PAYLOAD_TYPE)?;
    let (mut press, mut sound, mut repeats) = (None, None, Vec::new());
    let first = blocks.next()?;
    let lost = u8::try_from(first.age).unwrap_or(u8::MAX);
    let first = FrameBlock { age: 0, ..first };
    for block in std::iter::once(first).chain(blocks) {
        let codec = Codec::from_far_payload_type(block.payload_type);
        let carried = codec.filter(|codec| !codec.is_events() && !block.payload.is_empty());
        let carried = carried.map(|codec| FrameSound {
            codec,
            payload: block.payload.to_vec(),
        });
        match codec {
            Some(codec) if codec.is_events() => press = PressBlock::read(&block),
            _ if block.age == 0 => sound = carried.or(sound),
            _ if carried.is_some() || block.payload_type == FILL_PAYLOAD_TYPE => {
                repeats.push(RepeatedSound {
                    age: block.age,
                    sound: carried,
                });
            }
            _ => {}
        }
    }
    let content = FrameContent {
        sequence: packet.sequence,
        timestamp: packet.timestamp,
        press,
        sound,
    };
    Some(ReadFrame {
        content,
        repeats,
        lost,
    })
}

impl FrameContent {
    pub(super) const fn is_fill(&self) -> bool {
        self.press.is_none() && self.sound.is_none()
    }

    /// The clock of its timestamp, if it tells.
    pub(super) fn clock(&self) -> Option<u32> {
        let press = self.press.as_ref();
        let press = press.and_then(|press| Codec::from_far_payload_type(press.payload_type));
        let sound = self.sound.as_ref().map(|sound| sound.codec);
        sound.or(press).map(Codec::clock)
    }
}

/// Ticks of a clock as a time.
pub(super) fn time(ticks: u32, clock: u32) -> Duration {
    Duration::from_micros(u64::from(ticks) * 1_000_000 / u64::from(clock.max(1)))
}
