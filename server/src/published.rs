//! What the book shows everybody: its tiles, and the keys behind any text of digits. Reading it touches no store and takes the
//! same path whether a number is assigned or not. A change makes a new one and leaves the old one to those who still read it.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::decoy::Decoys;
use crate::keys::{IdentityKey, KEY_BYTES};
use crate::number::{Number, NumberPlan};
use crate::store::Row;
use crate::tile::Tile;

/// A tile with the name of its content.
#[derive(Clone, Debug)]
pub struct PublishedTile {
    tile: Tile,
    etag: String,
}

impl PublishedTile {
    fn new(tile: Tile) -> Self {
        let digest = Sha256::digest(tile.as_bytes()).0;
        let (short, _) = digest.split_at(16);
        let etag = format!("\"{}\"", hex::encode(short));
        Self { tile, etag }
    }

    /// The tile.
    #[must_use]
    pub fn tile(&self) -> &Tile {
        &self.tile
    }

    /// A strong entity tag (RFC 9110 section 8.8.3), quotes included: half of the SHA-256 of the bytes.
    #[must_use]
    pub fn etag(&self) -> &str {
        &self.etag
    }
}

/// A text that could be a number: 1 to 16 digits. Of these, none is told from another.
#[derive(Clone, PartialEq, Eq)]
pub struct Dialled(String);

impl Dialled {
    /// Sixteen digits are more than any plan has, and E.164 allows fifteen.
    pub const MAX_DIGITS: usize = 16;

    /// Takes the text if it has the right shape.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let plausible = (1..=Self::MAX_DIGITS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit());
        plausible.then(|| Self(text.to_owned()))
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialled(..)")
    }
}

/// The book as it stands at one moment.
#[derive(Clone)]
pub struct Published {
    plan: NumberPlan,
    tiles: Vec<Arc<PublishedTile>>,
    outside: Arc<Decoys>,
}

impl Published {
    /// A book of these rows. `outside` answers for texts that are no number of the plan.
    pub(crate) fn new(plan: NumberPlan, outside: Decoys, rows: &[Row]) -> Self {
        let blank = Arc::new(PublishedTile::new(Tile::empty()));
        let empty = Self {
            plan,
            tiles: vec![blank; usize::from(plan.tiles())],
            outside: Arc::new(outside),
        };
        empty.with(rows)
    }

    /// The book after these rows have changed. Tiles without a change are shared.
    pub(crate) fn with(&self, rows: &[Row]) -> Self {
        let mut next = self.clone();
        for (index, shared) in (0_u16..).zip(&mut next.tiles) {
            let mut changed: Option<Tile> = None;
            for row in rows {
                if let Some((tile, slot)) = self.plan.place(row.number)
                    && tile == index
                {
                    changed
                        .get_or_insert_with(|| shared.tile.clone())
                        .set(slot, &row.record);
                }
            }
            if let Some(tile) = changed {
                *shared = Arc::new(PublishedTile::new(tile));
            }
        }
        next
    }

    /// The numbers of the book.
    #[must_use]
    pub fn plan(&self) -> NumberPlan {
        self.plan
    }

    /// A tile, counted from 0.
    #[must_use]
    pub fn tile(&self, index: u16) -> Option<Arc<PublishedTile>> {
        self.tiles.get(usize::from(index)).cloned()
    }

    /// The identity key and the ring key behind the text: a listing's, a decoy's, or those of a number that cannot be.
    #[must_use]
    pub fn keys(&self, dialled: &Dialled) -> ([u8; KEY_BYTES], [u8; KEY_BYTES]) {
        self.number(dialled)
            .and_then(|number| self.recorded_keys(number))
            .unwrap_or_else(|| {
                let (identity, ring_key) = self.outside.keys(dialled.text());
                (*identity.as_bytes(), *ring_key.as_bytes())
            })
    }

    /// The number of the plan that the text is, if it is one.
    pub(crate) fn number(&self, dialled: &Dialled) -> Option<Number> {
        self.plan.read(dialled.text()).ok()
    }

    /// The identity behind the text, ready to verify with.
    pub(crate) fn identity(&self, dialled: &Dialled) -> Option<IdentityKey> {
        IdentityKey::from_bytes(&self.keys(dialled).0).ok()
    }

    fn recorded_keys(&self, number: Number) -> Option<([u8; KEY_BYTES], [u8; KEY_BYTES])> {
        let (tile, slot) = self.plan.place(number)?;
        let record = self.tiles.get(usize::from(tile))?.tile.record(slot)?;
        let (identity, rest) = record.split_first_chunk::<KEY_BYTES>()?;
        let (ring_key, _) = rest.split_first_chunk::<KEY_BYTES>()?;
        Some((*identity, *ring_key))
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::day::Day;

    fn published() -> Published {
        let plan = NumberPlan::new(100, 2).unwrap();
        let decoys = Decoys::new(&[1; 32]);
        let rows: Vec<Row> = plan
            .numbers()
            .map(|number| Row {
                number,
                record: decoys.listing(&number.to_string(), Day::LAST).encode(),
                change: 0,
            })
            .collect();
        Published::new(plan, Decoys::new(&[2; 32]), &rows)
    }

    #[test]
    fn every_record_of_every_tile_is_a_genuine_listing() {
        let published = published();
        for index in 0..2 {
            let tile = published.tile(index).unwrap();
            assert!((0..=255).all(|slot| tile.tile().listing(slot).is_ok()));
        }
        assert!(published.tile(2).is_none());
    }

    #[test]
    fn a_change_makes_a_new_tile_and_leaves_the_others() {
        let before = published();
        let record = Decoys::new(&[3; 32]).listing("x", Day::LAST).encode();
        let after = before.with(&[Row {
            number: Number::new(356),
            record,
            change: 1,
        }]);
        assert!(Arc::ptr_eq(
            &before.tile(0).unwrap(),
            &after.tile(0).unwrap()
        ));
        assert_ne!(
            before.tile(1).unwrap().etag(),
            after.tile(1).unwrap().etag()
        );
        assert_eq!(after.tile(1).unwrap().tile().record(0), Some(&record));
    }

    #[test]
    fn texts_outside_the_plan_have_keys_too() {
        let published = published();
        for text in ["0", "99", "612", "0100", "9999999999999999"] {
            let dialled = Dialled::read(text).unwrap();
            assert_eq!(published.keys(&dialled), published.keys(&dialled));
            assert!(published.identity(&dialled).is_some());
            assert!(published.number(&dialled).is_none());
        }
    }

    proptest! {
        #[test]
        fn only_one_to_sixteen_digits_are_dialled(text in "\\PC{0,20}") {
            let expected = !text.is_empty() && text.len() <= 16 && text.chars().all(|letter| letter.is_ascii_digit());
            prop_assert_eq!(Dialled::read(&text).is_some(), expected);
        }
    }
}
