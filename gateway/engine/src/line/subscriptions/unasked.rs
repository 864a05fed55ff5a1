//! The lamp of waiting messages for phones that never subscribe to it: told when it changes, and when a phone joins while
//! something waits.

use std::time::Instant;

use ringfence_sip as sip;

use super::document::summary;
use crate::engine::Engine;
use crate::line::saved_state::News;

/// Which phones are told of waiting messages without having subscribed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnaskedLamps {
    /// Those that list `message-summary` in Allow-Events when they register, until they refuse it.
    #[default]
    Auto,
    /// All, until they refuse it.
    Always,
    /// None.
    Never,
}

impl Engine {
    /// True if somebody may have been told something.
    pub(super) fn tell_unasked(&mut self, now: Instant) -> bool {
        let whom = match self.config.unasked_lamps {
            UnaskedLamps::Auto => sip::UnsolicitedPolicy::AllowEvents,
            UnaskedLamps::Always => sip::UnsolicitedPolicy::All,
            UnaskedLamps::Never => return false,
        };
        // Asked after every input, so only looked at when something can have changed.
        let has_joined = std::mem::take(&mut self.lamps.has_joined);
        if !has_joined && !self.ledger_changed {
            return false;
        }
        let mut changed = false;
        for (index, line) in self.lines.iter().enumerate() {
            let news = self.ledger.news(line.number);
            let told = self.lamps.told.insert(index, news);
            if told.unwrap_or_default() != news {
                let word = (sip::Package::MessageSummary, &summary(news));
                self.agent
                    .notify_unsolicited(&line.account.user, word, whom, now);
                changed = true;
            }
        }
        changed
    }

    /// A phone joined a line: if something waits, it is told so.
    pub(crate) fn forget_told(&mut self, user: &sip::User) {
        let line = self
            .lines
            .iter()
            .position(|line| line.account.user == *user);
        if let Some(told) = line.and_then(|line| self.lamps.told.get_mut(&line)) {
            *told = News::default();
        }
        self.lamps.has_joined = true;
    }
}
