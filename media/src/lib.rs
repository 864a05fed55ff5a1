//! What happens to a call's sound, as bytes and time: no socket, no clock, no runtime.

pub mod codec;
pub mod description;

pub use codec::Codec;
pub use description::{Description, DescriptionError};
