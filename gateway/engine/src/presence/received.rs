//! The receiver's half: the reports of contacts, until they are too old to be shown.
//!
//! Only reports of pinned contacts are kept, the newest of each; one that is not newer than the last is a repeat. All of it is
//! forgotten with the process: a contact that still shares reports again within a round.

use std::collections::BTreeMap;
use std::time::Instant;

use ringfence_book::{IdentityKey, Number};

use crate::sealed::presence::{PresenceReport, PresenceStatus};
use crate::time::UnixTime;

/// Reports in memory: the oldest goes.
const MOST_HEARD: usize = 256;

/// The reports, by own line and number.
#[derive(Debug, Default)]
pub(crate) struct ReceivedReports(BTreeMap<(Number, Number), Entry>);

#[derive(Debug)]
struct Entry {
    identity: IdentityKey,
    presence: PresenceStatus,
    dated: UnixTime,
    until: Instant,
}

impl ReceivedReports {
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.0.values().map(|entry| entry.until).min()
    }

    pub(super) fn forget_expired(&mut self, now: Instant) {
        self.0.retain(|_, entry| now < entry.until);
    }

    /// The newest report of a number to a line, with the identity that sent it.
    pub(super) fn of(&self, line: Number, number: Number) -> Option<(IdentityKey, PresenceStatus)> {
        let report = self.0.get(&(line, number))?;
        Some((report.identity, report.presence))
    }

    pub(super) fn keep(&mut self, line: Number, word: &PresenceReport, until: Instant) {
        let key = (line, word.number);
        if self
            .0
            .get(&key)
            .is_some_and(|last| word.dated <= last.dated)
        {
            return;
        }
        if self.0.len() >= MOST_HEARD && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, entry)| entry.until);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.0.remove(&oldest);
            }
        }
        let entry = Entry {
            identity: word.identity,
            presence: word.presence,
            dated: word.dated,
            until,
        };
        self.0.insert(key, entry);
    }
}
