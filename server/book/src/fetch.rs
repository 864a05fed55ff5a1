//! What to download, in which order, to have the newest book, and what of it is believed: a machine that is told bytes and asks
//! for more, so that any way of carrying them will do, and none has to be trusted.
//!
//! ```text
//!   root ─┬─▶ one epoch ahead, or a few ──▶ roots between ──▶ their deltas ────────────────────────┬─▶ settings, if others ─▶ done
//!         └─▶ nothing known, or long ago ─▶ roots between ─▶ all tiles ─▶ root again ─▶ roots, deltas ─┘
//! ```
//! The number that is about to be called is nowhere in it: all engines ask for the same.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::blocks::{BLOCK_ROOTS, block_of};
use crate::copy::{CopyError, Lie, VerifiedBook, check_next};
use crate::delta::{Delta, MAX_CHANGES};
use crate::keys::BookKey;
use crate::root::{ROOT_BYTES, Root, RootError};
use crate::tile::{TILE_BYTES, Tile};

/// Epochs behind which tiles cost less than deltas and what is kept of them.
const MOST_BEHIND: u32 = 64;

/// Roots that are handed on: more than any engine compares.
const MOST_ROOTS: usize = 2_304;

/// Largest settings: with many relays they take about 2 kB.
const MOST_NETWORK: usize = 64 * 1024;

/// A file that the book serves to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The newest root.
    Root,
    /// The roots of epochs `block * 256 + 1` and on.
    Roots(u32),
    /// The delta that leads to this epoch.
    Delta(u32),
    /// A tile. Its bytes are wanted, too, when it is the one that is known.
    Tile(u16),
    /// The network settings.
    Network,
}

impl Want {
    /// The most bytes that an answer may have.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Self::Root => ROOT_BYTES,
            Self::Roots(_) => ROOT_BYTES * BLOCK_ROOTS as usize,
            Self::Delta(_) => Delta::length(MAX_CHANGES),
            Self::Tile(_) => TILE_BYTES,
            Self::Network => MOST_NETWORK,
        }
    }
}

/// Why what was downloaded is no book.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A root that is none, or that another book signed.
    #[error("a root of the phone book cannot be used: {0}")]
    Root(#[from] RootError),
    /// The parts do not fit together.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The settings are not those that the root names. They may have changed in this moment.
    #[error("the network settings are not those that the phone book signed")]
    Network,
    /// A state of the book before the one that this machine has seen: a mirror that is behind, a book that was set back, or one that
    /// hides what is new.
    #[error("the phone book shows an older state than this machine has seen")]
    Older,
    /// A tile or a delta that is none.
    #[error("a part of the phone book is damaged")]
    Damaged,
}

/// What is new.
#[derive(Debug)]
pub struct Fetched {
    /// The newest book.
    pub copy: VerifiedBook,
    /// The roots after the one that was known, the oldest first; the last one, if there is any, is that of the copy. At most 2,304,
    /// the newest.
    pub roots: Vec<Root>,
    /// The deltas that led here, if no tiles were downloaded.
    pub deltas: Vec<Delta>,
    /// The settings, if they are others than those that were known.
    pub network: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The newest root.
    First,
    /// The roots up to it.
    Chain,
    Tiles,
    /// The newest root again, because tiles take time.
    Last,
    LastChain,
    Deltas,
    Network,
    Done,
}

/// One download. Ask [`Self::wants`], bring it with [`Self::handle_answer`], until nothing is wanted.
#[derive(Debug)]
pub struct Fetch {
    book: BookKey,
    known: Option<VerifiedBook>,
    last: Option<Root>,
    network: Option<[u8; 32]>,
    stage: Stage,
    goal: Option<Root>,
    roots: Vec<Root>,
    /// The root at which the tiles, known or downloaded, are: deltas begin after it.
    base: Option<Root>,
    tiles: Vec<Arc<Tile>>,
    deltas: Vec<Delta>,
    fresh_network: Option<Vec<u8>>,
}

impl Fetch {
    /// A download for an engine with this copy of the book with this key, and settings with this hash.
    #[must_use]
    pub fn new(book: BookKey, known: Option<VerifiedBook>, network: Option<[u8; 32]>) -> Self {
        Self {
            book,
            last: known.as_ref().map(|copy| *copy.root()),
            known,
            network,
            stage: Stage::First,
            goal: None,
            roots: Vec::new(),
            base: None,
            tiles: Vec::new(),
            deltas: Vec::new(),
            fresh_network: None,
        }
    }

