//! A phone's INVITE (RFC 3261 section 17.2.1, with the Accepted state of RFC 6026 section 7.1).
//!
//! Retransmissions of the INVITE and the ACK of a refusal end here. The owner of the transaction retransmits a 2xx until its ACK.

use std::time::Duration;

use super::completed::Retransmission;
use super::machine::{MachineContext, Next};
use crate::timers::{T1, T2, TRANSACTION_TIMEOUT, Timer};

#[derive(Debug)]
enum State {
    /// No final response yet; a retransmission gets the last provisional one.
    Proceeding(Option<Vec<u8>>),
    /// Refused; the refusal is retransmitted until the ACK.
    Completed { refusal: Vec<u8>, pause: Duration },
    /// Accepted by a 2xx, whose ACK the owner waits for.
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

    /// Refused, and without an ACK.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self.state, State::Completed { .. })
    }

    pub(super) fn handle_retransmission(&mut self, context: &mut MachineContext<'_>) -> Next {
        match &self.state {
            State::Proceeding(Some(bytes)) | State::Completed { refusal: bytes, .. } => {
                context.send(bytes)
            }
            State::Proceeding(None) | State::Accepted => {}
        }
        Next::Stay
    }

    pub(super) fn handle_ack(&self, context: &MachineContext<'_>) -> Next {
        match self.state {
            State::Completed { .. } if context.is_reliable() => Next::Terminated,
            State::Completed { .. } => Next::Completed(Retransmission::Absorb),
            State::Proceeding(_) | State::Accepted => Next::Stay,
        }
    }

    /// The owner has the ACK for its 2xx.
    pub(super) fn confirm(&self) -> Next {
        match self.state {
            State::Accepted => Next::Completed(Retransmission::PassAck),
            State::Proceeding(_) | State::Completed { .. } => Next::Stay,
        }
    }

    pub(super) fn respond(
        &mut self,
        status: u16,
        bytes: Vec<u8>,
        context: &mut MachineContext<'_>,
    ) -> Next {
        let is_open = matches!(self.state, State::Proceeding(_));
        match status {
            ..200 if is_open => {
                context.send(&bytes);
                self.state = State::Proceeding(Some(bytes));
            }
            200..300 if is_open => {
                context.send(&bytes);
                context.set(Timer::L, TRANSACTION_TIMEOUT);
                self.state = State::Accepted;
            }
            300.. if is_open => {
                context.send(&bytes);
                if !context.is_reliable() {
                    context.set(Timer::G, T1);
                }
                context.set(Timer::H, TRANSACTION_TIMEOUT);
                self.state = State::Completed {
                    refusal: bytes,
                    pause: T1,
                };
            }
            // RFC 6026: the owner retransmits its 2xx through here.
            200..300 if self.is_accepted() => context.send(&bytes),
            _ => {}
        }
        Next::Stay
    }

    pub(super) fn handle_timer(&mut self, timer: Timer, context: &mut MachineContext<'_>) -> Next {
        match (&mut self.state, timer) {
            (State::Completed { refusal, pause }, Timer::G) => {
                *pause = T2.min(*pause * 2);
                context.send(refusal);
                context.set(Timer::G, *pause);
                Next::Stay
            }
            _ => Next::Terminated,
        }
    }
}
