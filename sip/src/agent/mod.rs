//! The SIP server that phones see.

use std::collections::VecDeque;
use std::time::Instant;

use crate::account::{Config, User};
use crate::event::{Caller, Counters, HangUp, LegId, Output, PlaceError};
use crate::flow::Flow;

/// The SIP server that phones see: registrar, user agent server and client in one, over bytes and time.
#[derive(Debug)]
pub struct Agent {
    output: VecDeque<Output>,
    counters: Counters,
}

impl Agent {
    /// An agent for these lines. All randomness (tags, branches, nonces) comes from `seed`.
    pub fn new(_config: Config, _seed: [u8; 32]) -> Self {
        Self {
            output: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// One datagram, or one whole message cut by [`Framer`](crate::Framer).
    pub fn handle_packet(&mut self, _flow: Flow, _bytes: &[u8], _now: Instant) {}

    /// A TCP stream ended: its registrations and legs end with it.
    pub fn handle_flow_closed(&mut self, _flow: Flow, _now: Instant) {}

    /// Time passed. Call at or after the instant of [`next_alarm`](Self::next_alarm).
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Tells a calling phone that the other side rings (180).
    pub fn ring(&mut self, _leg: LegId, _now: Instant) {}

    /// Accepts a calling phone's INVITE, or its re-offer (200).
    pub fn answer(&mut self, _leg: LegId, _sdp: Vec<u8>, _now: Instant) {}

    /// Refuses an INVITE (the leg is gone), or a re-offer (the call goes on as it was). `status` is 300 to 699.
    pub fn refuse(&mut self, _leg: LegId, _status: u16, _now: Instant) {}

    /// Ends a leg by whatever fits its state: CANCEL (now or after the first 1xx), BYE, 480. No event follows.
    pub fn hang_up(&mut self, _leg: LegId, _reason: HangUp, _now: Instant) {}

    /// Rings all phones registered to the line. The first 2xx wins, the others are cancelled.
    ///
    /// # Errors
    /// [`PlaceError`] if nobody could be rung.
    pub fn place(
        &mut self,
        _user: &User,
        _caller: Caller,
        _sdp: Vec<u8>,
        _now: Instant,
    ) -> Result<LegId, PlaceError> {
        Err(PlaceError::NoPhone)
    }

    /// How many phones are registered to the line.
    pub fn phones(&self, _user: &User) -> usize {
        0
    }

    /// The next thing to do; drain until `None` after every input.
    pub fn poll(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why.
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
