//! What the book shows to all as it stands at the end of an epoch: its tiles, its root, and the keys behind any text of digits.
//! Reading it touches no store and takes the same path whether a number is assigned or not. A new epoch makes a new one and leaves
//! the old one to those who still read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ringfence_book::keys::{IdentityKey, KEY_BYTES};
use ringfence_book::number::{Number, NumberPlan};
use ringfence_book::root::{Root, TilesHash};
use ringfence_book::tile::Tile;

use crate::book::decoy::UnlistedKeys;
use crate::book::recent_files::RecentFiles;
use crate::store::Record;

/// A tile with the name of its content.
#[derive(Clone, Debug)]
pub struct PublishedTile {
    tile: Tile,
    hash: [u8; 32],
    etag: String,
}

impl PublishedTile {
    fn new(tile: Tile) -> Self {
        let hash = tile.hash();
        let (short, _) = hash.split_at(16);
        let etag = format!("\"{}\"", hex::encode(short));
        Self { tile, hash, etag }
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
pub struct DialledNumber(String);

impl DialledNumber {
    /// Sixteen digits are more than any plan has, and E.164 allows fifteen.
    pub const MAX_DIGITS: usize = 16;

    /// Takes the text if it has the right shape.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let plausible = (1..=Self::MAX_DIGITS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit());
        plausible.then(|| Self(text.to_owned()))
    }

    /// The text of a number.
    pub(crate) fn of(number: Number) -> Self {
        Self(number.to_string())
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DialledNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DialledNumber(..)")
    }
}

/// The book as it stands at the end of an epoch.
#[derive(Clone)]
pub struct Published {
    plan: NumberPlan,
    tiles: Vec<Arc<PublishedTile>>,
    outside: Arc<UnlistedKeys>,
    recent: Option<Arc<RecentFiles>>,
}

impl Published {
    /// A book without records. `outside` answers for texts that are no number of the plan.
    pub(crate) fn blank(plan: NumberPlan, outside: UnlistedKeys) -> Self {
        let empty = Self {
            plan,
            tiles: Vec::new(),
            outside: Arc::new(outside),
            recent: None,
        };
        empty.grown(plan)
    }

    /// The same book with blank tiles up to this plan's end.
    pub(crate) fn grown(&self, plan: NumberPlan) -> Self {
        let blank = Arc::new(PublishedTile::new(Tile::empty()));
        let mut next = self.clone();
        next.plan = plan;
        next.tiles.resize(usize::from(plan.tiles()), blank);
        next
    }

    /// The book after these numbers have these records. Tiles without a change are shared.
    pub(crate) fn with<'a>(&self, records: impl IntoIterator<Item = (Number, &'a Record)>) -> Self {
        let mut changed: BTreeMap<u16, Tile> = BTreeMap::new();
        for (number, record) in records {
            let Some((index, slot)) = self.plan.place(number) else {
                continue;
            };
            if let Some(shared) = self.tiles.get(usize::from(index)) {
                changed
                    .entry(index)
                    .or_insert_with(|| shared.tile.clone())
                    .set(slot, record);
            }
        }
        let mut next = self.clone();
        for (index, tile) in changed {
            if let Some(shared) = next.tiles.get_mut(usize::from(index)) {
                *shared = Arc::new(PublishedTile::new(tile));
            }
        }
        next
    }

    pub(crate) fn with_recent(mut self, recent: RecentFiles) -> Self {
        self.recent = Some(Arc::new(recent));
        self
    }

    pub(crate) fn recent(&self) -> Option<&RecentFiles> {
        self.recent.as_deref()
    }

    /// What a root says of these tiles.
    pub(crate) fn tiles_hash(&self) -> TilesHash {
        TilesHash::of_hashes(self.plan, self.tiles.iter().map(|tile| &tile.hash))
    }

    /// The root of the last epoch; `None` before the first.
    #[must_use]
    pub fn root(&self) -> Option<&Root> {
        self.recent().map(RecentFiles::root)
    }

    /// The network settings of the last epoch, the very bytes that its root names; `None` before the first.
    #[must_use]
    pub fn network(&self) -> Option<&Arc<[u8]>> {
        self.recent().map(RecentFiles::network)
    }

    /// The step of the last epoch, as it is served; `None` before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Vec<u8>> {
        self.recent()?.newest()
    }

    /// The roots of this block, one after the other, if it is the last block. See [`crate::book::recent_files`].
    #[must_use]
    pub fn roots(&self, block: u32) -> Option<Vec<u8>> {
        self.recent()?.roots(block)
    }

    /// The steps of this block, one after the other, if it is one of the newest. See [`crate::book::recent_files`].
    #[must_use]
    pub fn steps(&self, block: u32) -> Option<Vec<u8>> {
        self.recent()?.steps(block)
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
    pub fn keys(&self, dialled: &DialledNumber) -> ([u8; KEY_BYTES], [u8; KEY_BYTES]) {
        // Both are looked for whatever the text, and one is thrown away: so both take as long.
        let (identity, ring_key) = self.outside.keys(dialled.text());
        let outside = (*identity.as_bytes(), *ring_key.as_bytes());
        let number = self.number(dialled);
        let recorded = self.recorded_keys(number.unwrap_or(self.plan.first()));
        number.and(recorded).unwrap_or(outside)
    }

    /// The number of the plan that the text is, if it is one.
    pub(crate) fn number(&self, dialled: &DialledNumber) -> Option<Number> {
        self.plan.read(dialled.text()).ok()
    }

    /// The identity behind the text, ready to verify with.
    pub(crate) fn identity(&self, dialled: &DialledNumber) -> Option<IdentityKey> {
        IdentityKey::from_bytes(&self.keys(dialled).0).ok()
    }

    /// What the book says of a number of its plan.
    pub(crate) fn record(&self, number: Number) -> Option<Record> {
        let (tile, slot) = self.plan.place(number)?;
        self.tiles
            .get(usize::from(tile))?
            .tile
            .record(slot)
            .copied()
    }

    fn recorded_keys(&self, number: Number) -> Option<([u8; KEY_BYTES], [u8; KEY_BYTES])> {
        let record = self.record(number)?;
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

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::book::decoy::Decoys;

    fn decoy(number: Number, seed: u8) -> Record {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        Decoys::new(&[1; 32])
            .listing(number, 0, 1, &mut rng)
            .encode()
    }

    fn published() -> Published {
        let plan = NumberPlan::new(100, 2).unwrap();
        let records: Vec<(Number, Record)> = plan
            .numbers()
            .map(|number| (number, decoy(number, 1)))
            .collect();
        Published::blank(plan, UnlistedKeys::new(&[2; 32]))
            .with(records.iter().map(|(number, record)| (*number, record)))
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
        let record = decoy(Number::new(356), 2);
        let after = before.with([(Number::new(356), &record)]);
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
            let dialled = DialledNumber::read(text).unwrap();
            assert_eq!(published.keys(&dialled), published.keys(&dialled));
            assert!(published.identity(&dialled).is_some());
            assert!(published.number(&dialled).is_none());
        }
    }

    proptest! {
        #[test]
        fn only_one_to_sixteen_digits_are_dialled(text in "\\PC{0,20}") {
            let expected = !text.is_empty() && text.len() <= 16 && text.chars().all(|letter| letter.is_ascii_digit());
            prop_assert_eq!(DialledNumber::read(&text).is_some(), expected);
        }
    }
}