    /// The same for an engine that has lost the copy, but not the last root: what comes must follow from it.
    #[must_use]
    pub fn after(self, last: Option<Root>) -> Self {
        Self {
            last: self.last.or(last),
            ..self
        }
    }

    /// What to bring next; `None` when all is here.
    #[must_use]
    pub fn wants(&self) -> Option<Want> {
        match self.stage {
            Stage::First | Stage::Last => Some(Want::Root),
            Stage::Chain | Stage::LastChain => {
                let next = self.tip().map_or(1, |tip| tip.states().epoch + 1);
                Some(Want::Roots(block_of(next)))
            }
            Stage::Tiles => u16::try_from(self.tiles.len()).ok().map(Want::Tile),
            Stage::Deltas => self.base_epoch().map(|base| {
                let have = u32::try_from(self.deltas.len()).unwrap_or(u32::MAX);
                Want::Delta(base.saturating_add(have).saturating_add(1))
            }),
            Stage::Network => Some(Want::Network),
            Stage::Done => None,
        }
    }

    /// Handles the answer to the latest request.
    ///
    /// # Errors
    /// [`FetchError`]: the download is over, and what was known stays.
    pub fn handle_answer(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        match self.stage {
            Stage::First => self.handle_first_root(Root::decode(bytes, &self.book)?)?,
            Stage::Last => {
                self.goal = Some(Root::decode(bytes, &self.book)?);
                self.chain(Stage::LastChain)?;
            }
            stage @ (Stage::Chain | Stage::LastChain) => {
                self.handle_roots(bytes)?;
                self.chain(stage)?;
            }
            Stage::Tiles => {
                let tile = Tile::decode(bytes).map_err(|_| FetchError::Damaged)?;
                self.tiles.push(Arc::new(tile));
                if Some(self.tiles.len()) == self.plan_tiles() {
                    self.stage = Stage::Last;
                }
            }
            Stage::Deltas => {
                let delta = Delta::decode(bytes).map_err(|_| FetchError::Damaged)?;
                self.deltas.push(delta);
                self.go_on();
            }
            Stage::Network => self.handle_network(bytes)?,
            Stage::Done => {}
        }
        Ok(())
    }

