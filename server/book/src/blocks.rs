//! Blocks: the phone book serves the roots and the steps of its epochs in files by their numbers. Numbers may be skipped, so a block may
//! have fewer than it has room for, or none. All but the last never change.

/// Numbers in a block of roots.
pub const BLOCK_ROOTS: u32 = 256;

/// Numbers in a block of steps ([`crate::step`]).
pub const BLOCK_STEPS: u32 = 16;

/// The block of `size` numbers that an epoch is in. Epochs are counted from 1, blocks from 0.
#[must_use]
pub const fn block_of(epoch: u32, size: u32) -> u32 {
    epoch.saturating_sub(1) / size
}

/// The first epoch of a block.
#[must_use]
pub const fn first_of_block(block: u32, size: u32) -> u32 {
    block.saturating_mul(size).saturating_add(1)
}

/// The last epoch of a block.
#[must_use]
pub const fn last_of_block(block: u32, size: u32) -> u32 {
    first_of_block(block, size).saturating_add(size - 1)
}
