//! The receiver's half: what was heard of others, until it is too old to be believed.
//!
//! Only words of pinned contacts are kept, the newest of each; a word that is not newer than the last one is a repeat. All of it is
//! forgotten with the process: whoever still shares is heard of again within a round.

use std::collections::BTreeMap;
use std::time::Instant;

use ringfence_phonebook::{IdentityKey, Number};

use super::{GOOD_FOR, Presence, Word};
use crate::engine::Engine;
use crate::sealed::note::opening::Sender;
use crate::time::UnixTime;
use crate::trust::contacts::Standing;

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

    fn keep(&mut self, line: Number, word: &Word, until: Instant) {
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

impl Engine {
    /// A verified word of presence came. Whoever it is from cannot tell what becomes of it.
    pub(crate) fn handle_presence(&mut self, line: usize, word: Word, now: Instant) {
        let Some(line) = self.lines.get(line).map(|line| line.number) else {
            return;
        };
        let sender = Sender {
            number: word.number,
            identity: word.identity,
        };
        let contacts = self.address_book.contacts();
        let standing = contacts.standing(word.number, &word.identity);
        if standing == Standing::Unknown || !self.is_welcome(line, sender, now) {
            return;
        }
        let age = self.wall(now).millis().saturating_sub(word.dated.millis());
        let left = GOOD_FOR.saturating_sub(std::time::Duration::from_millis(age));
        self.presence.heard.keep(line, &word, now + left);
    }

    /// How a number stands, as far as a line may know; `None`, "offline", whatever the reason.
    pub(crate) fn presence_heard(&self, line: Number, number: Number) -> Option<Presence> {
        let entry = self.presence.heard.0.get(&(line, number))?;
        let contacts = self.address_book.contacts();
        let is_pinned = contacts.standing(number, &entry.identity) == Standing::Pinned;
        let is_blocked = self.ledger.is_blocked(line, number);
        (is_pinned && !is_blocked).then_some(entry.presence)
    }
}
