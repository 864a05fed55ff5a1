//! A verified copy of a whole book: only the book itself can have made it, and all engines have the same.
//!
//! A copy begins with a signed root, all tiles, and the deltas that were published while the tiles came in. From then on it only
//! follows: the next root must name the one before, and the tiles with the delta of its epoch must give its hash. What does not
//! fit leaves the copy as it was. [`crate::fetch`] says what to download for that.
//!
//! Not done here: the records themselves. Each is signed by its own key; its user verifies it ([`Tile::listing`]).

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::delta::Delta;
use crate::listing::LISTING_BYTES;
use crate::number::{Number, NumberPlan};
use crate::replaced::ReplacedListings;
use crate::root::{Root, TilesHash};
use crate::tile::Tile;

/// All tiles of a book as its root describes them. Tiles are shared between a copy and the next.
#[derive(Clone)]
pub struct VerifiedBook {
    root: Root,
    tiles: Vec<Arc<Tile>>,
    hashes: Vec<[u8; 32]>,
    replaced: Arc<ReplacedListings>,
}

/// Two roots that the same book signed and that cannot both be true: proof against it that any third party can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lie {
    /// The root that was known.
    pub known: Root,
    /// The one that does not go with it: see [`Root::contradicts`], or the next one with another past.
    pub shown: Root,
}

/// Why tiles, deltas and roots make no copy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The book contradicts itself.
    #[error("the phone book signed two roots that contradict each other")]
    Lie(Box<Lie>),
    /// A root does not name the one before, or the number plan shrank. Two such roots are no proof: others may have been between.
    #[error(
        "its newest root does not lead back to the last one that this machine has seen: the book was set back, or a mirror is behind"
    )]
    Order,
    /// A delta is missing, or not the one that its root names.
    #[error("a delta of the phone book is not the one that its root names")]
    Delta,
    /// More or fewer tiles than the plan has, or other ones.
    #[error("the tiles of the phone book are not those that its root names")]
    Tiles,
}

impl VerifiedBook {
    /// A copy from tiles that were read one after the other while the book went on. Every tile is as it was at the first of these
    /// roots or at a later one; `deltas` lead from each root to the next. Setting a record twice does no harm, so all of them are
    /// applied, and then all must be as the last root says.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn settle(
        tiles: Vec<Arc<Tile>>,
        roots: &[Root],
        deltas: &[Delta],
    ) -> Result<Self, CopyError> {
        let (first, later) = roots.split_first().ok_or(CopyError::Order)?;
        let hashes = tiles.iter().map(|tile| tile.hash()).collect();
        let start = Self {
            root: *first,
            tiles,
            hashes,
            replaced: Arc::default(),
        };
        start.advance(later, deltas)
    }

    /// The copy after these roots, each with its delta.
    ///
    /// # Errors
    /// [`CopyError`]; a plan that has grown needs its new tiles, which is [`CopyError::Tiles`].
    pub fn follow(&self, roots: &[Root], deltas: &[Delta]) -> Result<Self, CopyError> {
        Ok(self.clone().advance(roots, deltas)?.after(self))
    }

    /// This copy with what is remembered of listings that it replaced: those of an earlier copy, and the records of that copy which are
    /// other ones now.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        let (plan, closed) = (before.root.states().plan, self.root.states().closed);
        let mut replaced = (*before.replaced).clone();
        for (index, tiles) in (0..).zip(before.tiles.iter().zip(&self.tiles)) {
            replaced.note(tiles, |slot| plan.number_at(index, slot), closed);
        }
        replaced.forget(closed);
        self.with_replaced(replaced)
    }

    /// This copy with listings that were remembered on a disk.
    #[must_use]
    pub fn with_replaced(self, replaced: ReplacedListings) -> Self {
        let replaced = Arc::new(replaced);
        Self { replaced, ..self }
    }

    /// The listings that were replaced in the last days.
    #[must_use]
    pub fn replaced(&self) -> &Arc<ReplacedListings> {
        &self.replaced
    }

    fn advance(mut self, roots: &[Root], deltas: &[Delta]) -> Result<Self, CopyError> {
        if roots.len() != deltas.len() {
            return Err(CopyError::Delta);
        }
        let mut changed = vec![false; self.tiles.len()];
        for (root, delta) in roots.iter().zip(deltas) {
            check_next(&self.root, root)?;
            let is_named =
                delta.epoch() == root.states().epoch && delta.hash() == root.states().delta;
            if !is_named {
                return Err(CopyError::Delta);
            }
            self.apply(delta, root.states().plan, &mut changed)?;
            self.root = *root;
        }
        for ((tile, hash), _) in self
            .tiles
            .iter()
            .zip(&mut self.hashes)
            .zip(&changed)
            .filter(|(_, changed)| **changed)
        {
            *hash = tile.hash();
        }
        let plan = self.root.states().plan;
        let is_whole = self.tiles.len() == usize::from(plan.tiles())
            && TilesHash::of_hashes(plan, self.hashes.iter()) == self.root.states().tiles;
        is_whole.then_some(self).ok_or(CopyError::Tiles)
    }

    fn apply(
        &mut self,
        delta: &Delta,
        plan: NumberPlan,
        changed: &mut [bool],
    ) -> Result<(), CopyError> {
        for change in delta.changes() {
            let (index, slot) = plan.place(change.number).ok_or(CopyError::Delta)?;
            let index = usize::from(index);
            let tile = self.tiles.get_mut(index).ok_or(CopyError::Tiles)?;
            Arc::make_mut(tile).set(slot, &change.record);
            if let Some(changed) = changed.get_mut(index) {
                *changed = true;
            }
        }
        Ok(())
    }

    /// The root that describes this copy.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The tiles, in order.
    #[must_use]
    pub fn tiles(&self) -> &[Arc<Tile>] {
        &self.tiles
    }

    /// The SHA-256 of each tile, in order: with them, one tile and the root prove what a record was.
    #[must_use]
    pub fn hashes(&self) -> &[[u8; 32]] {
        &self.hashes
    }

    /// The record of a number as it is, unverified.
    #[must_use]
    pub fn record(&self, number: Number) -> Option<&[u8; LISTING_BYTES]> {
        let (tile, slot) = self.root.states().plan.place(number)?;
        self.tiles.get(usize::from(tile))?.record(slot)
    }
}

