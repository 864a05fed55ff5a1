//! What happens to a call's sound, as bytes and time: no socket, no clock, no runtime.
//!
//! - [`sdp`] reads and writes what a phone and we say about sound; [`negotiate`] picks one format
//!   for both phones.
//! - [`srtp`] is encrypted sound between a phone and us.
//! - [`talk`] is one call: the near leg (the phone's RTP) and the [`far`] leg (relay-only WebRTC),
//!   packet by packet.
//! - [`description`] is what one engine tells the other, [`codec`] the formats, [`figures`] what
//!   happened, [`mos`] how good that sounds, [`rtp`] a phone's packets.
//!
//! A machine is driven alike everywhere: `handle_*(.., now)`, then `poll` until `None`, then
//! `next_alarm`.

pub mod codec;
pub mod description;
pub mod far;
pub mod figures;
mod keys;
mod latch;
pub mod mos;
pub mod near;
pub mod negotiate;
mod overheard;
mod rewrite;
pub mod rtp;
pub mod sdp;
mod sequence;
pub mod srtp;
pub mod talk;

pub use codec::Codec;
pub use description::{Description, DescriptionError};
pub use figures::Figures;
pub use near::NearTerms;
pub use negotiate::choose;
pub use sdp::{Direction, OwnMedia, PhoneMedia, SdpError, Unacceptable};
pub use srtp::Srtp;
pub use talk::{Talk, TalkEvent, TalkOutput};

/// Where a test's time begins; from there on it is moved by hand.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "simulated time has to begin somewhere"
)]
pub(crate) fn some_time() -> std::time::Instant {
    std::time::Instant::now()
}
