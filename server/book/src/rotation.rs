//! How often keys in the book change, one law for real numbers and decoys: each new ring key, and each new identity of a decoy, comes
//! after a wait without memory (exponential), whatever came before. The engine draws the wait for its own ring key; the book draws one
//! for every decoy in each epoch, and those that are over before the epoch is have their turn. So neither how long a ring key has
//! stood nor when it changes tells an assigned number from an unassigned one.
//!
//! Not hidden: an engine that is switched off renews no key meanwhile, and the identity of a number changes when an owner activates
//! it or gives it up. See README.md for how likely that makes what.

use std::time::Duration;

use rand_core::Rng;

/// How long a ring key is used, on average: 28 days.
pub const RING_KEY_LIFE: Duration = Duration::from_secs(28 * DAY);

/// How long a decoy keeps its identity, on average: 365 days.
pub const IDENTITY_LIFE: Duration = Duration::from_secs(365 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// A wait without memory of this mean, at most 22 times as long.
pub fn wait(mean: Duration, rng: &mut impl Rng) -> Duration {
    // In the middle of its step, so that it is never 0, whose logarithm is endless.
    let share = (f64::from(rng.next_u32()) + 0.5) / (f64::from(u32::MAX) + 1.0);
    mean.mul_f64(-share.ln())
}

/// Whether such a wait is over within this time.
pub fn comes_within(elapsed: Duration, mean: Duration, rng: &mut impl Rng) -> bool {
    wait(mean, rng) < elapsed
}

/// Changes that are due in a period among so many numbers, on average, rounded up.
#[must_use]
pub fn due(numbers: u32, period: u32) -> u64 {
    let (ring_key, identity) = (RING_KEY_LIFE.as_secs(), IDENTITY_LIFE.as_secs());
    // The sum of both rates, its denominator brought down so far that no product leaves 64 bits.
    let changes = u64::from(numbers) * u64::from(period) * ((ring_key + identity) / DAY);
    changes.div_ceil(ring_key / DAY * identity)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_wait_has_its_mean_and_no_memory() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let waits: Vec<f64> = (0..20_000)
            .map(|_| wait(RING_KEY_LIFE, &mut rng).div_duration_f64(RING_KEY_LIFE))
            .collect();
        let mean = waits.iter().sum::<f64>() / 20_000.0;
        assert!((0.97..1.03).contains(&mean), "{mean}");
        // A key that has lasted for one mean life lasts for another with the same probability.
        let longer = |than: f64| waits.iter().filter(|wait| **wait > than).count() as f64;
        let (first, second) = (longer(1.0) / 20_000.0, longer(2.0) / longer(1.0));
        assert!((0.355..0.381).contains(&first), "{first}");
        assert!((0.345..0.391).contains(&second), "{second}");
    }

    #[test]
    fn the_changes_that_are_due_are_counted() {
        assert_eq!(due(10_240, 300), 2);
        assert_eq!(due(1_000_000, 300), 134);
        assert_eq!(due(10_240, 86_400), 394);
        assert_eq!(due(u32::MAX, 86_400), 165_158_723);
    }
}
