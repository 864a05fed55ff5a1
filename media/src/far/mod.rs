//! The far leg: WebRTC over one TURN allocation, and nothing else. The only code that knows str0m and turn-client-proto.
//!
//! Bytes and time in, bytes for the TURN server out. There is no other way out: no relay, no call.

mod terms;

use std::time::Instant;

pub use terms::*;

use crate::description::Description;

/// Relays of the other side that a leg will talk to. Each costs a permission on our TURN server.
pub const MAX_RELAYS: usize = 4;

/// One side of a call between two engines.
#[derive(Debug)]
pub struct FarLeg {
    config: FarConfig,
    role: Role,
}

impl FarLeg {
    /// Starts to allocate a relay.
    pub fn new(config: FarConfig, role: Role, _seed: [u8; 32], _now: Instant) -> Self {
        Self { config, role }
    }

    /// Takes a datagram, or the next bytes of the stream, from the TURN server's socket.
    pub fn handle_turn(&mut self, _bytes: &[u8], _now: Instant) {}

    /// The connection to the TURN server ended.
    pub fn handle_turn_closed(&mut self, _now: Instant) {}

    /// Time has passed: call at the latest at [`next_alarm`](Self::next_alarm).
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Connects to the other engine.
    ///
    /// # Errors
    /// When the description is not acceptable; nothing has changed then.
    pub fn connect(&mut self, _remote: &Description, _now: Instant) -> Result<(), FarError> {
        Err(FarError::NotNow)
    }

    /// Sends one packet of sound; it leaves with the next [`poll`](Self::poll).
    pub fn write_rtp(&mut self, _packet: RtpPacket, _now: Instant) {}

    /// Sends a message on the data channel; false if that is not open.
    pub fn send_control(&mut self, _bytes: &[u8], _now: Instant) -> bool {
        false
    }

    /// Ends the leg: the DTLS close and the end of the allocation leave with the next [`poll`](Self::poll).
    pub fn close(&mut self, _now: Instant) {}

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<FarOutput> {
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// What was refused so far.
    pub fn counters(&self) -> FarCounters {
        FarCounters::default()
    }
}
