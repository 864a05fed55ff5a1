//! Replay memory: what was accepted is not accepted again (PROTOCOL.md section 5).
//!
//! [`Records`] keep the newest names of each sender, and what is not newer than one that was forgotten counts as seen. A sender is a
//! number of this engine's own copy of the phone book, verified, so that nothing that others send takes room from it: no message is
//! refused because a memory is full, and no replay passes because one was filled.
//!
//! Rings are kept here and die with the process: for [`SETTLING`] after its start an engine refuses rings that are dated before
//! it. Notes are kept in what is saved ([`crate::line::saved_state`]), since relays give them out for a week.
//!
//! Spent proofs of work, and cancels that came before their ring, belong to no sender: when there are too many, the oldest goes.
//! To use one proof twice, a flooder has to make [`PROOFS`] others first; a lost cancel only means that a phone rings until its
//! own time is over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use ringfence_book::Number;

use crate::sealed::envelope::EventKey;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::ring::RingId;
use crate::time::{Moment, UnixTime};

/// The newest `MOST` names of each sender.
#[derive(Clone, PartialEq, Eq)]
pub struct Records<T, const MOST: usize> {
    senders: BTreeMap<Number, SenderRecord<T>>,
    /// The same for senders that have no record any more.
    forgotten: UnixTime,
}

/// The newest names of one sender.
#[derive(Clone, PartialEq, Eq)]
pub struct SenderRecord<T> {
    /// With their dates, the oldest first.
    pub names: Vec<(UnixTime, T)>,
    /// What is dated up to this counts as seen.
    pub forgotten: UnixTime,
}

impl<T: Copy + PartialEq, const MOST: usize> Records<T, MOST> {
    /// Whether this name of a sender was added, or is as old as one that was forgotten.
    #[must_use]
    pub fn knows(&self, sender: Number, (dated, name): (UnixTime, T)) -> bool {
        dated <= self.forgotten
            || self.senders.get(&sender).is_some_and(|record| {
                dated <= record.forgotten || record.names.iter().any(|(_, known)| *known == name)
            })
    }

    /// Adds a verified name, once. No other sender's is touched, unless there are more than [`SENDERS`].
    pub fn add(&mut self, sender: Number, (dated, name): (UnixTime, T)) {
        if self.knows(sender, (dated, name)) {
            return;
        }
        if self.senders.len() >= SENDERS && !self.senders.contains_key(&sender) {
            let newest = |record: &SenderRecord<T>| record.names.last().map(|(dated, _)| *dated);
            let oldest = self.senders.iter().min_by_key(|(_, record)| newest(record));
            if let Some((gone, dated)) = oldest.map(|(gone, record)| (*gone, newest(record))) {
                self.senders.remove(&gone);
                self.forgotten = self.forgotten.max(dated.unwrap_or_default());
            }
        }
        let record = self.senders.entry(sender).or_default();
        let place = record.names.partition_point(|(other, _)| *other <= dated);
        record.names.insert(place, (dated, name));
        if record.names.len() > MOST {
            let (dated, _) = record.names.remove(0);
            record.forgotten = record.forgotten.max(dated);
        }
    }

    /// Takes a name out again: what it stood for was not kept.
    pub(crate) fn remove(&mut self, sender: Number, name: T) {
        if let Some(record) = self.senders.get_mut(&sender) {
            record.names.retain(|(_, known)| *known != name);
        }
    }

    /// Drops the records in which everything is dated before `date`: it would be refused for its age alone.
    pub(crate) fn forget_before(&mut self, date: UnixTime) {
        self.senders.retain(|_, record| {
            record.forgotten >= date || record.names.iter().any(|(dated, _)| *dated >= date)
        });
    }

    /// The records, by rising number, to be saved.
    pub fn iter(&self) -> impl Iterator<Item = (Number, &SenderRecord<T>)> {
        self.senders
            .iter()
            .map(|(sender, record)| (*sender, record))
    }

    /// Up to when everything of a sender without a record counts as seen.
    #[must_use]
    pub fn forgotten(&self) -> UnixTime {
        self.forgotten
    }

