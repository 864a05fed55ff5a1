//! What changes in an epoch: what waits, then decoys whose ring key's life is over ([`ringfence_book::rotation`]), then any records as
//! they are, so that the length tells nothing and a repeat is as likely for an assigned number as for any other.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use ringfence_book::listing::{Listing, first_serial};
use ringfence_book::number::{Number, NumberPlan};
use ringfence_book::rotation;

use super::Book;
use crate::book::published::Published;
use crate::store::{NextKey, Revision, Row, StoreError};

impl Book {
    /// What changes in the epoch that ends now.
    pub(super) fn revisions(
        &mut self,
        grown: &Published,
        now: u64,
    ) -> Result<Vec<Revision>, StoreError> {
        let plan = grown.plan();
        let wanted = changes(self.terms.changes, plan);
        let mut revisions = self.store.queue(wanted)?;
        let mut taken: BTreeSet<Number> = revisions.iter().map(|new| new.number).collect();
        for row in self.store.due(now, wanted)? {
            let has_room = revisions.len() < usize::from(wanted);
            if has_room && plan.contains(row.number) && taken.insert(row.number) {
                revisions.push(self.renewed(&row, now));
            }
        }
        self.forget_randomness();
        let mut others: Vec<Number> = plan
            .numbers()
            .filter(|number| !taken.contains(number))
            .collect();
        let room = usize::from(wanted).saturating_sub(revisions.len());
        shuffle_front(&mut others, room, &mut self.rng);
        others.truncate(room);
        revisions.extend(others.iter().filter_map(|number| {
            Some(Revision {
                number: *number,
                record: grown.record(*number)?,
                listed: self.listed.contains(number),
                next: None,
            })
        }));
        Ok(revisions)
    }

    /// A decoy with its next ring key. A record that the identity did not sign is followed by another identity, be it that the decoy
    /// changes hands or that an earlier version drew it.
    fn renewed(&mut self, row: &Row, now: u64) -> Revision {
        let generation = row.next.generation;
        let identity = self.decoys.identity(row.number, generation);
        let listed = Listing::decode(&row.record).ok();
        let serial = listed
            .filter(|listing| *listing.identity() == identity)
            .map_or_else(
                || first_serial(&mut self.rng),
                |listing| listing.serial().saturating_add(1),
            );
        self.decoy(row.number, generation, serial, now)
    }

    /// A decoy whose ring key is drawn now, Unix seconds.
    pub(super) fn decoy(
        &mut self,
        number: Number,
        generation: u32,
        serial: u32,
        now: u64,
    ) -> Revision {
        let listing = self
            .decoys
            .listing(number, generation, serial, &mut self.rng);
        let life = rotation::ring_key_life(&mut self.rng);
        Revision {
            number,
            record: listing.encode(),
            listed: false,
            next: Some(next_key(generation, now, life, &mut self.rng)),
        }
    }
}

/// What a decoy of this identity comes to next, whose ring key still has so much of its life.
pub(super) fn next_key(
    generation: u32,
    now: u64,
    life: Duration,
    rng: &mut ChaCha20Rng,
) -> NextKey {
    let hands = rotation::change_of_hands(rng);
    NextKey {
        generation: generation.saturating_add(u32::from(hands < life)),
        due: now.saturating_add(life.min(hands).as_secs()),
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
