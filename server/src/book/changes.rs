//! What changes in an epoch: what waits, then decoys whose turn it is by the law of [`ringfence_book::rotation`], then any records as they are, so
//! that the length tells nothing and a repeat is as likely for an assigned number as for any other.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use ringfence_book::listing::{Listing, first_serial};
use ringfence_book::number::{Number, NumberPlan};
use ringfence_book::rotation::{IDENTITY_LIFE, RING_KEY_LIFE, comes_within};

use super::Book;
use crate::book::published::Published;
use crate::store::{Record, Revision, StoreError};

/// Decoys that are due and found no room yet: after a pause of the server there are more than one epoch takes. Forgotten with the
/// process, which costs a little of the law and nothing else.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Those that get another ring key, and whether another identity too.
    due: Vec<(Number, bool)>,
}

impl Turns {
    /// Draws who is due after so much more time, any number but these.
    fn draw(
        &mut self,
        numbers: impl Iterator<Item = Number>,
        elapsed: Duration,
        rng: &mut ChaCha20Rng,
    ) {
        let mut known: BTreeSet<Number> = self.due.iter().map(|(number, _)| *number).collect();
        for number in numbers {
            let is_reset = comes_within(elapsed, IDENTITY_LIFE, rng);
            let is_due = comes_within(elapsed, RING_KEY_LIFE, rng) || is_reset;
            if is_due && known.insert(number) {
                self.due.push((number, is_reset));
            }
        }
    }
}

impl Book {
    /// What changes in the epoch that ends now, so long after the one before.
    pub(super) fn revisions(
        &mut self,
        grown: &Published,
        elapsed: Duration,
    ) -> Result<Vec<Revision>, StoreError> {
        let plan = grown.plan();
        let wanted = usize::from(changes(self.terms.changes, plan));
        let mut revisions = self.store.queue(changes(self.terms.changes, plan))?;
        let mut taken: BTreeSet<Number> = revisions.iter().map(|new| new.number).collect();
        let room = wanted.saturating_sub(revisions.len());
        for (number, is_reset) in self.take_turns(plan, &taken, elapsed, room) {
            revisions.push(self.renewed(number, grown, is_reset)?);
            taken.insert(number);
        }
        self.forget_randomness();
        let mut others: Vec<Number> = plan
            .numbers()
            .filter(|number| !taken.contains(number))
            .collect();
        let room = wanted.saturating_sub(revisions.len());
        shuffle_front(&mut others, room, &mut self.rng);
        others.truncate(room);
        revisions.extend(others.iter().filter_map(|number| {
            Some(Revision {
                number: *number,
                record: grown.record(*number)?,
                listed: self.listed.contains(number),
                generation: None,
            })
        }));
        Ok(revisions)
    }

    /// Decoys that have their turn now; those for which there is no room have it later.
    fn take_turns(
        &mut self,
        plan: NumberPlan,
        taken: &BTreeSet<Number>,
        elapsed: Duration,
        room: usize,
    ) -> Vec<(Number, bool)> {
        let (listed, turns) = (&self.listed, &mut self.turns);
        let is_decoy = |number: &Number| !listed.contains(number) && !taken.contains(number);
        turns.due.retain(|(number, _)| is_decoy(number));
        turns.draw(plan.numbers().filter(is_decoy), elapsed, &mut self.rng);
        shuffle_front(&mut turns.due, room, &mut self.rng);
        let room = room.min(turns.due.len());
        turns.due.drain(..room).collect()
    }

    /// A decoy with another ring key, under the identity that it has or under the next. What an earlier version drew has an identity
    /// that cannot sign again: it gets the next in any case.
    fn renewed(
        &mut self,
        number: Number,
        grown: &Published,
        is_reset: bool,
    ) -> Result<Revision, StoreError> {
        let generation = self.generation(number)?;
        let identity = self.decoys.identity(number, generation);
        let listed = grown.record(number);
        let listed = listed.and_then(|record| Listing::decode(&record).ok());
        let kept = listed.filter(|listing| *listing.identity() == identity && !is_reset);
        let (next, serial) = match kept {
            Some(listing) => (generation, listing.serial().saturating_add(1)),
            None => (generation.saturating_add(1), first_serial(&mut self.rng)),
        };
        Ok(Revision {
            number,
            record: self.fresh_decoy(number, next, serial),
            listed: false,
            generation: Some(next),
        })
    }

    /// Which identity the number's decoy has, or had before the number had an owner.
    pub(super) fn generation(&mut self, number: Number) -> Result<u32, StoreError> {
        let rows = self.store.rows(number, number)?;
        Ok(rows.first().map_or(0, |row| row.generation))
    }

    pub(super) fn fresh_decoy(&mut self, number: Number, generation: u32, serial: u32) -> Record {
        self.decoys
            .listing(number, generation, serial, &mut self.rng)
            .encode()
    }
}

/// A delta cannot change more numbers than there are.
pub(super) fn changes(wanted: u16, plan: NumberPlan) -> u16 {
    u16::try_from(plan.count()).map_or(wanted, |count| wanted.min(count))
}

/// Moves `count` elements, any with the same chance, to the front. The bias of the remainder is below 2^-32 for any plan.
fn shuffle_front<T>(all: &mut [T], count: usize, rng: &mut ChaCha20Rng) {
    let length = all.len();
    for place in 0..count.min(length) {
        let rest = (length - place) as u64;
        let chosen = place + usize::try_from(rng.next_u64() % rest).unwrap_or(0);
        all.swap(place, chosen);
    }
}
