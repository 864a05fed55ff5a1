//! What a call's sound is between two engines: one frame (RFC 2198), of one size, at one pace, from connection to the last packet.
//!
//! Speech, key presses and fill are blocks in it, so that a TURN server sees the same of a person who speaks, listens, mutes, holds,
//! presses keys or has hung up. The receiving engine hands sound and key presses on and drops the fill.
//!
//! - [`blocks`]: the payload of a frame, read and written. [`class`]: how large it is and how often there is one.
//! - [`redundancy`]: which earlier sound a frame carries again.
//! - `slots`: when it leaves. `sender`: what is in it, and `surplus`: when that has waited too long. `receiver`: what the phone is given of it,
//!   out of [`playout`] while there is something to repair, by the clock of `arrivals` (both clocks learn another's `clock_rate`); `content` reads it, `numbers` numbers it, and `loss_window` counts
//!   what did not come.
//! - `control`: the same for the messages of the data channel.
//!
//! The far leg knows nothing of this but the clock of a frame, which its reports need, so that a peer which is no engine can be sent plain RTP.

mod arrivals;
pub mod blocks;
pub mod class;
mod clock_rate;
mod content;
pub(crate) mod control;
mod loss_window;
mod numbers;
pub mod playout;
pub(crate) mod receiver;
pub mod redundancy;
pub(crate) mod sender;
mod slots;
mod surplus;

use self::blocks::FrameBlocks;
use crate::codec::Codec;

pub use self::control::{CONTROL_BYTES, CONTROL_PACE};

/// The payload type of frames, and the one that each packet of sound has between engines.
pub const FRAME_PAYLOAD_TYPE: u8 = 96;

/// The clock of a packet's timestamps, if it is sound or a frame with sound or a key press.
pub(crate) fn clock(payload_type: u8, payload: &[u8]) -> Option<u32> {
    if payload_type != FRAME_PAYLOAD_TYPE {
        return Codec::from_far_payload_type(payload_type).map(Codec::clock);
    }
    let blocks = FrameBlocks::read(payload)?;
    let mut codecs = blocks.filter_map(|block| Codec::from_far_payload_type(block.payload_type));
    codecs.next().map(Codec::clock)
}

#[cfg(test)]
mod tests;
