//! What a call's sound is between two engines: one frame (RFC 2198), of one size, at one pace, from connection to the last packet.
//!
//! Speech, key presses and fill are blocks in it, so that a TURN server sees the same of a person who speaks, listens, mutes, holds,
//! presses keys or has hung up. The receiving engine hands sound and key presses on and drops the fill.
//!
//! - [`blocks`]: the payload of a frame, read and written. [`class`]: how large it is and how often there is one.
//! - `slots`: when it leaves. `sender`: what is in it. `receiver`: what the phone is given of it.
//! - `control`: the same for the messages of the data channel.
//!
//! The far leg knows nothing of this, so that a peer which is no engine can be sent plain RTP.

pub mod blocks;
pub mod class;
pub(crate) mod control;
pub(crate) mod receiver;
pub(crate) mod sender;
mod slots;

pub use self::control::{CONTROL_BYTES, CONTROL_PACE};

/// The payload type of frames, and the one that each packet of sound has between engines.
pub const FRAME_PAYLOAD_TYPE: u8 = 96;

#[cfg(test)]
mod tests;
