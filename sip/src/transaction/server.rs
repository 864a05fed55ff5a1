//! A phone's request other than INVITE (RFC 3261 section 17.2.2).

use super::machine::{After, Reach};
use crate::timers::{PATIENCE, Timer};

#[derive(Debug)]
enum State {
    /// No answer yet: a repeat is swallowed.
    Trying,
    /// The last provisional answer is given again to a repeat.
    Proceeding(Vec<u8>),
    /// The final answer is given again to a repeat.
    Completed(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Server {
    state: State,
}

impl Server {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Trying,
        }
    }

    pub(super) fn handle_repeat(&mut self, reach: &mut Reach<'_>) -> After {
        match &self.state {
            State::Trying => {}
            State::Proceeding(bytes) | State::Completed(bytes) => reach.send(bytes),
        }
        After::Stay
    }

    pub(super) fn respond(&mut self, status: u16, bytes: Vec<u8>, reach: &mut Reach<'_>) -> After {
        if matches!(self.state, State::Completed(_)) {
            return After::Stay;
        }
        reach.send(&bytes);
        if status < 200 {
            self.state = State::Proceeding(bytes);
            return After::Stay;
        }
        if reach.is_reliable() {
            return After::Over;
        }
        reach.set(Timer::J, PATIENCE);
        self.state = State::Completed(bytes);
        After::Stay
    }
}
