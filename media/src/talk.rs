//! A whole call's media: skeleton.
use std::net::SocketAddr;
use std::time::Instant;

use crate::description::Description;
use crate::far::{FarError, FarFault, FarLeg, FarLocal, Role};
use crate::figures::Figures;
use crate::near::NearTerms;

/// A call's media: the phone's RTP on one side, the far leg on the other.
#[derive(Debug)]
pub struct Talk {
    far: FarLeg,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TalkOutput {
    /// Bytes for the TURN server, and nobody else.
    ToServer(Vec<u8>),
    /// A datagram from the near socket to the phone.
    ToPhone {
        /// Where the phone hears.
        to: SocketAddr,
        /// One RTP packet.
        bytes: Vec<u8>,
    },
    /// Something for the owner of the call.
    Event(TalkEvent),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TalkEvent {
    /// The relay is ours; the other engine can be told.
    Allocated(FarLocal),
    /// Sound can flow both ways.
    Connected,
    /// The data channel is open.
    ControlOpen,
    /// A message on the data channel.
    Control(Vec<u8>),
    /// The first packet of the other side's sound went to the phone.
    FirstSound,
    /// The far leg is dead; nothing but `Closed` follows.
    Failed(FarFault),
    /// Nothing more will come: the talk can be dropped.
    Closed,
}

impl Talk {
    /// Takes over a far leg, which may have been allocating for a while.
    #[must_use]
    pub fn new(far: FarLeg, _seed: [u8; 32]) -> Self {
        Self { far }
    }

    /// Bytes from the TURN server's socket.
    pub fn handle_turn(&mut self, bytes: &[u8], now: Instant) {
        self.far.handle_turn(bytes, now);
    }

    /// The connection to the TURN server ended.
    pub fn handle_turn_closed(&mut self, now: Instant) {
        self.far.handle_turn_closed(now);
    }

    /// A datagram from the near socket.
    pub fn handle_rtp(&mut self, _from: SocketAddr, _bytes: &[u8], _now: Instant) {}

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.far.handle_timeout(now);
    }

    /// The phone's side is agreed; again after a re-INVITE.
    pub fn attach_phone(&mut self, _near: NearTerms, _now: Instant) {}

    /// Connects to the other engine.
    ///
    /// # Errors
    /// As [`FarLeg::connect`].
    pub fn connect(&mut self, remote: &Description, role: Role, now: Instant) -> Result<(), FarError> {
        self.far.connect(remote, role, now)
    }

    /// Until then nothing of the phone's sound goes out.
    pub fn open_microphone(&mut self, _now: Instant) {}

    /// Sends on the data channel; false if it is not open.
    pub fn send_control(&mut self, bytes: &[u8], now: Instant) -> bool {
        self.far.send_control(bytes, now)
    }

    /// Ends the call's media.
    pub fn close(&mut self, now: Instant) {
        self.far.close(now);
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<TalkOutput> {
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    #[must_use]
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        self.far.next_alarm()
    }

    /// What happened so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures::default()
    }
}
