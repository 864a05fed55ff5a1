//! Our request other than INVITE (RFC 3261 section 17.1.2).

use std::time::Duration;

use super::completed::Retransmission;
use super::machine::{MachineContext, Next};
use crate::message::{Request, Response};
use crate::timers::{T1, T2, TRANSACTION_TIMEOUT, Timer};

#[derive(Debug)]
enum State {
    /// No response yet.
    Trying { pause: Duration },
    /// A provisional response has arrived.
    Proceeding,
}

#[derive(Debug)]
pub(super) struct NonInviteClient {
    bytes: Vec<u8>,
    state: State,
}

impl NonInviteClient {
    pub(super) fn new(request: Request) -> Self {
        Self {
            bytes: request.to_bytes(),
            state: State::Trying { pause: T1 },
        }
    }

    pub(super) fn start(&mut self, context: &mut MachineContext<'_>) -> Next {
        context.send(&self.bytes);
        if !context.is_reliable() {
            context.set(Timer::E, T1);
        }
        context.set(Timer::F, TRANSACTION_TIMEOUT);
        Next::Stay
    }

    /// Handles the responses up to the final one.
    pub(super) fn handle_response(
        &mut self,
        response: &Response,
        context: &mut MachineContext<'_>,
    ) -> Next {
        if response.status < 200 {
            self.state = State::Proceeding;
            return Next::Stay;
        }
        if context.is_reliable() {
            return Next::Terminated;
        }
        // Retransmissions of the final response are absorbed.
        Next::Completed(Retransmission::Absorb)
    }

    pub(super) fn handle_timer(&mut self, timer: Timer, context: &mut MachineContext<'_>) -> Next {
        let pause = match (&mut self.state, timer) {
            (State::Trying { pause }, Timer::E) => {
                *pause = T2.min(*pause * 2);
                *pause
            }
            (State::Proceeding, Timer::E) => T2,
            _ => return Next::Terminated,
        };
        context.send(&self.bytes);
        context.set(Timer::E, pause);
        Next::Stay
    }
}
