//! Replay memory.

use std::time::Instant;

use crate::envelope::EventKey;
use crate::rejected::Rejected;

/// What this engine has already accepted.
#[derive(Debug, Default)]
pub struct Seen {}

impl Seen {
    /// Empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spends the stamp of one event: the second envelope under the same event key is refused.
    pub fn spend(&mut self, _event_key: EventKey, _now: Instant) -> Result<(), Rejected> {
        unimplemented!()
    }

    /// Forgets what is too old to be replayed.
    pub fn handle_timeout(&mut self, _now: Instant) {
        unimplemented!()
    }

    /// When [`Self::handle_timeout`] has something to forget.
    #[must_use]
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        unimplemented!()
    }
}
