//! Whether a relay brings this engine's envelopes, with patience for connections that are just being made anew: after a sleep, or when a
//! relay starts again, a person who dials at that moment need not be refused. A relay is back in that time, or the ring is not taken.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::RelayState;

/// How long relays may be without a confirmed subscription before no call is placed. A callee takes about as long to pick up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches whether a relay listens for this engine.
#[derive(Debug)]
pub struct ListeningWatch {
    state: watch::Receiver<RelayState>,
    /// When a relay was last seen to listen, or the relays were connected.
    last: Instant,
}

impl ListeningWatch {
    /// Watches relays that begin to connect at `now`.
    #[must_use]
    pub fn new(state: watch::Receiver<RelayState>, now: Instant) -> Self {
        Self { state, last: now }
    }

    /// Whether a relay listens, or did so within the last five seconds.
    pub fn is_listening(&mut self, now: Instant) -> bool {
        if self.state.borrow().listening > 0 {
            self.last = now;
        }
        now.saturating_duration_since(self.last) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn relays_that_are_dialled_anew_have_five_seconds() {
        let start = clock::now();
        let (shown, state) = watch::channel(RelayState::default());
        let mut watch = ListeningWatch::new(state, start);
        assert!(watch.is_listening(start), "they are just connecting");
        assert!(!watch.is_listening(start + PATIENCE));
        let listens = |listening| RelayState {
            listening,
            ..RelayState::default()
        };
        shown.send_replace(listens(1));
        let later = start + 10 * PATIENCE;
        assert!(watch.is_listening(later));
        shown.send_replace(listens(0));
        assert!(watch.is_listening(later + PATIENCE / 2));
        assert!(!watch.is_listening(later + PATIENCE));
    }
}
