//! What a far leg gives to its owner: bytes for the TURN server, events, and counters of refused packets.

use std::net::SocketAddr;

use crate::description::LocalEndpoint;

use super::error::FarLegError;

/// What the owner of a far leg has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FarOutput {
    /// Bytes for the TURN server, the only destination: one datagram, or the next bytes of the stream.
    ToServer(Vec<u8>),
    /// Something that the owner must know.
    Event(FarEvent),
}

/// What happened on a far leg.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FarEvent {
    /// The allocation stands; the other engine can be told of it.
    Allocated(Box<LocalEndpoint>),
    /// ICE and DTLS are done: media can flow both ways.
    Connected,
    /// The data channel is open.
    ControlOpen,
    /// A packet of the other side's audio or video.
    Rtp(FarPacket),
    /// A datagram of [`DATAGRAM_LEN`](super::DATAGRAM_LEN) bytes; any sender whom the TURN server lets through may have sent it.
    Datagram(Vec<u8>),
    /// The other side cannot decode our video and requests a keyframe.
    KeyframeRequested,
    /// A message on the data channel.
    Control(Vec<u8>),
    /// The way out is lost, or perhaps so, and a new one is wanted: [`FarLeg::adopt`](super::FarLeg::adopt). The old one is used
    /// meanwhile. `Heard` ends the search as well.
    WayLost,
    /// A new way out was adopted; our relayed address from now on.
    WayFound(SocketAddr),
    /// Nothing has been heard of the other side for a second.
    Unheard,
    /// The other side was not heard for so long that the call is over. What still passes to it passes until the leg is closed.
    GivenUp,
    /// The other side is heard again after `Unheard` or `WayLost`.
    Heard,
    /// The leg is dead; only `Closed` follows.
    Failed(FarLegError),
    /// Nothing more will come: the leg can be dropped.
    Closed,
}

/// One RTP packet without its SSRC. The far leg has one audio stream each way (RFC 3550 section 5.1), and perhaps one
/// video stream; the payload type tells which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarPacket {
    /// Payload type of the far leg, 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the codec's clock.
    pub timestamp: u32,
    /// The encoded media.
    pub payload: Vec<u8>,
}

/// Packets refused on a far leg, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FarCounters {
    /// Packets from the server's socket that were not TURN, or not for this allocation.
    pub stray: u64,
    /// Peer data from an address that was not accepted as the other side's relayed address, or not yet.
    pub unpermitted: u64,
    /// Media of the other side that did not open: forged, opened before, too old, before the keys, or of no stream of the call.
    pub unopened: u64,
    /// Packets of our own that would have gone elsewhere than to the other side's relayed address; not sent.
    pub misdirected: u64,
    /// Packets not sent because a queue was full, the allocation not ready, the other side unheard, or a sequence number used before.
    pub unsent: u64,
    /// Datagrams beyond what is handed on in a second.
    pub datagrams: u64,
    /// Control messages longer than [`MAX_CONTROL`](super::MAX_CONTROL); not handed on.
    pub overlong: u64,
}
