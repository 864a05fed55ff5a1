//! What the shell reports of a call's sound.

use std::net::SocketAddr;

use ringfence_media::TalkEvent;

/// News of one call's sound.
#[derive(Debug)]
pub enum MediaEvent {
    /// The phone's RTP port is bound; this address goes into the phone's SDP.
    Near(SocketAddr),
    /// The call's media machine says something.
    Talk(TalkEvent),
    /// An order could not be carried out; the call cannot have sound.
    Refused(MediaFault),
}

/// Why the shell could not carry out a media order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaFault {
    /// No local RTP port could be bound.
    NoPort,
    /// No TURN server could be reached or no credential is left. There is no direct path
    /// to fall back to.
    NoTurn,
}
