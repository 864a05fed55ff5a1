//! Listings that the book replaced in the last days, so that what was written under one of them, and lay at a relay meanwhile, is
//! still known for its sender's.
//!
//! As bytes, for each listing: number 4, big-endian | when the epoch was closed that replaced it 8, Unix seconds, big-endian | record 192.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::listing::{LISTING_BYTES, Listing};
use crate::number::Number;
use crate::tile::{TILE_RECORDS, Tile};

/// How long a replaced listing is remembered, in seconds: as long as relays keep a text, and the tolerance of clocks.
pub const REMEMBERED: u64 = 7 * 86_400 + 90;

/// Listings that are remembered of one number, the newest: more renewals within [`REMEMBERED`] come once in some thousand years, and a
/// book that changes its records all the time fills no more memory than this.
const MOST: usize = 4;

const ENTRY_BYTES: usize = 4 + 8 + LISTING_BYTES;

/// The replaced listings, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplacedListings(BTreeMap<Number, Vec<ReplacedRecord>>);

/// A record that another one took the place of.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ReplacedRecord {
    /// Unix seconds.
    at: u64,
    record: [u8; LISTING_BYTES],
}

impl ReplacedListings {
    /// Notes the records in which a tile differs from the tile in its place before. `number` names a place of it; `at` is when the
    /// later epoch was closed.
    pub(crate) fn note(
        &mut self,
        (before, after): (&Arc<Tile>, &Arc<Tile>),
        number: impl Fn(u8) -> Option<Number>,
        at: u64,
    ) {
        if Arc::ptr_eq(before, after) {
            return;
        }
        for slot in (0..TILE_RECORDS).filter_map(|slot| u8::try_from(slot).ok()) {
            let (Some(old), Some(new)) = (before.record(slot), after.record(slot)) else {
                continue;
            };
            if old != new
                && let Some(number) = number(slot)
            {
                self.add(number, ReplacedRecord { at, record: *old });
            }
        }
    }

    /// Forgets what was replaced too long before `now`, Unix seconds.
    pub(crate) fn forget(&mut self, now: u64) {
        self.0.retain(|_, replaced| {
            replaced.retain(|old| now <= old.at.saturating_add(REMEMBERED));
            !replaced.is_empty()
        });
    }

    /// The listings of a number that were still current at this time (Unix seconds), the newest first. Each is verified here.
    pub fn current_at(&self, number: Number, time: u64) -> impl Iterator<Item = Listing> {
        let replaced = self.0.get(&number).into_iter().flatten().rev();
        let current = replaced.filter(move |old| time <= old.at);
        current.filter_map(|old| Listing::decode(&old.record).ok())
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let all = self.0.iter();
        let entries = all.flat_map(|(number, replaced)| replaced.iter().map(|old| (*number, old)));
        let bytes = entries.flat_map(|(number, old)| {
            let (number, at) = (number.value().to_be_bytes(), old.at.to_be_bytes());
            number.into_iter().chain(at).chain(old.record)
        });
        bytes.collect()
    }

    /// Reads the bytes; what is incomplete at their end is left out.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut read = Self::default();
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        for entry in entries {
            if let Some((number, old)) = read_entry(entry) {
                read.add(number, old);
            }
        }
        read
    }

    fn add(&mut self, number: Number, old: ReplacedRecord) {
        let replaced = self.0.entry(number).or_default();
        if replaced.len() >= MOST {
            replaced.remove(0);
        }
        replaced.push(old);
    }
}

impl std::fmt::Debug for ReplacedRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplacedRecord(..)")
    }
}

fn read_entry(entry: &[u8; ENTRY_BYTES]) -> Option<(Number, ReplacedRecord)> {
    let (number, rest) = entry.split_first_chunk::<4>()?;
    let (at, record) = rest.split_first_chunk::<8>()?;
    let old = ReplacedRecord {
        at: u64::from_be_bytes(*at),
        record: record.try_into().ok()?,
    };
    Some((Number::new(u32::from_be_bytes(*number)), old))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;
    use x25519_dalek::StaticSecret;

    use super::*;
    use crate::keys::RingKey;

    const NUMBER: Number = Number::new(20_007);

    fn listing(serial: u32) -> Listing {
        let ring = RingKey::from(&StaticSecret::from([2; 32]));
        Listing::sign(&SigningKey::from_bytes(&[1; 32]), ring, serial)
    }

    fn tile(serial: u32) -> Arc<Tile> {
        let mut tile = Tile::of(&[listing(0); TILE_RECORDS as usize]);
        tile.set(7, &listing(serial).encode());
        Arc::new(tile)
    }

    fn noted(at: &[u64]) -> ReplacedListings {
        let mut replaced = ReplacedListings::default();
        for (serial, at) in (1..).zip(at) {
            let tiles = (tile(serial), tile(serial + 1));
            let number = |slot| Some(Number::new(20_000 + u32::from(slot)));
            replaced.note((&tiles.0, &tiles.1), number, *at);
        }
        replaced
    }

    fn serials(replaced: &ReplacedListings, time: u64) -> Vec<u32> {
        let found = replaced.current_at(NUMBER, time);
        found.map(|listing| listing.serial()).collect()
    }

    #[test]
    fn a_listing_counts_for_what_was_written_until_it_was_replaced() {
        let replaced = noted(&[100, 200]);
        assert_eq!(serials(&replaced, 100), [2, 1]);
        assert_eq!(serials(&replaced, 101), [2]);
        assert!(serials(&replaced, 201).is_empty());
        let others = replaced.current_at(Number::new(20_008), 0);
        assert_eq!(others.count(), 0, "the rest of the tile is as it was");
    }

    #[test]
    fn it_is_forgotten_after_seven_days() {
        let mut replaced = noted(&[100, 200]);
        replaced.forget(100 + REMEMBERED);
        assert_eq!(serials(&replaced, 0), [2, 1]);
        replaced.forget(101 + REMEMBERED);
        assert_eq!(serials(&replaced, 0), [2]);
        replaced.forget(201 + REMEMBERED);
        assert_eq!(replaced, ReplacedListings::default());
    }

    #[test]
    fn a_book_that_changes_a_record_all_the_time_fills_no_memory() {
        let times: Vec<u64> = (0..100).collect();
        assert_eq!(serials(&noted(&times), 0), [100, 99, 98, 97]);
    }

    #[test]
    fn what_was_written_reads_back_and_a_part_at_the_end_is_left_out() {
        let replaced = noted(&[100, 200]);
        let mut bytes = replaced.encode();
        assert_eq!(ReplacedListings::decode(&bytes), replaced);
        bytes.pop();
        assert_eq!(serials(&ReplacedListings::decode(&bytes), 0), [1]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let replaced = ReplacedListings::decode(&bytes);
            prop_assert!(replaced.0.keys().all(|number| replaced.current_at(*number, 0).count() == 0));
        }
    }
}
