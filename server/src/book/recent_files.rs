//! The public files of the newest epochs, which all engines ask for, in memory: the network settings, and the steps of the last block of
//! roots; what is older stands in the [`crate::store::Archive`].

use std::collections::VecDeque;
use std::sync::Arc;

use ringfence_book::blocks::{BLOCK_ROOTS, BLOCK_STEPS, block_of, first_of_block};
use ringfence_book::delta::Delta;
use ringfence_book::root::Root;
use ringfence_book::step::names_delta;

use crate::store::{Edition, RootBytes, StoredStep};

/// The deltas take no more than this together, whatever their length.
const MAX_RECENT_BYTES: usize = 4 * 1024 * 1024;

/// The files as they are after one epoch.
#[derive(Clone)]
pub(crate) struct RecentFiles {
    root: Root,
    network: Arc<[u8]>,
    /// Oldest first; the last is that of the root.
    steps: VecDeque<Arc<StoredStep>>,
}

impl RecentFiles {
    /// The files after the first epoch of a book.
    pub(crate) fn first(root: Root, network: Arc<[u8]>) -> Self {
        Self {
            root,
            network,
            steps: VecDeque::from([step(&root, None)]),
        }
    }

    /// The files after one more epoch.
    pub(crate) fn next(&self, root: Root, network: Arc<[u8]>, delta: Option<&Delta>) -> Self {
        let mut next = self.clone();
        let block = |root: &Root| block_of(root.states().epoch, BLOCK_ROOTS);
        if block(&root) != block(&self.root) {
            next.steps.clear();
        }
        (next.root, next.network) = (root, network);
        next.steps.push_back(step(&root, delta));
        next.trim();
        next
    }

    /// The files that a store's view holds; `root` is the view's, read.
    pub(crate) fn of(root: Root, edition: &Edition) -> Self {
        let mut files = Self {
            root,
            network: edition.network.as_slice().into(),
            steps: edition.block.iter().cloned().map(Arc::new).collect(),
        };
        files.trim();
        files
    }

    /// Forgets the deltas of the oldest steps while there are too many bytes of them.
    fn trim(&mut self) {
        let bytes = |step: &Arc<StoredStep>| step.delta.as_ref().map_or(0, Vec::len);
        let mut total: usize = self.steps.iter().map(bytes).sum();
        for step in &mut self.steps {
            if total <= MAX_RECENT_BYTES {
                break;
            }
            total -= bytes(step);
            Arc::make_mut(step).delta = None;
        }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn network(&self) -> &Arc<[u8]> {
        &self.network
    }

    /// The newest step.
    pub(crate) fn newest(&self) -> Option<Vec<u8>> {
        joined(self.steps.back().map(Arc::as_ref))
    }

    /// The roots of a block, if it is the last one.
    pub(crate) fn roots(&self, block: u32) -> Option<Vec<u8>> {
        let last = block_of(self.root.states().epoch, BLOCK_ROOTS);
        let roots = self.steps.iter().flat_map(|step| step.root);
        (block == last).then(|| roots.collect())
    }

    /// The steps of a block, if all of them are here.
    pub(crate) fn steps(&self, block: u32) -> Option<Vec<u8>> {
        let epochs = self.root.states().epoch;
        let is_here = first_of_block(block, BLOCK_STEPS)
            >= first_of_block(block_of(epochs, BLOCK_ROOTS), BLOCK_ROOTS)
            && block <= block_of(epochs, BLOCK_STEPS);
        let steps = self.steps.iter().map(Arc::as_ref);
        let mine = steps.filter(|step| block_of(step.epoch, BLOCK_STEPS) == block);
        is_here.then(|| joined(mine)).flatten()
    }
}

/// The bytes of these steps; `None` when a delta is no longer kept.
pub(crate) fn joined<'a>(steps: impl IntoIterator<Item = &'a StoredStep>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for step in steps {
        bytes.extend_from_slice(&step.root);
        if names_delta(&step.root) {
            bytes.extend_from_slice(step.delta.as_ref()?);
        }
    }
    Some(bytes)
}

fn step(root: &Root, delta: Option<&Delta>) -> Arc<StoredStep> {
    let bytes: RootBytes = root.encode();
    Arc::new(StoredStep {
        epoch: root.states().epoch,
        root: bytes,
        delta: delta.map(Delta::encode),
    })
}
