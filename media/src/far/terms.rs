//! The words that the far leg and its owner exchange: what it is told, what it says, what can go wrong.
//!
//! Types only. The reasons behind the faults are RFC 8656 (TURN), RFC 8445 (ICE) and RFC 9147 (DTLS 1.3).

use std::fmt;
use std::net::SocketAddr;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A value that must not be printed, and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Hides `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How the socket to the TURN server carries its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnTransport {
    /// Datagrams (RFC 8656).
    Udp,
    /// A byte stream: TCP, or TLS that the shell takes off.
    Stream,
}

/// One TURN server and the credentials for it (RFC 8656; long-term credentials of RFC 8489 section 9.2).
#[derive(Clone)]
pub struct TurnServer {
    /// Where it listens, already resolved.
    pub addr: SocketAddr,
    /// How the shell reaches it.
    pub transport: TurnTransport,
    /// User name, `<unix expiry>:<random>` for time-limited credentials.
    pub username: String,
    /// Password that belongs to it.
    pub password: Secret<String>,
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnServer")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// What a far leg needs to start.
#[derive(Clone)]
pub struct FarConfig {
    /// The server whose relay carries the call.
    pub turn: TurnServer,
    /// The local address of the socket to that server. It is told to nobody.
    pub local: SocketAddr,
    /// Whether loopback and private relay addresses are acceptable: in the demo and in tests only.
    pub private_relays: bool,
}

impl fmt::Debug for FarConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarConfig")
            .field("turn", &self.turn)
            .field("private_relays", &self.private_relays)
            .finish_non_exhaustive()
    }
}

/// Which side of the call this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// ICE controlling, DTLS client: the ClientHello leaves together with the nomination.
    Caller,
    /// ICE controlled, DTLS server.
    Callee,
}

/// One RTP packet without its SSRC: the far leg has one stream of sound each way (RFC 3550 section 5.1), and perhaps one
/// of moving pictures, which its payload types tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPacket {
    /// Payload type of the far leg, 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the codec's clock.
    pub timestamp: u32,
    /// What the codec wrote.
    pub payload: Vec<u8>,
}

/// What the other engine must be told about this leg.
#[derive(Clone, PartialEq, Eq)]
pub struct FarLocal {
    /// ICE user fragment.
    pub ufrag: String,
    /// ICE password.
    pub pwd: String,
    /// SHA-256 of this call's DTLS certificate.
    pub fingerprint: [u8; 32],
    /// SSRC of the sound that this leg sends.
    pub ssrc: u32,
    /// SSRC of the moving pictures that this leg sends, if it comes to that.
    pub video_ssrc: u32,
    /// The relayed transport address: the only address of ours that exists outside.
    pub relay: SocketAddr,
}

impl fmt::Debug for FarLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FarLocal(..)")
    }
}

/// What a far leg has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FarOutput {
    /// Bytes for the TURN server, and for nobody else: one datagram, or the next bytes of the stream.
    ToServer(Vec<u8>),
    /// Something that the owner wants to know.
    Event(FarEvent),
}

/// What happened on a far leg.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FarEvent {
    /// The relay is ours; the other engine can be told.
    Allocated(FarLocal),
    /// ICE and DTLS are done: sound can flow both ways.
    Connected,
    /// The data channel is open.
    ControlOpen,
    /// A packet of the other side's sound or moving pictures.
    Rtp(RtpPacket),
    /// The other side has lost track of our pictures and wants a whole one.
    PictureWanted,
    /// A message on the data channel.
    Control(Vec<u8>),
    /// The leg is dead; nothing but `Closed` follows.
    Failed(FarFault),
    /// Nothing more will come: the leg can be dropped.
    Closed,
}

/// Why a far leg died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FarFault {
    /// The TURN server refused, with this STUN error code (RFC 8656 section 18): 401 and 441 wrong credentials, 403
    /// forbidden, 437 the socket's port still belongs to an older allocation (try again from a new socket), 486 quota,
    /// 508 no free relay port.
    #[error("the TURN server refused with {code}")]
    Allocation {
        /// The STUN error code, 300 to 699.
        code: u16,
    },
    /// The TURN server did not give a relay in time.
    #[error("the TURN server did not answer in time")]
    Timeout,
    /// The relay that the server gave is not one that this leg may use, or not one at all.
    #[error("the TURN server gave an unusable relay address")]
    Relay,
    /// The other engine was not reached, or was silent for too long.
    #[error("the other side is not reachable through the relays")]
    Ice,
    /// The TURN server does not let us reach the other side's relays (its own rules: RFC 8656 section 9.2, code 403).
    #[error("the TURN server refuses the other side's relays")]
    Forbidden,
    /// The DTLS handshake failed, or the other side's certificate is not the promised one.
    #[error("the DTLS handshake failed")]
    Dtls,
    /// The connection to the TURN server ended, or the allocation was lost.
    #[error("the connection to the TURN server is gone")]
    ServerGone,
}

/// Why a far leg does not take a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FarError {
    /// No relay yet, already connecting, or closed.
    #[error("the leg cannot connect in its present state")]
    NotNow,
    /// The description names no relay.
    #[error("the description names no relay")]
    NoRelay,
    /// The description names more than [`MAX_RELAYS`](super::MAX_RELAYS).
    #[error("the description names too many relays")]
    TooManyRelays,
    /// A relay address is not one that a call may use: private, loopback, multicast, port 0...
    #[error("the description names an address that cannot be a relay")]
    UnusableRelay,
    /// The ICE credentials are not what RFC 8445 section 5.3 allows.
    #[error("the description's ICE credentials are malformed")]
    Credentials,
    /// The description names an SSRC of ours, or one for both of its streams.
    #[error("the description names our own stream")]
    SameStream,
}

/// What was refused on a far leg, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FarCounters {
    /// Packets from the server's socket that were not TURN, or not for this allocation.
    pub stray: u64,
    /// Peer data from an address that was not accepted as the other side's relay, or not yet.
    pub unpermitted: u64,
    /// Packets of our own that would have gone elsewhere than to the other side's relay; not sent.
    pub misdirected: u64,
    /// Packets not sent because a queue was full or the relay not ready.
    pub unsent: u64,
    /// Control messages longer than [`MAX_CONTROL`](super::MAX_CONTROL); not handed on.
    pub overlong: u64,
}
