//! What a bridge gives to its owner: packets for the phone and the TURN server, and events.

use std::fmt;
use std::net::SocketAddr;

use crate::description::LocalEndpoint;
use crate::far::FarLegError;

/// What the owner of a bridge has to do next.
#[derive(Clone, PartialEq, Eq)]
pub enum BridgeOutput {
    /// Bytes for the TURN server: one datagram, or the next bytes of the stream.
    ToServer(Vec<u8>),
    /// A datagram from the near socket for audio to the phone.
    ToPhone {
        /// Its destination.
        to: SocketAddr,
        /// One packet of RTP or RTCP.
        bytes: Vec<u8>,
    },
    /// A datagram from the near socket for video to the phone.
    VideoToPhone {
        /// Its destination.
        to: SocketAddr,
        /// One packet of RTP or RTCP.
        bytes: Vec<u8>,
    },
    /// Something that the call must know.
    Event(BridgeEvent),
}

/// What happened to a call's media.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeEvent {
    /// The allocation stands; the other engine can be told of it ([`Description::of`](crate::Description::of)).
    Allocated(Box<LocalEndpoint>),
    /// Media can flow both ways.
    Connected,
    /// The data channel is open.
    ControlOpen,
    /// A message on the data channel.
    Control(Vec<u8>),
    /// A datagram from a relayed address; any sender whom the TURN server lets through may have sent it.
    Datagram(Vec<u8>),
    /// A key was pressed on the other side and came in-band (RFC 4733), and the phone has not agreed to telephone events.
    Dtmf {
        /// The telephone event, 0 to 15.
        event: u8,
        /// How long, in milliseconds.
        millis: u16,
    },
    /// A key is pressed on the phone, which says so in-band (RFC 4733). Once for each press.
    KeyPressed,
    /// The first packet of the other side's audio went to the phone. Once per call.
    FirstAudio,
    /// Nothing has come from the phone for five seconds since its terms were attached or it was heard last: no audio, no comfort
    /// noise, no RTCP. It may be muted or on hold, or gone; [`MediaStats::phone_silent`](crate::MediaStats::phone_silent) tells the same. Reported whatever
    /// direction was agreed, and once until `PhoneHeard`.
    PhoneSilent,
    /// The phone is heard again after `PhoneSilent`.
    PhoneHeard,
    /// The phone sends another of the formats that it listed than the call's, and one that cannot be converted, so that the
    /// other side hears nothing. An offer of the call's format alone cures that (RFC 3264 section 10.2). Once for each phone.
    FormatNotCarried,
    /// The way out is lost, or perhaps so: a new one is wanted ([`Bridge::adopt`](super::Bridge::adopt)), until `WayFound` or `Heard`.
    WayLost,
    /// A new way out was adopted; our relayed address from now on.
    WayFound(SocketAddr),
    /// Nothing has been heard of the other side for a second.
    Unheard,
    /// The other side was not heard for so long that the call is over. What still passes to it passes until the bridge is closed.
    GivenUp,
    /// The other side is heard again after `Unheard` or `WayLost`.
    Heard,
    /// The far leg is dead; only `Closed` follows.
    Failed(FarLegError),
    /// Nothing more will come: the bridge can be dropped.
    Closed,
}

impl fmt::Debug for BridgeOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToServer(bytes) => write!(f, "ToServer({} bytes)", bytes.len()),
            Self::ToPhone { bytes, .. } => write!(f, "ToPhone({} bytes)", bytes.len()),
            Self::VideoToPhone { bytes, .. } => write!(f, "VideoToPhone({} bytes)", bytes.len()),
            Self::Event(event) => write!(f, "Event({event:?})"),
        }
    }
}
