//! What happens to a call's sound, as bytes and time: no socket, no clock, no runtime.
//!
//! `far` is the leg to the other engine: relay-only WebRTC over one TURN allocation.

pub mod codec;
pub mod description;
pub mod far;

pub use codec::Codec;
pub use description::Description;
