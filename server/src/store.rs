//! What the book needs kept, as a trait, and the store that keeps it in memory. Each method is one transaction: it happened whole
//! or not at all, whoever is killed when. No decision is taken here beyond the conditions that must hold inside a transaction.

#[cfg(feature = "service")]
pub mod sqlite;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use crate::admin::TokenDigest;
use crate::code::CodeDigest;
use crate::listing::LISTING_BYTES;
use crate::number::Number;

/// What a book is born with and never changes.
#[derive(Clone)]
pub struct Charter {
    /// From which the book's keys are derived.
    pub seed: Zeroizing<[u8; 32]>,
    /// What the operator's token hashes to.
    pub admin: TokenDigest,
}

impl fmt::Debug for Charter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Charter(..)")
    }
}

/// A number's record as it is stored, assigned or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number.
    pub number: Number,
    /// An encoded listing.
    pub record: [u8; LISTING_BYTES],
    /// When it last changed: 0 at birth, then a count that only rises.
    pub change: u64,
}

/// The store failed; nothing happened.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum StoreError {
    /// The database did not do what it was asked.
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// What the database holds was not written by this program.
    #[error("the database holds something that is no {0}")]
    Corrupt(&'static str),
}

/// Where a book keeps what must outlive the process. Times are Unix seconds.
pub trait Store: Send {
    /// Keeps the proposal if there is no charter yet, and answers the charter that holds.
    ///
    /// # Errors
    /// [`StoreError`], as all methods.
    fn charter(&mut self, proposal: &Charter) -> Result<Charter, StoreError>;

    /// Gives each of these numbers its record, unless it has one already.
    ///
    /// # Errors
    /// [`StoreError`].
    fn fill(&mut self, records: &[(Number, [u8; LISTING_BYTES])]) -> Result<(), StoreError>;

    /// All rows that changed after this change (`None`: all there are).
    ///
    /// # Errors
    /// [`StoreError`].
    fn rows(&mut self, after: Option<u64>) -> Result<Vec<Row>, StoreError>;

    /// The numbers that are neither active nor waiting for a code that is still good.
    ///
    /// # Errors
    /// [`StoreError`].
    fn free(&mut self, now: u64) -> Result<Vec<Number>, StoreError>;

    /// Lets the number wait for this code, good before `expires`. False: the number is not free (any more), or another waits for
    /// the code.
    ///
    /// # Errors
    /// [`StoreError`].
    fn issue(
        &mut self,
        number: Number,
        code: &CodeDigest,
        now: u64,
        expires: u64,
    ) -> Result<bool, StoreError>;

    /// Uses the code up: its number becomes active with this record. `None`: no such code (any more).
    /// The same code with the same record once more answers the same number and changes nothing, so that an answer lost on its
    /// way can be asked for again.
    ///
    /// # Errors
    /// [`StoreError`].
    fn redeem(
        &mut self,
        code: &CodeDigest,
        record: &[u8; LISTING_BYTES],
        now: u64,
    ) -> Result<Option<Number>, StoreError>;
}

impl Store for Box<dyn Store> {
    fn charter(&mut self, proposal: &Charter) -> Result<Charter, StoreError> {
        (**self).charter(proposal)
    }

    fn fill(&mut self, records: &[(Number, [u8; LISTING_BYTES])]) -> Result<(), StoreError> {
        (**self).fill(records)
    }

    fn rows(&mut self, after: Option<u64>) -> Result<Vec<Row>, StoreError> {
        (**self).rows(after)
    }

    fn free(&mut self, now: u64) -> Result<Vec<Number>, StoreError> {
        (**self).free(now)
    }

    fn issue(
        &mut self,
        number: Number,
        code: &CodeDigest,
        now: u64,
        expires: u64,
    ) -> Result<bool, StoreError> {
        (**self).issue(number, code, now, expires)
    }

    fn redeem(
        &mut self,
        code: &CodeDigest,
        record: &[u8; LISTING_BYTES],
        now: u64,
    ) -> Result<Option<Number>, StoreError> {
        (**self).redeem(code, record, now)
    }
}

/// A store that forgets everything with the process: for simulations and tests.
#[derive(Default)]
pub struct MemoryStore {
    charter: Option<Charter>,
    rows: BTreeMap<Number, Row>,
    waiting: BTreeMap<CodeDigest, (Number, u64)>,
    active: BTreeMap<Number, CodeDigest>,
    last_change: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn charter(&mut self, proposal: &Charter) -> Result<Charter, StoreError> {
        Ok(self.charter.get_or_insert_with(|| proposal.clone()).clone())
    }

    fn fill(&mut self, records: &[(Number, [u8; LISTING_BYTES])]) -> Result<(), StoreError> {
        for (number, record) in records {
            self.rows.entry(*number).or_insert(Row {
                number: *number,
                record: *record,
                change: 0,
            });
        }
        Ok(())
    }

    fn rows(&mut self, after: Option<u64>) -> Result<Vec<Row>, StoreError> {
        let changed = |row: &&Row| after.is_none_or(|after| row.change > after);
        Ok(self.rows.values().filter(changed).cloned().collect())
    }

    fn free(&mut self, now: u64) -> Result<Vec<Number>, StoreError> {
        let waiting: BTreeSet<Number> = self
            .waiting
            .values()
            .filter(|(_, expires)| *expires > now)
            .map(|(number, _)| *number)
            .collect();
        let is_free =
            |number: &&Number| !waiting.contains(number) && !self.active.contains_key(number);
        Ok(self.rows.keys().filter(is_free).copied().collect())
    }

    fn issue(
        &mut self,
        number: Number,
        code: &CodeDigest,
        now: u64,
        expires: u64,
    ) -> Result<bool, StoreError> {
        self.waiting.retain(|_, (_, expires)| *expires > now);
        let taken = self.active.contains_key(&number)
            || self.waiting.contains_key(code)
            || self.waiting.values().any(|(other, _)| *other == number);
        if taken || !self.rows.contains_key(&number) {
            return Ok(false);
        }
        self.waiting.insert(*code, (number, expires));
        Ok(true)
    }

    fn redeem(
        &mut self,
        code: &CodeDigest,
        record: &[u8; LISTING_BYTES],
        now: u64,
    ) -> Result<Option<Number>, StoreError> {
        let Some((number, expires)) = self.waiting.remove(code) else {
            let used = self
                .active
                .iter()
                .find(|(_, used)| *used == code)
                .map(|(number, _)| *number);
            let same = |number: &Number| {
                self.rows
                    .get(number)
                    .is_some_and(|row| row.record == *record)
            };
            return Ok(used.filter(same));
        };
        if expires <= now {
            return Ok(None);
        }
        self.last_change += 1;
        self.rows.insert(
            number,
            Row {
                number,
                record: *record,
                change: self.last_change,
            },
        );
        self.active.insert(number, *code);
        Ok(Some(number))
    }
}