    /// What is new, once nothing is wanted any more; `None` when all was known. Costs a hash over every tile that changed.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn finish(self) -> Result<Option<Fetched>, FetchError> {
        let Some(base) = self.base else {
            return Ok(None);
        };
        let later = |root: &&Root| root.states().epoch > base.states().epoch;
        let after: Vec<Root> = self.roots.iter().filter(later).copied().collect();
        let (copy, deltas) = match self.known {
            Some(known) if self.tiles.is_empty() => {
                (known.follow(&after, &self.deltas)?, self.deltas)
            }
            _ => {
                let roots = [&[base], after.as_slice()].concat();
                let copy = VerifiedBook::settle(self.tiles, &roots, &self.deltas)?;
                let copy = match &self.known {
                    Some(known) => copy.after(known),
                    None => copy,
                };
                (copy, Vec::new())
            }
        };
        Ok(Some(Fetched {
            copy,
            roots: self.roots,
            deltas,
            network: self.fresh_network,
        }))
    }

    fn handle_first_root(&mut self, root: Root) -> Result<(), FetchError> {
        let Some(known) = self.last else {
            // Nothing is known: all tiles, from this root on.
            self.roots.push(root);
            self.base = Some(root);
            self.stage = Stage::Tiles;
            return Ok(());
        };
        if root.contradicts(&known) {
            return Err(lie(known, root));
        }
        if root.states().epoch <= known.states().epoch {
            if self.known.is_none() {
                if root != known {
                    return Err(FetchError::Older);
                }
                // The copy is lost, and its root is not: it is here already.
                self.base = Some(root);
                self.stage = Stage::Tiles;
                return Ok(());
            }
            // Nothing new, or a mirror that is behind.
            self.stage = Stage::Done;
            if self.network != Some(known.states().network) && root == known {
                self.base = Some(known);
                self.stage = Stage::Network;
            }
            return Ok(());
        }
        self.goal = Some(root);
        self.chain(Stage::Chain)
    }

    /// Handles the roots of a block, as far as they are wanted.
    fn handle_roots(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let (parts, rest) = bytes.as_chunks::<ROOT_BYTES>();
        if !rest.is_empty() {
            return Err(FetchError::Damaged);
        }
        let before = self.tip().map(|tip| tip.states().epoch);
        for part in parts {
            let root = Root::decode(part, &self.book)?;
            let epoch = root.states().epoch;
            let next = self.tip().map(|tip| tip.states().epoch + 1);
            let goal = self.goal.map(|goal| goal.states().epoch);
            if Some(epoch) == next && goal.is_some_and(|goal| epoch < goal) {
                self.push(root)?;
            }
        }
        let now = self.tip().map(|tip| tip.states().epoch);
        if now == before {
            // The block lacks what the newest root promised: a mirror that is behind.
            return Err(CopyError::Order.into());
        }
        Ok(())
    }

    /// Goes on to the goal if only that is missing, or asks for the roots between.
    fn chain(&mut self, stage: Stage) -> Result<(), FetchError> {
        let (Some(goal), Some(tip)) = (self.goal, self.tip()) else {
            return Err(CopyError::Order.into());
        };
        let (to, from) = (goal.states().epoch, tip.states().epoch);
        if to == from && goal.contradicts(&tip) {
            return Err(lie(tip, goal));
        }
        if to > from.saturating_add(1) {
            self.stage = stage;
            return Ok(());
        }
        if to == from.saturating_add(1) {
            self.push(goal)?;
        }
        if stage == Stage::LastChain {
            self.go_on();
        } else {
            self.choose_way(goal);
        }
        Ok(())
    }

    /// Deltas for an engine that is a little behind; all tiles for the others.
    fn choose_way(&mut self, goal: Root) {
        let near = self
            .known
            .as_ref()
            .map(|copy| *copy.root())
            .filter(|known| {
                goal.states().epoch - known.states().epoch <= MOST_BEHIND
                    && goal.states().plan == known.states().plan
            });
        if let Some(known) = near {
            self.base = Some(known);
            self.go_on();
        } else {
            self.base = Some(goal);
            self.stage = Stage::Tiles;
        }
    }

    /// The next delta, or the settings, or the end.
    fn go_on(&mut self) {
        let (Some(base), Some(tip)) = (self.base_epoch(), self.tip()) else {
            return;
        };
        let wanted = usize::try_from(tip.states().epoch.saturating_sub(base)).unwrap_or(usize::MAX);
        self.stage = if self.deltas.len() < wanted {
            Stage::Deltas
        } else if self.network != Some(tip.states().network) {
            Stage::Network
        } else {
            Stage::Done
        };
    }

    fn handle_network(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let named = self.tip().map(|tip| tip.states().network);
        if named != Some(Sha256::digest(bytes).0) {
            return Err(FetchError::Network);
        }
        self.fresh_network = Some(bytes.to_vec());
        self.stage = Stage::Done;
        Ok(())
    }

    fn push(&mut self, root: Root) -> Result<(), FetchError> {
        if let Some(tip) = self.tip() {
            check_next(&tip, &root)?;
        }
        if self.roots.len() >= 2 * MOST_ROOTS {
            self.roots.drain(..MOST_ROOTS);
        }
        self.roots.push(root);
        Ok(())
    }

    /// The newest root of the chain so far.
    fn tip(&self) -> Option<Root> {
        self.roots.last().copied().or(self.last)
    }

    fn base_epoch(&self) -> Option<u32> {
        self.base.map(|base| base.states().epoch)
    }

    fn plan_tiles(&self) -> Option<usize> {
        self.base
            .map(|base| usize::from(base.states().plan.tiles()))
    }
}

