//! When the restart state is to be saved: at once after what a restart would notice, and within half a minute after what it would
//! hardly notice, so that phones that refresh their bindings do not keep a disk busy.

use std::time::{Duration, Instant};

use crate::time::Timer;

/// The longest that a small change waits: a binding that was refreshed, or registered again from the same place.
const LAZY: Duration = Duration::from_secs(30);

/// How often the state is saved while a call lives and nothing changes: its endings say when the call was last known to live.
const HEARTBEAT: Duration = Duration::from_secs(5 * 60);

/// What has changed since the state was last saved.
#[derive(Debug, Default)]
pub(crate) struct RestartKeeper {
    is_changed: bool,
    /// When the state is saved at the latest, though nothing has changed that must not wait.
    due: Option<Instant>,
}

impl RestartKeeper {
    /// Something has changed that the next process must know.
    pub(crate) fn note_change(&mut self) {
        self.is_changed = true;
    }

    /// Something has changed that can wait.
    pub(crate) fn note_small_change(&mut self, now: Instant) {
        self.save_by(now + LAZY);
    }

    /// Whether the state is to be saved now. `lives` says whether a call does.
    pub(crate) fn take_due(&mut self, lives: bool, now: Instant) -> bool {
        let is_due = self.is_changed || self.due.is_some_and(|at| at <= now);
        if is_due {
            *self = Self::default();
        }
        if lives {
            self.save_by(now + HEARTBEAT);
        }
        is_due
    }

    pub(crate) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        Some((self.due?, Timer::RestartState))
    }

    fn save_by(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_saved_at_once_and_a_small_one_within_half_a_minute() {
        let start = some_instant();
        let mut keeper = RestartKeeper::default();
        assert!(!keeper.take_due(false, start));
        keeper.note_change();
        assert!(keeper.take_due(false, start));
        assert!(!keeper.take_due(false, start), "it was saved");
        keeper.note_small_change(start);
        keeper.note_small_change(start + LAZY / 2);
        assert!(!keeper.take_due(false, start + LAZY / 2));
        assert!(keeper.take_due(false, start + LAZY));
        assert_eq!(keeper.next_timeout(), None);
    }

    #[test]
    fn while_a_call_lives_the_state_is_saved_every_five_minutes() {
        let start = some_instant();
        let mut keeper = RestartKeeper::default();
        assert!(!keeper.take_due(true, start));
        assert_eq!(
            keeper.next_timeout(),
            Some((start + HEARTBEAT, Timer::RestartState))
        );
        assert!(!keeper.take_due(true, start + HEARTBEAT / 2));
        assert!(keeper.take_due(true, start + HEARTBEAT));
        assert_eq!(
            keeper.next_timeout(),
            Some((start + 2 * HEARTBEAT, Timer::RestartState))
        );
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn some_instant() -> Instant {
        Instant::now()
    }
}
