//! Unsolicited NOTIFY of waiting messages (RFC 3842) for phones that never subscribe: sent when the count changes, and when a
//! phone registers while something waits.

use std::time::Instant;

use ringfence_sip as sip;

use super::Subscriptions;
use super::document::summary;
use crate::config::UnsolicitedMwi;
use crate::environment::Environment;
use crate::line::saved_state::MessagesWaiting;

impl Subscriptions {
    /// True if a phone may have been told something.
    pub(super) fn notify_unsolicited(&mut self, env: &mut Environment, now: Instant) -> bool {
        let whom = match env.config.unsolicited_mwi {
            UnsolicitedMwi::Auto => sip::UnsolicitedPolicy::AllowEvents,
            UnsolicitedMwi::Always => sip::UnsolicitedPolicy::All,
            UnsolicitedMwi::Never => return false,
        };
        // Asked after every input, so that the counts are made only when something can have changed.
        let has_joined = std::mem::take(&mut self.has_joined);
        if !has_joined && !env.saved.is_changed() {
            return false;
        }
        let mut changed = false;
        for (index, line) in env.lines.iter().enumerate() {
            let news = env.saved.state().news(line.number);
            let told = self.unsolicited.insert(index, news);
            if told.unwrap_or_default() != news {
                let word = (sip::Package::MessageSummary, &summary(news));
                env.agent
                    .notify_unsolicited(&line.account.user, word, whom, now);
                changed = true;
            }
        }
        changed
    }

    /// A phone registered for a line: if something waits, it is told so.
    pub(crate) fn handle_phone_joined(&mut self, user: &sip::User, env: &Environment) {
        let line = env.lines.of_user(user);
        if let Some(told) = line.and_then(|line| self.unsolicited.get_mut(&line)) {
            *told = MessagesWaiting::default();
        }
        self.has_joined = true;
    }
}
