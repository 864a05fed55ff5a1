//! Blocks of roots: the phone book serves the roots of its epochs in files of 256, of which all but the last never change.

use crate::root::ROOT_BYTES;

/// Roots in a block of roots: block `b` holds the epochs `b * 256 + 1` to `b * 256 + 256`.
pub const BLOCK_ROOTS: u32 = 256;

/// Deltas at hand. An engine that is further behind does better to fetch tiles.
pub const RECENT_DELTAS: u32 = 64;

/// The block that an epoch's root is in. Epochs are counted from 1, blocks from 0.
#[must_use]
pub const fn block_of(epoch: u32) -> u32 {
    epoch.saturating_sub(1) / BLOCK_ROOTS
}

/// The first epoch of a block.
#[must_use]
pub const fn first_of_block(block: u32) -> u32 {
    block.saturating_mul(BLOCK_ROOTS).saturating_add(1)
}

/// Whether the roots are those of one whole block.
#[must_use]
pub fn is_full_block(roots: &[u8]) -> bool {
    roots.len() == BLOCK_ROOTS as usize * ROOT_BYTES
}
