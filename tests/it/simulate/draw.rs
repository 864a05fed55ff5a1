//! What a course draws from its seed.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// The random choices of one course.
#[derive(Debug)]
pub(super) struct Draw(ChaCha20Rng);

impl Draw {
    /// Those of a seed, apart from those of its world.
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed ^ 0x51e0_c0de))
    }

    /// From 0 to `end`, excluded.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.next_u32() as usize % end
    }

    /// From 0 to `end`, excluded.
    pub(super) fn number(&mut self, end: u32) -> u32 {
        self.0.next_u32() % end
    }

    /// True in so many of a hundred cases.
    pub(super) fn chance(&mut self, hundredths: u32) -> bool {
        self.number(100) < hundredths
    }

    /// So many milliseconds.
    pub(super) fn span(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + u64::from(self.0.next_u32()) % (to - from))
    }

    /// One of these.
    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Random bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
