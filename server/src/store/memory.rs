//! A store that forgets everything with the process: for simulations, demonstrations and tests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_book::blocks::{BLOCK_ROOTS, block_of, first_of_block};
use ringfence_book::code::CodeDigest;
use ringfence_book::keys::KEY_BYTES;
use ringfence_book::number::Number;

use super::{
    Archive, BookSeed, Closing, Edition, NumberCounts, NumberState, REST, Record, Revision,
    RootBytes, Row, Store, StoreError, StoredStep,
};

/// Everything in maps.
#[derive(Default)]
pub struct MemoryStore {
    seed_of_book: Option<BookSeed>,
    rows: BTreeMap<Number, Row>,
    waiting: BTreeMap<CodeDigest, (Number, u64)>,
    active: BTreeMap<Number, Owner>,
    retired: BTreeMap<Number, u64>,
    queue: Vec<Revision>,
    network: Vec<u8>,
    history: Arc<Mutex<History>>,
}

/// Who has a number, and by which code.
struct Owner {
    code: CodeDigest,
    identity: [u8; KEY_BYTES],
}

/// What was published, by epoch.
#[derive(Default)]
struct History {
    roots: BTreeMap<u32, RootBytes>,
    deltas: BTreeMap<u32, Vec<u8>>,
}

impl History {
    fn steps(&self, first: u32, last: u32) -> Vec<StoredStep> {
        let roots = self.roots.range(first..=last.max(first));
        let step = |(epoch, root): (&u32, &RootBytes)| StoredStep {
            epoch: *epoch,
            root: *root,
            delta: self.deltas.get(epoch).cloned(),
        };
        roots.map(step).collect()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self, number: Number, now: u64) -> Option<NumberState> {
        if self.active.contains_key(&number) {
            return Some(NumberState::Active);
        }
        let retired = self.retired.get(&number).copied();
        if let Some(since) = retired.filter(|since| since.saturating_add(REST) > now) {
            return Some(NumberState::Retired { since });
        }
        let mut waiting = self.waiting.values();
        let (_, until) = waiting.find(|(waits, until)| *waits == number && *until > now)?;
        Some(NumberState::Waiting { until: *until })
    }

    fn owner(&self, number: Number) -> Option<[u8; KEY_BYTES]> {
        self.active.get(&number).map(|owner| owner.identity)
    }

    /// The record that an owner last gave, published or not.
    fn record(&self, number: Number) -> Option<&Record> {
        let queued = self.queue.iter().find(|queued| queued.number == number);
        queued
            .map(|queued| &queued.record)
            .or_else(|| self.rows.get(&number).map(|row| &row.record))
    }