/// Whether `next` may come right after `before`.
///
/// # Errors
/// [`CopyError::Lie`] when the book signed both and they contradict each other, [`CopyError::Order`] otherwise.
pub fn check_next(before: &Root, next: &Root) -> Result<(), CopyError> {
    if next.follows(before) {
        return Ok(());
    }
    let is_next = before.states().epoch.checked_add(1) == Some(next.states().epoch);
    if next.contradicts(before) || (is_next && next.states().previous != before.hash()) {
        return Err(CopyError::Lie(Box::new(Lie {
            known: *before,
            shown: *next,
        })));
    }
    Err(CopyError::Order)
}

impl fmt::Debug for VerifiedBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "VerifiedBook({:?}, {} tiles)",
            self.root,
            self.tiles.len()
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::day::Day;
    use crate::delta::Change;
    use crate::root::{RootHash, Statement};

    /// A book of raw records, which publishes an epoch whenever it is told to.
    #[derive(Clone)]
    pub(crate) struct TestBook {
        pub(crate) key: SigningKey,
        pub(crate) period: u32,
        /// When the next epoch is closed.
        pub(crate) now: u64,
        pub(crate) tiles: Vec<Arc<Tile>>,
        pub(crate) roots: Vec<Root>,
        pub(crate) deltas: Vec<Delta>,
        pub(crate) network: Vec<u8>,
    }

    impl TestBook {
        pub(crate) fn new(tiles: u16) -> Self {
            Self::every(tiles, 300)
        }

        pub(crate) fn every(tiles: u16, period: u32) -> Self {
            let blank = Arc::new(Tile::decode(&vec![0; crate::tile::TILE_BYTES]).unwrap());
            let mut publisher = Self {
                key: SigningKey::from_bytes(&[1; 32]),
                period,
                now: 1_800_000_000,
                tiles: vec![blank; usize::from(tiles)],
                roots: Vec::new(),
                deltas: Vec::new(),
                network: b"settings".to_vec(),
            };
            publisher.sign(None);
            publisher
        }

        /// Closes an epoch in which these numbers' records are filled with a byte.
        pub(crate) fn close(&mut self, changes: &[(u32, u8)]) {
            let plan = self.plan();
            let changes = changes.iter().map(|(number, filling)| Change {
                number: Number::new(*number),
                record: [*filling; LISTING_BYTES],
            });
            let changes: Vec<Change> = changes.collect();
            for change in &changes {
                let (tile, slot) = plan.place(change.number).unwrap();
                Arc::make_mut(&mut self.tiles[usize::from(tile)]).set(slot, &change.record);
            }
            let epoch = self.roots[0].states().epoch_at(self.now);
            let delta = Delta::new(epoch, changes).unwrap();
            self.sign(Some(&delta));
            self.deltas.push(delta);
        }

        pub(crate) fn plan(&self) -> NumberPlan {
            NumberPlan::new(20_000, u16::try_from(self.tiles.len()).unwrap()).unwrap()
        }

        pub(crate) fn sign(&mut self, delta: Option<&Delta>) {
            let hashes: Vec<_> = self.tiles.iter().map(|tile| tile.hash()).collect();
            let plan = self.plan();
            let genesis = self.roots.first().map(|root| root.states().genesis);
            let before = self.roots.last();
            let day = Day::of_unix(self.now);
            let boundary = before.map_or(RootHash::NONE, |root| match root.states() {
                then if then.day() == day => then.boundary,
                _ => root.hash(),
            });
            let states = Statement {
                epoch: before.map_or(1, |root| root.states().epoch_at(self.now)),
                genesis: genesis.unwrap_or(self.now),
                closed: self.now,
                period: self.period,
                plan,
                changes: 2,
                previous: before.map_or(RootHash::NONE, Root::hash),
                boundary,
                tiles: TilesHash::of_hashes(plan, hashes.iter()),
                delta: delta.map_or([0; 32], Delta::hash),
                network: sha2_of(&self.network),
            };
            self.roots.push(Root::sign(&self.key, states));
            self.now += u64::from(self.period);
        }
    }

    fn sha2_of(bytes: &[u8]) -> [u8; 32] {
        use sha2::Digest;
        sha2::Sha256::digest(bytes).0
    }

    #[test]
    fn a_copy_follows_root_by_root() {
        let mut publisher = TestBook::new(2);
        let copy = VerifiedBook::settle(publisher.tiles.clone(), &publisher.roots, &[]).unwrap();
        publisher.close(&[(20_001, 1), (20_300, 2)]);
        publisher.close(&[(20_001, 3), (20_002, 4)]);
        let next = copy
            .follow(&publisher.roots[1..], &publisher.deltas)
            .unwrap();
        assert_eq!(next.root(), publisher.roots.last().unwrap());
        assert_eq!(next.record(Number::new(20_001)), Some(&[3; LISTING_BYTES]));
        assert_eq!(copy.record(Number::new(20_001)), Some(&[0; LISTING_BYTES]));
        assert_eq!(copy.replaced().encode(), Vec::<u8>::new());
        // Of both changes of 20001 the copy saw the last alone.
        assert_eq!(next.replaced().encode().len(), 3 * 204);
    }

    #[test]
    fn tiles_that_were_read_while_the_book_went_on_settle() {
        let mut publisher = TestBook::new(2);
        let early = Arc::clone(&publisher.tiles[0]);
        publisher.close(&[(20_001, 1), (20_300, 2)]);
        publisher.close(&[(20_001, 3), (20_301, 4)]);
        let late = Arc::clone(&publisher.tiles[1]);
        let copy =
            VerifiedBook::settle(vec![early, late], &publisher.roots, &publisher.deltas).unwrap();
        assert_eq!(copy.tiles(), publisher.tiles);
    }

    #[test]
    fn a_missing_a_foreign_and_an_altered_delta_are_refused() {
        let mut publisher = TestBook::new(1);
        let copy = VerifiedBook::settle(publisher.tiles.clone(), &publisher.roots, &[]).unwrap();
        publisher.close(&[(20_001, 1)]);
        publisher.close(&[(20_002, 1)]);
        let (roots, deltas) = (&publisher.roots[1..], &publisher.deltas);
        assert_eq!(
            copy.follow(roots, &deltas[..1]).err(),
            Some(CopyError::Delta)
        );
        let swapped = [deltas[1].clone(), deltas[0].clone()];
        assert_eq!(copy.follow(roots, &swapped).err(), Some(CopyError::Delta));
        assert!(copy.follow(roots, deltas).is_ok());
    }

    #[test]
    fn a_false_tile_is_refused() {
        let publisher = TestBook::new(2);
        let mut tiles = publisher.tiles.clone();
        Arc::make_mut(&mut tiles[1]).set(9, &[7; LISTING_BYTES]);
        let settled = VerifiedBook::settle(tiles, &publisher.roots, &[]);
        assert_eq!(settled.err(), Some(CopyError::Tiles));
        let settled = VerifiedBook::settle(publisher.tiles[..1].to_vec(), &publisher.roots, &[]);
        assert_eq!(settled.err(), Some(CopyError::Tiles));
    }

    #[test]
    fn two_pasts_and_two_presents_are_lies_with_both_roots() {
        let (mut publisher, mut other) = (TestBook::new(1), TestBook::new(1));
        publisher.close(&[(20_001, 1)]);
        other.close(&[(20_001, 2)]);
        let lie = |known: Root, shown: Root| Err(CopyError::Lie(Box::new(Lie { known, shown })));
        let (ours, theirs) = (publisher.roots[1], other.roots[1]);
        assert_eq!(check_next(&ours, &theirs), lie(ours, theirs));
        other.close(&[(20_001, 1)]);
        assert_eq!(
            check_next(&ours, &other.roots[2]),
            lie(ours, other.roots[2])
        );
        assert_eq!(
            check_next(&publisher.roots[0], &other.roots[2]),
            Err(CopyError::Order)
        );
        assert_eq!(
            check_next(&ours, &publisher.roots[0]),
            Err(CopyError::Order)
        );
    }

    proptest! {
        #[test]
        fn whatever_is_read_when_the_copy_is_that_of_the_last_root(
            epochs in proptest::collection::vec((20_000_u32..20_768, 1_u8..), 1..12),
            read in proptest::array::uniform3(0_usize..13),
        ) {
            let mut publisher = TestBook::new(3);
            let mut states = vec![publisher.tiles.clone()];
            for change in &epochs {
                publisher.close(&[*change]);
                states.push(publisher.tiles.clone());
            }
            let state = |tile: usize| &states[read[tile].min(epochs.len())][tile];
            let tiles = (0..3).map(|tile| Arc::clone(state(tile))).collect();
            let copy = VerifiedBook::settle(tiles, &publisher.roots, &publisher.deltas).unwrap();
            prop_assert_eq!(copy.tiles(), &publisher.tiles[..]);
        }
    }
}
