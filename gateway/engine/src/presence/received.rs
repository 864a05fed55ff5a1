//! The receiver's half: what was heard of others, until it is too old to be believed.
//!
//! Only words of pinned contacts are kept, the newest of each; a word that is not newer than the last one is a repeat. All of it is
//! forgotten with the process: whoever still shares is heard of again within a round.

use std::collections::BTreeMap;
use std::time::Instant;

use ringfence_book::{IdentityKey, Number};

use crate::sealed::presence::{Presence, Word};
use crate::time::UnixTime;

/// Words in memory: the oldest goes.
const MOST_HEARD: usize = 256;

/// What was heard, by own line and number.
#[derive(Debug, Default)]
pub(crate) struct Heard(BTreeMap<(Number, Number), Entry>);

#[derive(Debug)]
struct Entry {
    identity: IdentityKey,
    presence: Presence,
    dated: UnixTime,
    until: Instant,
}

impl Heard {
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.0.values().map(|entry| entry.until).min()
    }

    pub(super) fn forget_expired(&mut self, now: Instant) {
        self.0.retain(|_, entry| now < entry.until);
    }

    /// The newest report of a number to a line, with the identity that sent it.
    pub(super) fn of(&self, line: Number, number: Number) -> Option<(IdentityKey, Presence)> {
        let report = self.0.get(&(line, number))?;
        Some((report.identity, report.presence))
    }

    pub(super) fn keep(&mut self, line: Number, word: &Word, until: Instant) {
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
