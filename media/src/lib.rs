//! What happens to a call's sound and moving pictures, as bytes and time: no socket, no clock, no runtime.
//!
//! - [`sdp`] reads and writes what a phone and we say about sound; [`negotiate`] picks one format
//!   for both phones.
//! - [`srtp`] is encrypted sound between a phone and us.
//! - [`bridge`] is one call: the near leg (the phone's RTP) and the [`far`] leg (relay-only WebRTC),
//!   packet by packet.
//! - [`description`] is what one engine tells the other, [`codec`] and [`video`] the formats, [`stats`] what
//!   happened, [`mos`] how good that sounds, [`rtp`] a phone's packets.
//!
//! A machine is driven alike everywhere: `handle_*(.., now)`, then `poll` until `None`, then
//! `next_alarm`.

pub mod bridge;
pub mod codec;
pub mod description;
pub mod far;
pub mod g711;
pub mod mos;
pub mod near;
pub mod negotiate;
pub mod rtp;
pub mod sdp;
mod sequence;
pub mod srtp;
pub mod stats;
pub mod video;

pub use bridge::{Talk, TalkEvent, TalkOutput};
pub use codec::Codec;
pub use description::{Description, DescriptionError, Video};
pub use near::{NearTerms, RtcpAt, VideoTerms};
pub use negotiate::choose;
pub use sdp::{Direction, OwnMedia, OwnVideo, PhoneMedia, SdpError, Unacceptable};
pub use srtp::Srtp;
pub use stats::Figures;
pub use video::{VideoFormat, choose_video};

/// Where a test's time begins; from there on it is moved by hand.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "simulated time has to begin somewhere"
)]
pub(crate) fn some_time() -> std::time::Instant {
    std::time::Instant::now()
}