    /// Everything of this sender, or of all without a record, counts as seen up to this date: as it was saved.
    pub fn forget(&mut self, sender: Option<Number>, dated: UnixTime) {
        match sender {
            Some(sender) => self.senders.entry(sender).or_default().forgotten = dated,
            None => self.forgotten = dated,
        }
    }
}

impl<T, const MOST: usize> Default for Records<T, MOST> {
    fn default() -> Self {
        Self {
            senders: BTreeMap::new(),
            forgotten: UnixTime::default(),
        }
    }
}

impl<T> Default for SenderRecord<T> {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            forgotten: UnixTime::default(),
        }
    }
}

impl<T> fmt::Debug for SenderRecord<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SenderRecord(..)")
    }
}

impl<T, const MOST: usize> fmt::Debug for Records<T, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} senders)", self.senders.len())
    }
}

/// What this engine has already accepted, but notes.
pub struct ReplayMemory {
    started: Moment,
    rings: Records<RingId, RINGS>,
    spent: BTreeSet<EventKey>,
    spent_order: VecDeque<EventKey>,
    cancelled: VecDeque<RingId>,
}

impl ReplayMemory {
    /// Empty memory of an engine that starts.
    #[must_use]
    pub fn new(started: Moment) -> Self {
        Self {
            started,
            rings: Records::default(),
            spent: BTreeSet::new(),
            spent_order: VecDeque::new(),
            cancelled: VecDeque::new(),
        }
    }

    /// Spends the proof of work of one event: a second envelope under the same event key is refused.
    ///
    /// Call it after the event's own signature was verified and [`crate::sealed::proof_of_work::check`] passed; otherwise
    /// a sender could spend a proof that is not its own.
    ///
    /// # Errors
    /// [`EnvelopeError::ProofSpent`].
    pub fn spend(&mut self, event_key: EventKey) -> Result<(), EnvelopeError> {
        if !self.spent.insert(event_key) {
            return Err(EnvelopeError::ProofSpent);
        }
        self.spent_order.push_back(event_key);
        if self.spent_order.len() > PROOFS
            && let Some(oldest) = self.spent_order.pop_front()
        {
            self.spent.remove(&oldest);
        }
        Ok(())
    }

    /// The envelope under this event key was not looked at: it may come again.
    pub(crate) fn return_proof(&mut self, event_key: &EventKey) {
        self.spent.remove(event_key);
    }

    /// Lets a verified ring in, once.
    pub(crate) fn admit(
        &mut self,
        caller: Number,
        (dated, id): (UnixTime, RingId),
        arrival: Moment,
    ) -> Result<(), EnvelopeError> {
        let settling = arrival.now.saturating_duration_since(self.started.now) < SETTLING;
        if settling && dated < self.started.wall {
            return Err(EnvelopeError::Stale);
        }
        if self.cancelled.contains(&id) || self.rings.knows(caller, (dated, id)) {
            return Err(EnvelopeError::Replay);
        }
        self.rings.add(caller, (dated, id));
        Ok(())
    }

    /// Remembers a cancel whose ring may not have come, so that the ring does not start a phone afterwards.
    pub(crate) fn cancel(&mut self, id: RingId) {
        if self.cancelled.contains(&id) {
            return;
        }
        if self.cancelled.len() >= EARLY_CANCELS {
            self.cancelled.pop_front();
        }
        self.cancelled.push_back(id);
    }
}

impl fmt::Debug for ReplayMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplayMemory({} proofs)", self.spent.len())
    }
}

/// How long after its start an engine refuses rings dated before it: twice the 60 s for which a ring is good.
pub const SETTLING: Duration = Duration::from_secs(120);

/// Rings of one sender in memory: one that is as old as the eighth of the same minute is none that a person still waits for.
pub const RINGS: usize = 8;

/// Senders in memory, those of notes within a week. One more pushes out the one that was silent for longest, and up to its date
/// whatever comes from a sender without a record counts as seen.
pub const SENDERS: usize = 2_048;

/// Proofs of work in memory: a minute and a half of the 150 envelopes a second that 1 % of a core can try; about 1 MB.
pub const PROOFS: usize = 16_384;

/// Cancels in memory: a relay reorders a handful, not more.
pub const EARLY_CANCELS: usize = 64;

#[cfg(test)]
mod tests;
