//! A phone's INVITE (RFC 3261 section 17.2.1, with the Accepted state of RFC 6026 section 7.1).
//!
//! Repeats of the INVITE and the ACK of a refusal end here. Repeating a 2xx until its ACK comes is the leg's work.

use std::time::Duration;

use super::completed::Again;
use super::machine::{After, Reach};
use crate::timers::{PATIENCE, T1, T2, Timer};

#[derive(Debug)]
enum State {
    /// No final answer yet; the last provisional one is given again to a repeat.
    Proceeding(Option<Vec<u8>>),
    /// Refused; the refusal is repeated until the ACK.
    Completed { refusal: Vec<u8>, pause: Duration },
    /// Accepted by a 2xx, whose ACK the leg waits for.
    Accepted,
}

#[derive(Debug)]
pub(super) struct InviteServer {
    state: State,
}

impl InviteServer {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Proceeding(None),
        }
    }

    pub(super) const fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted)
    }

    pub(super) fn handle_repeat(&mut self, reach: &mut Reach<'_>) -> After {
        match &self.state {
            State::Proceeding(Some(bytes)) | State::Completed { refusal: bytes, .. } => {
                reach.send(bytes)
            }
            State::Proceeding(None) | State::Accepted => {}
        }
        After::Stay
    }

    pub(super) fn handle_ack(&self, reach: &Reach<'_>) -> After {
        match self.state {
            State::Completed { .. } if reach.is_reliable() => After::Over,
            State::Completed { .. } => After::Kept(Again::Silence),
            State::Proceeding(_) | State::Accepted => After::Stay,
        }
    }

    /// The leg has the ACK for its 2xx.
    pub(super) fn confirm(&self) -> After {
        match self.state {
            State::Accepted => After::Kept(Again::Call),
            State::Proceeding(_) | State::Completed { .. } => After::Stay,
        }
    }

    pub(super) fn respond(&mut self, status: u16, bytes: Vec<u8>, reach: &mut Reach<'_>) -> After {
        let is_open = matches!(self.state, State::Proceeding(_));
        match status {
            ..200 if is_open => {
                reach.send(&bytes);
                self.state = State::Proceeding(Some(bytes));
            }
            200..300 if is_open => {
                reach.send(&bytes);
                reach.set(Timer::L, PATIENCE);
                self.state = State::Accepted;
            }
            300.. if is_open => {
                reach.send(&bytes);
                if !reach.is_reliable() {
                    reach.set(Timer::G, T1);
                }
                reach.set(Timer::H, PATIENCE);
                self.state = State::Completed {
                    refusal: bytes,
                    pause: T1,
                };
            }
            // RFC 6026: the leg repeats its 2xx through here.
            200..300 if self.is_accepted() => reach.send(&bytes),
            _ => {}
        }
        After::Stay
    }

    pub(super) fn handle_timer(&mut self, timer: Timer, reach: &mut Reach<'_>) -> After {
        match (&mut self.state, timer) {
            (State::Completed { refusal, pause }, Timer::G) => {
                *pause = T2.min(*pause * 2);
                reach.send(refusal);
                reach.set(Timer::G, *pause);
                After::Stay
            }
            _ => After::Over,
        }
    }
}
