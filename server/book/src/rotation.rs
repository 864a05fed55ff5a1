//! How often keys in the book change, one law for real numbers and decoys: [`ring_key_life`]. Owners' engines and the book draw from it
//! when a ring key is made, and renew the key when its life is over. So neither how long a ring key has stood nor when it changes
//! tells an assigned number from an unassigned one, and no ring key lasts longer than [`LONGEST_LIFE`]: what a thief of one can read
//! is bounded.
//!
//! Not hidden: an engine that is switched off renews no key meanwhile, and the identity of a number changes when an owner activates
//! it or gives it up. See README.md for how likely that makes what.

use std::time::Duration;

use rand_core::Rng;

/// The mean of the exponential distribution from which the life of a ring key comes: 28 days.
pub const RING_KEY_LIFE: Duration = Duration::from_secs(28 * DAY);

/// The longest life of a ring key: 60 days.
pub const LONGEST_LIFE: Duration = Duration::from_secs(60 * DAY);

/// The mean of [`ring_key_life`]: 28 days times 1 - exp(-60 / 28).
pub const MEAN_LIFE: Duration = Duration::from_secs(2_135_381);

/// How long a decoy keeps its identity, on average: 365 days.
pub const IDENTITY_LIFE: Duration = Duration::from_secs(365 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// How long a new ring key is used, be it an owner's or a decoy's.
pub fn ring_key_life(rng: &mut impl Rng) -> Duration {
    exponential(RING_KEY_LIFE, rng).min(LONGEST_LIFE)
}

/// What is left of the life of a ring key that is met at any moment. The first decoys of a book get so much, as if they had been there
/// for ever; so they are not renewed all at once when the longest life is over.
pub fn rest_of_life(rng: &mut impl Rng) -> Duration {
    loop {
        let rest = exponential(RING_KEY_LIFE, rng);
        if rest < LONGEST_LIFE {
            return rest;
        }
    }
}

/// When a decoy gets another identity, as if its number changed hands. Without memory, so that it can be drawn anew with each ring key.
pub fn change_of_hands(rng: &mut impl Rng) -> Duration {
    exponential(IDENTITY_LIFE, rng)
}

/// Ring keys that are renewed in a period among so many numbers, on average, rounded up.
#[must_use]
pub fn due(numbers: u32, period: u32) -> u64 {
    (u64::from(numbers) * u64::from(period)).div_ceil(MEAN_LIFE.as_secs())
}

fn exponential(mean: Duration, rng: &mut impl Rng) -> Duration {
    // In the middle of its step, so that it is never 0, whose logarithm is endless.
    let share = (f64::from(rng.next_u32()) + 0.5) / (f64::from(u32::MAX) + 1.0);
    mean.mul_f64(-share.ln())
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn drawn(draw: impl Fn(&mut ChaCha20Rng) -> Duration) -> Vec<f64> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let lives = (0..20_000).map(|_| draw(&mut rng));
        lives
            .map(|life| life.div_duration_f64(RING_KEY_LIFE))
            .collect()
    }

    fn mean(lives: &[f64]) -> f64 {
        lives.iter().sum::<f64>() / lives.len() as f64
    }

    #[test]
    fn a_ring_key_has_no_memory_until_sixty_days_and_lasts_no_longer() {
        let lives = drawn(ring_key_life);
        let expected = MEAN_LIFE.div_duration_f64(RING_KEY_LIFE);
        assert!((mean(&lives) - expected).abs() < 0.02, "{}", mean(&lives));
        let longest = LONGEST_LIFE.div_duration_f64(RING_KEY_LIFE);
        assert!(lives.iter().all(|life| *life <= longest));
        // A key that has lasted for one mean life lasts for another with the same probability.
        let longer = |than: f64| lives.iter().filter(|life| **life > than).count() as f64;
        let (first, second) = (longer(1.0) / 20_000.0, longer(2.0) / longer(1.0));
        assert!((0.355..0.381).contains(&first), "{first}");
        assert!((0.345..0.391).contains(&second), "{second}");
    }

    #[test]
    fn the_rest_of_a_life_is_what_is_left_at_any_moment() {
        // Of keys that replace each other, looked at ten thousand times.
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let (mut until, mut rests) = (0.0, Vec::new());
        for look in 0..10_000 {
            let now = f64::from(look) * 0.7;
            while until <= now {
                until += ring_key_life(&mut rng).div_duration_f64(RING_KEY_LIFE);
            }
            rests.push(until - now);
        }
        let rest = mean(&drawn(rest_of_life));
        assert!(
            (mean(&rests) - rest).abs() < 0.03,
            "{} {rest}",
            mean(&rests)
        );
    }

    #[test]
    fn the_renewals_that_are_due_are_counted() {
        assert_eq!(due(10_240, 60), 1);
        assert_eq!(due(10_240, 300), 2);
        assert_eq!(due(1_000_000, 300), 141);
        assert_eq!(due(10_240, 86_400), 415);
        assert_eq!(due(u32::MAX, 86_400), 173_779_375);
    }
}
