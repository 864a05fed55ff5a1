//! The warning of a wrong clock, for commands that ask the phone book: what fails may follow from it.

use crate::net::book::BookClient;
use crate::stats::condition::Condition;

/// Logs, when the command ends in whatever way, that the phone book's answers showed this machine's clock to be wrong.
pub(super) struct ClockWarning(pub(super) BookClient);

impl Drop for ClockWarning {
    fn drop(&mut self) {
        if let Some(condition) = Condition::of_clock(self.0.clock_check()) {
            tracing::warn!("{}", condition.log_advice());
        }
    }
}
