//! What to download, in which order, to have the newest book, and what of it is believed: a machine that is told bytes and asks
//! for more, so that any way of carrying them will do, and none has to be trusted.
//!
//! ```text
//!   newest step ─┬─▶ the one after ours ──────────────────────────────────────────────────────┬─▶ settings, if others ─▶ done
//!                ├─▶ a few hours ahead ─────▶ steps between ──────────────────────────────────┤
//!                └─▶ nothing known, or long ago ─▶ roots between ─▶ all tiles ─▶ steps since ─┘
//! ```
//! The number that is about to be called is nowhere in it: all engines ask for the same.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::blocks::{BLOCK_ROOTS, BLOCK_STEPS, block_of, first_of_block};
use crate::bounds::MAX_AHEAD;
use crate::copy::{CopyError, Lie, VerifiedBook, check_next};
use crate::delta::Delta;
use crate::history::RootHistory;
use crate::keys::BookKey;
use crate::root::{ROOT_BYTES, Root, RootError};
use crate::step::{MAX_STEP, Step, StepError};
use crate::tile::{TILE_BYTES, Tile};

/// Epochs behind which tiles cost less than deltas: five hours at one a minute.
pub const MOST_BEHIND: u32 = 320;

/// Blocks of a download, which may be empty: two years at one epoch a minute.
const MOST_BLOCKS: u32 = 4_096;

/// Largest settings: with many relays they take about 2 kB.
const MOST_NETWORK: usize = 64 * 1024;

/// A file that the book serves to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The newest step.
    Newest,
    /// The roots of epochs `block * 256 + 1` and on.
    Roots(u32),
    /// The steps of epochs `block * 16 + 1` and on.
    Steps(u32),
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
            Self::Newest => MAX_STEP,
            Self::Roots(_) => ROOT_BYTES * BLOCK_ROOTS as usize,
            Self::Steps(_) => MAX_STEP * BLOCK_STEPS as usize,
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
    /// A root from the future.
    #[error("the phone book is dated more than a day ahead of this machine's clock")]
    Ahead,
    /// A tile or a delta that is none.
    #[error("a part of the phone book is damaged")]
    Damaged,
}

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

    /// Handles the roots of a block, as far as they are wanted.
    fn handle_roots(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let (parts, rest) = bytes.as_chunks::<ROOT_BYTES>();
        if !rest.is_empty() {
            return Err(FetchError::Damaged);
        }
        let roots = parts.iter().map(|part| Root::decode(part, &self.book));
        let roots: Vec<Root> = roots.collect::<Result<_, _>>()?;
        for root in &roots {
            if self.is_wanted(root) {
                self.push(*root, &roots)?;
            }
        }
        self.next_block(BLOCK_ROOTS)
    }

    /// Handles the steps of a block, as far as they are wanted.
    fn handle_steps(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (step, after) = Step::decode_first(rest, &self.book)?;
            if self.is_wanted(&step.root) {
                self.push_step(step)?;
            }
            rest = after;
        }
        self.next_block(BLOCK_STEPS)
    }

    fn is_wanted(&self, root: &Root) -> bool {
        let epoch = root.states().epoch;
        let above = self.tip().is_some_and(|tip| epoch > tip.states().epoch);
        let goal = self.goal.as_ref().map(|goal| goal.root.states().epoch);
        above && goal.is_some_and(|goal| epoch < goal)
    }

    fn next_block(&mut self, size: u32) -> Result<(), FetchError> {
        let following = block_of(self.next, size).saturating_add(1);
        self.next = first_of_block(following, size);
        self.blocks += 1;
        self.go_on()
    }

    /// Asks for the next block until only the newest step is missing, and goes on from there.
    fn go_on(&mut self) -> Result<(), FetchError> {
        let (Some(goal), Some(tip)) = (self.goal.clone(), self.tip()) else {
            return Err(CopyError::Order.into());
        };
        let (to, from) = (goal.root.states(), tip.states());
        let is_here = to.epoch <= from.epoch;
        if !is_here && to.previous != tip.hash() && self.next <= to.epoch {
            // A block that lacks what the newest root promised is one of a mirror that is behind, or of a book with another past.
            let more = self.blocks < MOST_BLOCKS;
            return more.then_some(()).ok_or_else(|| CopyError::Order.into());
        }
        if self.stage == Stage::Roots {
            if !is_here {
                self.push(goal.root, &[])?;
            }
            self.take_tiles(goal.root);
            return Ok(());
        }
        let root = goal.root;
        if !is_here {
            self.push_step(goal)?;
        }
        if self.stage == Stage::Steps {
            self.end();
        } else {
            self.take_tiles(root);
        }
        Ok(())
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

    /// A step without a delta is one to a book that goes on after a loss: its tiles are taken.
    fn push_step(&mut self, step: Step) -> Result<(), FetchError> {
        let Some(delta) = step.delta else {
            if !self.tiles.is_empty() {
                return Err(CopyError::Delta.into());
            }
            self.push(step.root, &[])?;
            self.stage = Stage::Roots;
            return Ok(());
        };
        self.push(step.root, &[])?;
        self.deltas.push(delta);
        Ok(())
    }

    /// Adds the next root. Where it does not follow, the others of its block may tell why.
    fn push(&mut self, root: Root, block: &[Root]) -> Result<(), FetchError> {
        let tip = self.tip().ok_or(CopyError::Order)?;
        if let Err(fault) = check_next(&tip, &root) {
            let other = block.iter().find(|other| other.contradicts(&tip));
            return Err(other.map_or(fault.into(), |other| lie(tip, *other)));
        }
        self.roots.add(root);
        Ok(())
    }

    /// The newest root of the chain so far.
    fn tip(&self) -> Option<Root> {
        self.roots.newest().copied().or(self.last)
    }

    fn plan_tiles(&self) -> Option<usize> {
        self.base
            .map(|base| usize::from(base.states().plan.tiles()))
    }
}

impl From<StepError> for FetchError {
    fn from(fault: StepError) -> Self {
        match fault {
            StepError::Root(fault) => Self::Root(fault),
            StepError::Delta(_) => Self::Damaged,
        }
    }
}

fn lie(known: Root, shown: Root) -> FetchError {
    CopyError::Lie(Box::new(Lie { known, shown })).into()
}

#[cfg(test)]
mod tests;
