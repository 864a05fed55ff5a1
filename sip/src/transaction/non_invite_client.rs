//! Our request other than INVITE (RFC 3261 section 17.1.2).

use std::time::Duration;

use super::completed::Again;
use super::machine::{After, Reach};
use crate::message::{Request, Response};
use crate::timers::{PATIENCE, T1, T2, Timer};

#[derive(Debug)]
enum State {
    /// No answer at all yet.
    Trying { pause: Duration },
    /// A provisional answer is here.
    Proceeding,
}

#[derive(Debug)]
pub(super) struct Client {
    bytes: Vec<u8>,
    state: State,
}

impl Client {
    pub(super) fn new(request: Request) -> Self {
        Self {
            bytes: request.to_bytes(),
            state: State::Trying { pause: T1 },
        }
    }

    pub(super) fn start(&mut self, reach: &mut Reach<'_>) -> After {
        reach.send(&self.bytes);
        if !reach.is_reliable() {
            reach.set(Timer::E, T1);
        }
        reach.set(Timer::F, PATIENCE);
        After::Stay
    }

    /// Every response is news; says whether the machine goes on.
    pub(super) fn handle_response(&mut self, response: &Response, reach: &mut Reach<'_>) -> After {
        if response.status < 200 {
            self.state = State::Proceeding;
            return After::Stay;
        }
        if reach.is_reliable() {
            return After::Over;
        }
        // Repeats of the final answer are swallowed.
        After::Kept(Again::Silence)
    }

    pub(super) fn handle_timer(&mut self, timer: Timer, reach: &mut Reach<'_>) -> After {
        let pause = match (&mut self.state, timer) {
            (State::Trying { pause }, Timer::E) => {
                *pause = T2.min(*pause * 2);
                *pause
            }
            (State::Proceeding, Timer::E) => T2,
            _ => return After::Over,
        };
        reach.send(&self.bytes);
        reach.set(Timer::E, pause);
        After::Stay
    }
}