fn lie(known: Root, shown: Root) -> FetchError {
    CopyError::Lie(Box::new(Lie { known, shown })).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::copy::tests::TestBook;

    impl TestBook {
        fn answer(&self, want: Want) -> Vec<u8> {
            let block = |block: u32| {
                let first = (block * BLOCK_ROOTS) as usize;
                let roots = self.roots.iter().skip(first).take(BLOCK_ROOTS as usize);
                roots.flat_map(Root::encode).collect()
            };
            match want {
                Want::Root => self.roots.last().unwrap().encode().to_vec(),
                Want::Roots(number) => block(number),
                Want::Delta(epoch) => self.deltas[epoch as usize - 2].encode(),
                Want::Tile(index) => self.tiles[usize::from(index)].as_bytes().to_vec(),
                Want::Network => self.network.clone(),
            }
        }

        fn fetch(&self, known: Option<VerifiedBook>) -> Fetch {
            let network = known.as_ref().map(|copy| copy.root().states().network);
            Fetch::new(BookKey::from(&self.key), known, network)
        }

        /// Downloads; between any two answers the book may close an epoch.
        fn download(
            &mut self,
            known: Option<VerifiedBook>,
            mut meanwhile: impl FnMut(&mut Self),
        ) -> (Result<Option<Fetched>, FetchError>, Vec<Want>) {
            let (mut fetch, mut asked) = (self.fetch(known), Vec::new());
            while let Some(want) = fetch.wants() {
                assert!(asked.len() < 1_000, "it never ends: {asked:?}");
                asked.push(want);
                let answer = self.answer(want);
                assert!(answer.len() <= want.most());
                if let Err(fault) = fetch.handle_answer(&answer) {
                    return (Err(fault), asked);
                }
                meanwhile(self);
            }
            (fetch.finish(), asked)
        }

        fn copy(&mut self) -> VerifiedBook {
            let (fetched, _) = self.download(None, |_| {});
            fetched.unwrap().unwrap().copy
        }
    }

    fn change(epoch: usize) -> [(u32, u8); 2] {
        let number = 20_000 + (epoch as u32 * 37) % 500;
        [(number, epoch as u8), (number + 1, 1)]
    }

    #[test]
    fn the_first_download_is_all_of_it() {
        let mut publisher = TestBook::new(2);
        publisher.close(&change(1));
        let (fetched, asked) = publisher.download(None, |_| {});
        let fetched = fetched.unwrap().unwrap();
        let (root, tiles) = (Want::Root, [Want::Tile(0), Want::Tile(1)]);
        assert_eq!(asked, [root, tiles[0], tiles[1], root, Want::Network]);
        assert_eq!(fetched.copy.tiles(), publisher.tiles);
        assert_eq!(fetched.roots, publisher.roots[1..]);
        assert_eq!(fetched.network.as_deref(), Some(&b"settings"[..]));
    }

    #[test]
    fn one_epoch_later_a_root_and_a_delta_are_enough() {
        let mut publisher = TestBook::new(2);
        let copy = publisher.copy();
        publisher.close(&change(1));
        let (fetched, asked) = publisher.download(Some(copy), |_| {});
        let fetched = fetched.unwrap().unwrap();
        assert_eq!(asked, [Want::Root, Want::Delta(2)]);
        assert_eq!(fetched.copy.tiles(), publisher.tiles);
        assert_eq!(fetched.deltas, publisher.deltas);
        assert!(fetched.network.is_none());
    }

    #[test]
    fn nothing_new_costs_a_root() {
        let mut publisher = TestBook::new(1);
        let copy = publisher.copy();
        let (fetched, asked) = publisher.download(Some(copy), |_| {});
        assert!(fetched.unwrap().is_none());
        assert_eq!(asked, [Want::Root]);
    }

    #[test]
    fn a_mirror_that_is_behind_changes_nothing() {
        let mut publisher = TestBook::new(1);
        let mut behind = TestBook::new(1);
        publisher.close(&change(1));
        let copy = publisher.copy();
        assert!(behind.download(Some(copy), |_| {}).0.unwrap().is_none());
    }

    #[test]
    fn some_epochs_later_come_the_roots_between_and_their_deltas() {
        let mut publisher = TestBook::new(2);
        let copy = publisher.copy();
        for epoch in 0..300 {
            publisher.close(&change(epoch));
        }
        let near = publisher.copy();
        for epoch in 0..3 {
            publisher.close(&change(epoch));
        }
        let (fetched, asked) = publisher.download(Some(near), |_| {});
        let deltas = [302, 303, 304].map(Want::Delta);
        assert_eq!(asked[..2], [Want::Root, Want::Roots(1)]);
        assert_eq!(asked[2..], deltas);
        assert_eq!(fetched.unwrap().unwrap().copy.tiles(), publisher.tiles);

        let (fetched, asked) = publisher.download(Some(copy), |_| {});
        let fetched = fetched.unwrap().unwrap();
        assert_eq!(
            asked[..4],
            [Want::Root, Want::Roots(0), Want::Roots(1), Want::Tile(0)]
        );
        assert_eq!(fetched.copy.tiles(), publisher.tiles);
        assert_eq!(fetched.roots, publisher.roots[1..]);
    }

    #[test]
    fn unsigned_settings_are_refused_and_new_ones_fetched() {
        let mut publisher = TestBook::new(1);
        let copy = publisher.copy();
        publisher.network = b"others".to_vec();
        publisher.close(&change(1));
        let (fetched, _) = publisher.download(Some(copy.clone()), |_| {});
        let network = fetched.unwrap().unwrap().network;
        assert_eq!(network.as_deref(), Some(&b"others"[..]));
        publisher.network = b"false".to_vec();
        let (fetched, _) = publisher.download(Some(copy), |_| {});
        assert_eq!(fetched.err(), Some(FetchError::Network));
    }

    #[test]
    fn a_book_with_another_past_is_caught_and_both_roots_are_kept() {
        let (mut publisher, mut other) = (TestBook::new(1), TestBook::new(1));
        publisher.close(&change(1));
        let copy = publisher.copy();
        for epoch in 2..6 {
            other.close(&change(epoch));
        }
        let (fetched, _) = other.download(Some(copy), |_| {});
        let Err(FetchError::Copy(CopyError::Lie(lie))) = fetched else {
            panic!("{fetched:?}");
        };
        assert_eq!((lie.known, lie.shown), (publisher.roots[1], other.roots[2]));
    }

    #[test]
    fn a_client_that_has_lost_the_tiles_still_knows_the_past_roots() {
        let (mut publisher, mut other) = (TestBook::new(1), TestBook::new(1));
        publisher.close(&change(1));
        let last = publisher.roots.last().copied();
        for epoch in 2..6 {
            publisher.close(&change(epoch));
            other.close(&change(epoch));
        }
        let run = |publisher: &TestBook, last| {
            let mut fetch = publisher.fetch(None).after(last);
            while let Some(want) = fetch.wants() {
                fetch.handle_answer(&publisher.answer(want))?;
            }
            fetch.finish()
        };
        let fetched = run(&publisher, last).unwrap().unwrap();
        assert_eq!(fetched.roots, publisher.roots[2..]);
        assert_eq!(fetched.copy.tiles(), publisher.tiles);
        let lied = run(&other, last).unwrap_err();
        assert!(
            matches!(lied, FetchError::Copy(CopyError::Lie(_))),
            "{lied:?}"
        );
        let last = publisher.roots.last().copied();
        let again = run(&publisher, last).unwrap().unwrap();
        assert_eq!(again.copy.tiles(), publisher.tiles);
        assert_eq!(again.roots, []);
    }

    #[test]
    fn a_client_that_has_lost_the_tiles_takes_no_older_book_than_it_has_seen() {
        let mut publisher = TestBook::new(1);
        for epoch in 1..5 {
            publisher.close(&change(epoch));
        }
        let last = publisher.roots.last().copied();
        publisher.roots.truncate(3);
        let mut fetch = publisher.fetch(None).after(last);
        let older = publisher.answer(Want::Root);
        assert_eq!(fetch.handle_answer(&older), Err(FetchError::Older));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn whenever_epochs_close_the_copy_is_that_of_its_root(
            before in 0_usize..80,
            closing in proptest::collection::vec(any::<bool>(), 12),
            fresh in any::<bool>(),
        ) {
            let mut publisher = TestBook::new(3);
            let copy = publisher.copy();
            for epoch in 0..before {
                publisher.close(&change(epoch));
            }
            let mut closing = closing.into_iter().chain(std::iter::repeat(false));
            let known = Some(copy).filter(|_| !fresh);
            let (fetched, _) = publisher.download(known, |publisher| {
                if closing.next() == Some(true) {
                    publisher.close(&change(publisher.roots.len()));
                }
            });
            if let Some(fetched) = fetched.unwrap() {
                let root = *fetched.copy.root();
                let at = root.states().epoch as usize - 1;
                prop_assert_eq!(root, publisher.roots[at]);
                prop_assert_eq!(fetched.roots.last(), Some(&root));
                // Hashed anew, it is what the root names.
                let tiles = fetched.copy.tiles().to_vec();
                prop_assert!(VerifiedBook::settle(tiles, &[root], &[]).is_ok());
            } else {
                prop_assert!(before == 0 && !fresh);
            }
        }

        #[test]
        fn any_bytes_are_taken_or_refused(
            answers in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5),
        ) {
            let mut fetch = TestBook::new(1).fetch(None);
            for answer in answers {
                if fetch.handle_answer(&answer).is_err() {
                    break;
                }
            }
            prop_assert!(!matches!(fetch.finish(), Ok(Some(_))));
        }
    }
}
