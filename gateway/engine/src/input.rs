//! What the shell reports of a call's media, and an event as the relays delivered it.

use std::net::SocketAddr;

use ringfence_media::BridgeEvent;

use crate::sealed::envelope::EventKey;
use crate::time::UnixTime;

/// An event of one call's media.
#[derive(Debug)]
pub enum MediaEvent {
    /// The phone's RTP ports are bound, at each address; these go into the phones' SDP.
    Near(Vec<NearPort>),
    /// An event of the call's bridge.
    Bridge(BridgeEvent),
    /// An order could not be carried out; the call cannot have audio.
    Refused(MediaFailure),
}

impl From<BridgeEvent> for MediaEvent {
    fn from(event: BridgeEvent) -> Self {
        Self::Bridge(event)
    }
}

/// Where a phone sends its RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearPort {
    /// The address for audio.
    pub audio: SocketAddr,
    /// The port for video at the same address, if one was asked for and could be bound.
    pub video: Option<u16>,
}

/// Why the shell could not carry out a media order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaFailure {
    /// No local RTP port could be bound.
    NoPort,
    /// No TURN server could be reached or no credential is left. There is no direct path
    /// to fall back to.
    NoTurn,
    /// What the other side said of its relays cannot be used from here.
    NoPath,
}

/// An envelope as the relays delivered it, still sealed.
#[derive(Clone, Debug)]
pub struct ReceivedEvent {
    /// The bucket tag of the event.
    pub bucket: u16,
    /// The event's one-time key.
    pub event_key: EventKey,
    /// The nonce of the proof of work.
    pub nonce: u64,
    /// What should be an envelope.
    pub bytes: Vec<u8>,
    /// When it was made, as its event says, if relays keep its kind of event; `None` for those that they only pass on.
    pub note_made: Option<UnixTime>,
}
