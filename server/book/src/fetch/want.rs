//! The files of a book that engines ask for, and how large an answer may be.

use crate::blocks::{BLOCK_ROOTS, BLOCK_STEPS};
use crate::root::ROOT_BYTES;
use crate::step::MAX_STEP;
use crate::tile::TILE_BYTES;

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
