//! What to download, in which order, to have the newest book, and what of it is believed: a machine that is told bytes and asks
//! for more, so that any way of carrying them will do, and none has to be trusted.
//!
//! ```text
//!   newest step ─┬─▶ the one after ours ──────────────────────────────────────────────────────┬─▶ settings, if others ─▶ done
//!                ├─▶ a few hours ahead ─────▶ steps between ──────────────────────────────────┤
//!                └─▶ nothing known, or long ago ─▶ roots between ─▶ all tiles ─▶ steps since ─┘
//! ```
//! The number that is about to be called is nowhere in it: all engines ask for the same.

mod chain;
mod fault;
mod want;

use std::sync::Arc;

use sha2::{Digest, Sha256};

use self::fault::lie;
use crate::blocks::{BLOCK_ROOTS, BLOCK_STEPS, block_of};
use crate::bounds::MAX_AHEAD;
use crate::copy::{CopyError, VerifiedBook};
use crate::delta::Delta;
use crate::history::RootHistory;
use crate::keys::BookKey;
use crate::root::Root;
use crate::step::Step;
use crate::tile::Tile;

pub use self::fault::FetchError;
pub use self::want::Want;

/// Epochs behind which tiles cost less than deltas: five hours at one a minute.
pub const MOST_BEHIND: u32 = 320;

/// What is new.
#[derive(Debug)]
pub struct Fetched {
    /// The newest book.
    pub copy: VerifiedBook,
    /// The roots after the one that was known, the oldest first; the last one, if there is any, is that of the copy. Of more than
    /// [`RootHistory`] keeps, the newest.
    pub roots: Vec<Root>,
    /// The deltas that led here, if no tiles were downloaded.
    pub deltas: Vec<Delta>,
    /// The settings, if they are others than those that were known.
    pub network: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The newest step.
    First,
    /// The roots up to it.
    Roots,
    Tiles,
    /// The newest step again, because tiles take time.
    Last,
    /// The steps up to it.
    Steps,
    Network,
    Done,
}

/// One download. Ask [`Self::wants`], bring it with [`Self::handle_answer`], until nothing is wanted.
#[derive(Debug)]
pub struct Fetch {
    book: BookKey,
    now: u64,
    known: Option<VerifiedBook>,
    last: Option<Root>,
    network: Option<[u8; 32]>,
    stage: Stage,
    goal: Option<Step>,
    /// The next epoch to ask for.
    next: u32,
    blocks: u32,
    roots: RootHistory,
    /// The root at which the tiles, known or downloaded, are: deltas begin after it.
    base: Option<Root>,
    tiles: Vec<Arc<Tile>>,
    deltas: Vec<Delta>,
    fresh_network: Option<Vec<u8>>,
}

impl Fetch {
    /// A download for an engine with this copy of the book with this key, and settings with this hash. `now` in Unix seconds.
    #[must_use]
    pub fn new(
        book: BookKey,
        known: Option<VerifiedBook>,
        network: Option<[u8; 32]>,
        now: u64,
    ) -> Self {
        Self {
            book,
            now,
            last: known.as_ref().map(|copy| *copy.root()),
            known,
            network,
            stage: Stage::First,
            goal: None,
            next: 0,
            blocks: 0,
            roots: RootHistory::default(),
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
            Stage::First | Stage::Last => Some(Want::Newest),
            Stage::Roots => Some(Want::Roots(block_of(self.next, BLOCK_ROOTS))),
            Stage::Steps => Some(Want::Steps(block_of(self.next, BLOCK_STEPS))),
            Stage::Tiles => u16::try_from(self.tiles.len()).ok().map(Want::Tile),
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
            Stage::First => self.handle_first(Step::decode(bytes, &self.book)?)?,
            Stage::Last => self.handle_last(Step::decode(bytes, &self.book)?)?,
            Stage::Roots => self.handle_roots(bytes)?,
            Stage::Steps => self.handle_steps(bytes)?,
            Stage::Tiles => {
                let tile = Tile::decode(bytes).map_err(|_| FetchError::Damaged)?;
                self.tiles.push(Arc::new(tile));
                if Some(self.tiles.len()) == self.plan_tiles() {
                    self.stage = Stage::Last;
                }
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
            roots: self.roots.iter().copied().collect(),
            deltas,
            network: self.fresh_network,
        }))
    }

    fn handle_first(&mut self, newest: Step) -> Result<(), FetchError> {
        let root = newest.root;
        if root.states().closed > self.now.saturating_add(MAX_AHEAD) {
            return Err(FetchError::Ahead);
        }
        let Some(last) = self.last else {
            // Nothing is known: all tiles, from this root on.
            self.roots.add(root);
            self.take_tiles(root);
            return Ok(());
        };
        if root.contradicts(&last) {
            return Err(lie(last, root));
        }
        if root.states().epoch <= last.states().epoch {
            return self.handle_nothing_new(root, last);
        }
        self.goal = Some(newest);
        self.next = last.states().epoch.saturating_add(1);
        let near = self.known.as_ref().map(|copy| *copy.root());
        let near = near.filter(|known| self.is_near(known, &root));
        self.base = near;
        self.stage = if near.is_some() {
            Stage::Steps
        } else {
            Stage::Roots
        };
        self.go_on()
    }

    /// Whether the steps from the one to the other cost less than the tiles.
    fn is_near(&self, known: &Root, goal: &Root) -> bool {
        let (from, to) = (known.states(), goal.states());
        from.plan == to.plan
            && (to.previous == known.hash() || to.epoch - from.epoch <= MOST_BEHIND)
    }

    fn handle_nothing_new(&mut self, root: Root, last: Root) -> Result<(), FetchError> {
        if self.known.is_none() {
            if root != last {
                return Err(FetchError::Older);
            }
            // The copy is lost, and its root is not: it is here already.
            self.take_tiles(root);
            return Ok(());
        }
        // Nothing new, or a mirror that is behind.
        self.stage = Stage::Done;
        if self.network != Some(last.states().network) && root == last {
            self.base = Some(last);
            self.stage = Stage::Network;
        }
        Ok(())
    }

    /// The newest step after all tiles have come.
    fn handle_last(&mut self, newest: Step) -> Result<(), FetchError> {
        let tip = self.tip().ok_or(CopyError::Order)?;
        if newest.root.contradicts(&tip) {
            return Err(lie(tip, newest.root));
        }
        self.next = tip.states().epoch.saturating_add(1);
        self.stage = Stage::Steps;
        self.goal = Some(newest);
        self.go_on()
    }

    /// All tiles, as they are at this root or later.
    fn take_tiles(&mut self, base: Root) {
        self.base = Some(base);
        self.deltas.clear();
        self.stage = Stage::Tiles;
    }

    /// The settings, or the end.
    fn end(&mut self) {
        let named = self.tip().map(|tip| tip.states().network);
        self.stage = if self.network == named {
            Stage::Done
        } else {
            Stage::Network
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

    fn plan_tiles(&self) -> Option<usize> {
        self.base
            .map(|base| usize::from(base.states().plan.tiles()))
    }
}

#[cfg(test)]
mod tests;