    /// Queues it, in the place of what already waits for the number. Answers the place, from 1.
    fn enqueue(&mut self, revision: Revision) -> u64 {
        let number = revision.number;
        match self.queue.iter_mut().find(|queued| queued.number == number) {
            Some(queued) => *queued = revision,
            None => self.queue.push(revision),
        }
        let waits = |queued: &&Revision| queued.number != number;
        1 + self.queue.iter().take_while(waits).count() as u64
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn seed_of_book(&mut self, proposal: &BookSeed) -> Result<BookSeed, StoreError> {
        Ok(self
            .seed_of_book
            .get_or_insert_with(|| proposal.clone())
            .clone())
    }

    fn span(&mut self) -> Result<Option<(Number, Number)>, StoreError> {
        let ends = (self.rows.keys().next(), self.rows.keys().next_back());
        let (Some(first), Some(last)) = ends else {
            return Ok(None);
        };
        Ok(Some((*first, *last)))
    }

    fn rows(&mut self, first: Number, last: Number) -> Result<Vec<Row>, StoreError> {
        let rows = self.rows.range(first..=last);
        Ok(rows.map(|(_, row)| row.clone()).collect())
    }

    fn fill(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for row in rows {
            self.rows.entry(row.number).or_insert_with(|| row.clone());
        }
        Ok(())
    }

    fn due(&mut self, now: u64, limit: u16) -> Result<Vec<Row>, StoreError> {
        let is_due = |row: &&Row| !row.listed && row.next.due <= now;
        let mut due: Vec<Row> = self.rows.values().filter(is_due).cloned().collect();
        due.sort_by_key(|row| row.next.due);
        due.truncate(usize::from(limit));
        Ok(due)
    }

    fn free(&mut self, now: u64) -> Result<Vec<Number>, StoreError> {
        let is_free = |number: &&Number| self.state(**number, now).is_none();
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
        let taken = self.waiting.contains_key(code) || self.state(number, now).is_some();
        if taken || !self.rows.contains_key(&number) {
            return Ok(false);
        }
        self.waiting.insert(*code, (number, expires));
        Ok(true)
    }

    fn redeem(
        &mut self,
        code: &CodeDigest,
        record: &Record,
        now: u64,
    ) -> Result<Option<Number>, StoreError> {
        let Some((number, expires)) = self.waiting.remove(code) else {
            let used = self
                .active
                .iter()
                .find(|(_, owner)| owner.code == *code)
                .map(|(number, _)| *number);
            return Ok(used.filter(|number| self.record(*number) == Some(record)));
        };
        if expires <= now {
            return Ok(None);
        }
        let owner = Owner {
            code: *code,
            identity: identity(record),
        };
        self.active.insert(number, owner);
        self.retired.remove(&number);
        self.enqueue(Revision {
            number,
            record: *record,
            listed: true,
            next: None,
        });
        Ok(Some(number))
    }

    fn listing(&mut self, number: Number) -> Result<Option<Record>, StoreError> {
        let is_owned = self.active.contains_key(&number);
        Ok(self.record(number).filter(|_| is_owned).copied())
    }

    fn rotate(&mut self, number: Number, record: &Record) -> Result<Option<u64>, StoreError> {
        if self.owner(number) != Some(identity(record)) {
            return Ok(None);
        }
        Ok(Some(self.enqueue(Revision {
            number,
            record: *record,
            listed: true,
            next: None,
        })))
    }

    fn retire(
        &mut self,
        owner: Option<&[u8; KEY_BYTES]>,
        decoy: &Revision,
        now: u64,
    ) -> Result<bool, StoreError> {
        let number = decoy.number;
        let has = self.owner(number);
        let may = match owner {
            Some(owner) => has.as_ref() == Some(owner),
            None => has.is_some(),
        };
        if !may {
            self.waiting.retain(|_, (_, expires)| *expires > now);
            let before = self.waiting.len();
            self.waiting
                .retain(|_, (waits, _)| owner.is_some() || *waits != number);
            return Ok(self.waiting.len() < before);
        }
        self.active.remove(&number);
        self.retired.insert(number, now);
        self.enqueue(decoy.clone());
        Ok(true)
    }

    fn queue(&mut self, limit: u16) -> Result<Vec<Revision>, StoreError> {
        Ok(self
            .queue
            .iter()
            .take(usize::from(limit))
            .cloned()
            .collect())
    }

    fn close(&mut self, closing: &Closing<'_>) -> Result<bool, StoreError> {
        {
            let mut history = self.history();
            let last = history.roots.keys().next_back().copied().unwrap_or(0);
            if closing.after != last || closing.epoch <= last {
                return Ok(false);
            }
            history.roots.insert(closing.epoch, *closing.root);
            if let Some(delta) = closing.delta {
                history.deltas.insert(closing.epoch, delta.to_vec());
            }
            history.deltas = history.deltas.split_off(&closing.keep_from);
        }
        self.network = closing.network.to_vec();
        for revision in closing.revisions {
            self.queue.retain(|queued| {
                (queued.number, queued.record) != (revision.number, revision.record)
            });
            if let Some(row) = self.rows.get_mut(&revision.number) {
                row.record = revision.record;
                row.listed = revision.listed;
                row.epoch = closing.epoch;
                row.next = revision.next.unwrap_or(row.next);
            }
        }
        Ok(true)
    }

    fn last_root(&mut self) -> Result<Option<RootBytes>, StoreError> {
        let history = self.history();
        Ok(history.roots.last_key_value().map(|(_, root)| *root))
    }

    fn edition(&mut self, after: u32) -> Result<Option<Edition>, StoreError> {
        let history = self.history();
        let Some((epoch, root)) = history.roots.last_key_value() else {
            return Ok(None);
        };
        if *epoch <= after {
            return Ok(None);
        }
        let changed = |row: &&Row| row.epoch > after;
        Ok(Some(Edition {
            root: *root,
            network: self.network.clone(),
            rows: self.rows.values().filter(changed).cloned().collect(),
            block: history.steps(
                first_of_block(block_of(*epoch, BLOCK_ROOTS), BLOCK_ROOTS),
                *epoch,
            ),
        }))
    }

    fn number_counts(&mut self, now: u64) -> Result<NumberCounts, StoreError> {
        let mut counts = NumberCounts {
            queued: self.queue.len() as u64,
            ..NumberCounts::default()
        };
        for number in self.rows.keys() {
            match self.state(*number, now) {
                None => counts.free += 1,
                Some(NumberState::Waiting { .. }) => counts.waiting += 1,
                Some(NumberState::Active) => counts.active += 1,
                Some(NumberState::Retired { .. }) => counts.retired += 1,
            }
        }
        Ok(counts)
    }

    fn states(
        &mut self,
        from: Number,
        limit: u32,
        now: u64,
    ) -> Result<Vec<(Number, NumberState)>, StoreError> {
        let numbers = self.rows.range(from..).map(|(number, _)| *number);
        let known = numbers.filter_map(|number| Some((number, self.state(number, now)?)));
        Ok(known.take(limit as usize).collect())
    }

    fn archive(&mut self) -> Result<Box<dyn Archive>, StoreError> {
        Ok(Box::new(MemoryArchive(Arc::clone(&self.history))))
    }
}

struct MemoryArchive(Arc<Mutex<History>>);

impl Archive for MemoryArchive {
    fn roots(&mut self, first: u32, last: u32) -> Result<Vec<RootBytes>, StoreError> {
        let history = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let roots = history.roots.range(first..=last.max(first));
        Ok(roots.map(|(_, root)| *root).collect())
    }

    fn steps(&mut self, first: u32, last: u32) -> Result<Vec<StoredStep>, StoreError> {
        let history = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(history.steps(first, last))
    }
}

/// The identity key that an encoded listing begins with.
fn identity(record: &Record) -> [u8; KEY_BYTES] {
    let (identity, _) = record
        .split_first_chunk()
        .expect("a record is longer than a key");
    *identity
}
