//! The way from the root that is known to the newest one, block by block: every root must name the one before.

use super::fault::{FetchError, lie};
use super::{Fetch, Stage};
use crate::blocks::{BLOCK_ROOTS, BLOCK_STEPS, block_of, first_of_block};
use crate::copy::{CopyError, check_next};
use crate::root::{ROOT_BYTES, Root};
use crate::step::Step;

/// Blocks of a download, which may be empty: two years at one epoch a minute.
pub(super) const MOST_BLOCKS: u32 = 4_096;

impl Fetch {
    /// Handles the roots of a block, as far as they are wanted.
    pub(super) fn handle_roots(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
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
    pub(super) fn handle_steps(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
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

    /// The book has no such file. Steps that it has lost are not needed: roots and all tiles lead to the same copy.
    ///
    /// # Errors
    /// [`FetchError::Damaged`] for any other file: the download is over, and what was known stays.
    pub fn handle_absence(&mut self) -> Result<(), FetchError> {
        let tip = self
            .tip()
            .filter(|_| self.stage == Stage::Steps && self.tiles.is_empty());
        let tip = tip.ok_or(FetchError::Damaged)?;
        self.next = tip.states().epoch.saturating_add(1);
        self.stage = Stage::Roots;
        self.go_on()
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
    pub(super) fn go_on(&mut self) -> Result<(), FetchError> {
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
    pub(super) fn tip(&self) -> Option<Root> {
        self.roots.newest().copied().or(self.last)
    }
}
