//! The media of a call as bytes and time: no socket, no clock, no runtime.
//!
//! A call has two legs. The **near leg** is the phone side: RTP or SRTP on the local network. The **far leg** is the WebRTC
//! side: ICE, DTLS and SRTP to the other engine, over a TURN allocation and no other path. A [`Bridge`] passes packets
//! between the two. [`sdp`] reads the phone's SDP, [`negotiate`] finds the format that both phones know, and [`description`]
//! is what one engine tells the other in place of SDP. Sound passes as it is where the two phones share a codec, but for G.711 of one law to
//! the other, where a phone sends the one that was not agreed; elsewhere one engine transcodes. G.711 and G.722 are decoded where something is
//! lost, to conceal it.
//!
//! # Where things are
//!
//! - [`bridge`]: one call's media, the type that an owner drives. [`stats`]: its packet counts, losses and jitter;
//!   [`mos`]: the opinion score that follows from them.
//! - [`far`]: the far leg. Only this folder knows str0m and turn-client-proto.
//! - [`frame`]: what a call's sound is between engines: one size, one pace.
//! - `concealment`: sound in place of what was lost. [`transcode`]: the sound of one codec as that of another.
//! - [`near`]: the near leg: symmetric RTP, renumbering, telephone events, RTCP.
//! - [`sdp`]: a phone's SDP, read and written. [`negotiate`]: the result of offer and answer. [`description`]: our own
//!   end of the call as bytes for the other engine.
//! - [`codec`] and [`video`]: the formats that a call may carry. [`g711`] and `g722`: the codecs that are implemented here.
//! - [`rtp`] and [`rtcp`]: packets as bytes. [`srtp`]: SRTP and SRTCP on both legs.
//!
//! # The run loop
//!
//! [`Bridge`] and [`far::FarLeg`] are driven alike: give an input with a `handle_*` method, call `poll` until it returns
//! `None`, and call `handle_timeout` when the time of `next_timeout` has come.
//!
//! ```
//! use std::time::Instant;
//!
//! use ringfence_media::far::{FarConfig, FarLeg, TurnAccess, TurnPassword, TurnTransport, TurnWay};
//! use ringfence_media::{Bridge, BridgeEvent, BridgeOutput};
//!
//! let turn = TurnAccess {
//!     addr: "203.0.113.1:3478".parse()?,
//!     transport: TurnTransport::Udp,
//!     username: "1800000000:a7f3".to_owned(),
//!     password: TurnPassword::new("secret".to_owned()),
//! };
//! let local = "192.0.2.7:40000".parse()?;
//! let config = FarConfig { turn, local, allow_private_addresses: false, permitted: Vec::new(), relays_ipv6: false };
//!
//! // In a program these seeds come from the system's generator, and time from its clock.
//! let now = Instant::now();
//! let way = TurnWay::new(config, now);
//! let mut bridge = Bridge::new(FarLeg::new(way, [1; 32], now), [2; 32]);
//!
//! let mut to_server = 0;
//! while let Some(output) = bridge.poll() {
//!     match output {
//!         BridgeOutput::ToServer(_bytes) => to_server += 1,
//!         BridgeOutput::ToPhone { .. } | BridgeOutput::VideoToPhone { .. } => {}
//!         BridgeOutput::Event(BridgeEvent::Allocated(_)) => { /* tell the other engine */ }
//!         BridgeOutput::Event(_) => {}
//!     }
//! }
//! assert_eq!(to_server, 1, "the Allocate request");
//!
//! // No reply: the request is retransmitted at the next timeout.
//! let (at, _timer) = bridge.next_timeout().expect("the TURN client waits for a reply");
//! bridge.handle_timeout(at);
//! assert!(matches!(bridge.poll(), Some(BridgeOutput::ToServer(_))));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

pub mod bridge;
pub mod codec;
mod concealment;
pub mod confirmation;
pub mod description;
pub mod far;
pub mod frame;
pub mod g711;
mod g722;
pub mod mos;
pub mod near;
pub mod negotiate;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
mod sequence;
pub mod srtp;
pub mod stats;
mod timer;
pub mod transcode;
pub mod video;

pub use bridge::{Bridge, BridgeEvent, BridgeOutput, LONGEST_LINGER};
pub use codec::Codec;
pub use description::{Description, DescriptionError, LocalEndpoint, VideoDescription};
pub use negotiate::{
    ChosenCodecs, KeyframeFeedback, NegotiatedMedia, NegotiatedVideo, RtcpDestination, choose,
};
pub use sdp::{MediaDirection, NotAcceptableError, OwnMedia, OwnVideo, PhoneMedia, SdpError};
pub use srtp::Srtp;
pub use stats::MediaStats;
pub use timer::MediaTimer;
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
