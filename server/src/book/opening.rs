//! Opening a book: every number of the plan gets a record before it is published, and what is stored becomes what is
//! published. Worked through in stretches of tiles, so that a book of a million numbers takes no more memory than its tiles.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::thread;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::listing::first_serial;
use ringfence_book::number::{Number, NumberPlan};
use ringfence_book::rotation;
use ringfence_book::tile::TILE_RECORDS;
use tracing::info;

use super::changes::next_key;
use super::{BookOpenError, draw_key};
use crate::book::decoy::Decoys;
use crate::book::published::Published;
use crate::store::{Row, Store, StoreError};

/// Numbers in a stretch: one transaction, about a megabyte of records.
const STRETCH: usize = 16 * TILE_RECORDS as usize;

/// A book with more missing records than this says how far it is.
const WORTH_TELLING: usize = 16 * STRETCH;

/// Refuses a store that holds numbers outside of the plan.
pub(super) fn check_span(store: &mut dyn Store, plan: NumberPlan) -> Result<(), BookOpenError> {
    match store.span()? {
        Some((first, last)) if first != plan.first() || !plan.contains(last) => {
            Err(BookOpenError::PlanShrunk)
        }
        Some(_) | None => Ok(()),
    }
}

/// Gives every number of the plan a record, and hands every row over, ascending. What is missing after an interruption is filled
/// in the next time, with other ring keys.
pub(super) fn fill(
    store: &mut dyn Store,
    plan: NumberPlan,
    (decoys, now): (&Decoys, u64),
    rng: &mut ChaCha20Rng,
    mut each: impl FnMut(&[Row]),
) -> Result<(), StoreError> {
    let numbers: Vec<Number> = plan.numbers().collect();
    let (mut drawn, mut told) = (0, 0);
    for stretch in numbers.chunks(STRETCH) {
        let mut rows = read(store, stretch)?;
        if rows.len() < stretch.len() {
            let known: BTreeSet<Number> = rows.iter().map(|row| row.number).collect();
            let missing = stretch.iter().filter(|number| !known.contains(number));
            let missing: Vec<Number> = missing.copied().collect();
            store.fill(&draw((decoys, now), &missing, rng))?;
            rows = read(store, stretch)?;
            drawn += missing.len();
        }
        if rows.len() != stretch.len() {
            return Err(StoreError::Corrupt("record for each number of the plan"));
        }
        each(&rows);
        if drawn >= told + WORTH_TELLING {
            told = drawn;
            info!(
                drawn,
                of = numbers.len(),
                "drawing records for unassigned numbers"
            );
        }
    }
    Ok(())
}

/// Adds the stored records of these numbers to the book. They must all be there.
pub(super) fn load(
    store: &mut dyn Store,
    published: Published,
    numbers: &[Number],
    listed: &mut BTreeSet<Number>,
) -> Result<Published, StoreError> {
    let mut next = published;
    for stretch in numbers.chunks(STRETCH) {
        let rows = read(store, stretch)?;
        if rows.len() != stretch.len() {
            return Err(StoreError::Corrupt("record for each number of the plan"));
        }
        next = take_over(&next, &rows, listed);
    }
    Ok(next)
}

/// The book after these rows have changed.
pub(super) fn take_over(
    published: &Published,
    rows: &[Row],
    listed: &mut BTreeSet<Number>,
) -> Published {
    for row in rows {
        if row.listed {
            listed.insert(row.number);
        } else {
            listed.remove(&row.number);
        }
    }
    published.with(rows.iter().map(|row| (row.number, &row.record)))
}

fn read(store: &mut dyn Store, stretch: &[Number]) -> Result<Vec<Row>, StoreError> {
    match stretch {
        [first, .., last] => store.rows(*first, *last),
        [only] => store.rows(*only, *only),
        [] => Ok(Vec::new()),
    }
}

/// Draws the first decoys of these numbers on all processors: it is the most of the work of a new book.
fn draw((decoys, now): (&Decoys, u64), numbers: &[Number], rng: &mut ChaCha20Rng) -> Vec<Row> {
    let hands = thread::available_parallelism().map_or(1, NonZero::get);
    let share = numbers.len().div_ceil(hands).max(1);
    thread::scope(|scope| {
        let work = |part: &'_ [Number]| {
            let mut rng = ChaCha20Rng::from_seed(*draw_key(rng));
            let part = part.to_vec();
            scope.spawn(move || {
                let decoy = |number: Number| {
                    let serial = first_serial(&mut rng);
                    let listing = decoys.listing(number, 0, serial, &mut rng);
                    let rest = rotation::rest_of_life(&mut rng);
                    Row {
                        number,
                        record: listing.encode(),
                        epoch: 0,
                        listed: false,
                        next: next_key(0, now, rest, &mut rng),
                    }
                };
                Vec::from_iter(part.into_iter().map(decoy))
            })
        };
        let hands: Vec<_> = numbers.chunks(share).map(work).collect();
        let parts = hands
            .into_iter()
            .map(|hand| hand.join().expect("drawing a key does not fail"));
        parts.flatten().collect()
    })
}
