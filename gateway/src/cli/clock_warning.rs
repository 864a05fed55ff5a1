//! The warning of a wrong clock, for commands that ask the phone book: what fails may follow from it.

use crate::clock;
use crate::net::book::BookClient;
use crate::stats::condition::Condition;

/// Logs, when the command ends in whatever way, that the phone book's answers showed this machine's clock to be wrong.
pub(super) struct ClockWarning(pub(super) BookClient);

impl Drop for ClockWarning {
    fn drop(&mut self) {
        let offset = self
            .0
            .clock_check()
            .map(|check| check.offset(clock::reading()));
        if let Some(condition) = offset.and_then(Condition::of_clock) {
            tracing::warn!("{}", condition.log_advice());
        }
    }
}
