//! The public files of the newest epochs, which all engines ask for, in memory. The last root, the network
//! settings that it names, the roots of the last block and the newest deltas; what is older stands in the [`crate::store::Archive`].

use std::collections::VecDeque;
use std::sync::Arc;

use ringfence_book::blocks::{RECENT_DELTAS, block_of, first_of_block};
use ringfence_book::delta::Delta;
use ringfence_book::root::Root;

use crate::store::Edition;

/// Together they take no more than this, whatever their length.
const MAX_RECENT_BYTES: usize = 4 * 1024 * 1024;

/// The files as they are after one epoch.
#[derive(Clone)]
pub(crate) struct RecentFiles {
    root: Root,
    network: Arc<[u8]>,
    block: Vec<u8>,
    /// Oldest first; the last leads to the root.
    deltas: VecDeque<Arc<[u8]>>,
}

impl RecentFiles {
    /// The files after the first epoch of a book.
    pub(crate) fn first(root: Root, network: Arc<[u8]>) -> Self {
        Self {
            root,
            network,
            block: root.encode().to_vec(),
            deltas: VecDeque::new(),
        }
    }

    /// The files after one more epoch.
    pub(crate) fn next(&self, root: Root, network: Arc<[u8]>, delta: &Delta) -> Self {
        let mut next = self.clone();
        let epoch = root.states().epoch;
        if first_of_block(block_of(epoch)) == epoch {
            next.block.clear();
        }
        next.block.extend_from_slice(&root.encode());
        (next.root, next.network) = (root, network);
        next.deltas.push_back(delta.encode().into());
        next.trim();
        next
    }

    /// The files that a store's view holds; `root` is the view's, read.
    pub(crate) fn of(root: Root, edition: &Edition) -> Self {
        let mut files = Self {
            root,
            network: edition.network.as_slice().into(),
            block: edition.block.iter().flatten().copied().collect(),
            deltas: edition
                .deltas
                .iter()
                .map(|delta| delta.as_slice().into())
                .collect(),
        };
        files.trim();
        files
    }

    fn trim(&mut self) {
        let bytes =
            |deltas: &VecDeque<Arc<[u8]>>| deltas.iter().map(|delta| delta.len()).sum::<usize>();
        while self.deltas.len() > RECENT_DELTAS as usize || bytes(&self.deltas) > MAX_RECENT_BYTES {
            self.deltas.pop_front();
        }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn network(&self) -> &Arc<[u8]> {
        &self.network
    }

    /// The roots of a block, if it is the last one.
    pub(crate) fn roots(&self, block: u32) -> Option<&[u8]> {
        let last = block_of(self.root.states().epoch);
        (block == last).then_some(self.block.as_slice())
    }

    /// The delta that leads to this epoch, if it is a new one.
    pub(crate) fn delta(&self, epoch: u32) -> Option<&Arc<[u8]>> {
        let behind = self.root.states().epoch.checked_sub(epoch)?;
        let index = self.deltas.len().checked_sub(1 + behind as usize)?;
        self.deltas.get(index)
    }
}
