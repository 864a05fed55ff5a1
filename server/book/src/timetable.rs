//! When engines look at the book: once in each epoch, each at a random moment that has nothing to do with calls.

use std::time::Duration;

use crate::root::Root;

/// From the closing of an epoch to the earliest download of it.
const SETTLING: Duration = Duration::from_secs(2);

/// The shortest pause, whatever the book says.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// When to look for the book after this root, by a wall clock that shows `now` in Unix seconds; `die` is 0 to 1, and random.
///
/// Each engine downloads once in each epoch, at a random moment in the seven tenths of it after its beginning. A record that waits for
/// one epoch to be closed and for this download is known to all within 1.7 periods: 102 s at the 60 that are usual. An engine that
/// finds nothing new, because a clock is wrong or the book late, looks again soon.
#[must_use]
pub fn next_look(root: &Root, now: u64, die: f64) -> Duration {
    let states = root.states();
    let period = Duration::from_secs(u64::from(states.period));
    let until = Duration::from_secs(states.due().saturating_sub(now)).min(period);
    let die = die.clamp(0.0, 1.0);
    if until.is_zero() {
        return period.mul_f64(0.05 + 0.1 * die).max(LEAST_PAUSE);
    }
    until + SETTLING + period.mul_f64(0.7 * die)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::copy::tests::TestBook;
    use crate::root::Statement;

    #[test]
    fn every_client_looks_once_in_an_epoch_and_all_within_seven_tenths_of_it() {
        let root = *TestBook::new(1).roots.first().unwrap();
        let closed = root.states().closed;
        let at = |now: u64, die| next_look(&root, closed + now, die).as_secs() + now;
        assert_eq!((at(100, 0.0), at(100, 1.0)), (302, 512));
        assert_eq!((at(0, 0.0), at(299, 1.0)), (302, 512));
        // Late: soon again. A clock that is far behind waits for no more than an epoch and its share.
        assert_eq!((at(400, 0.0), at(400, 1.0)), (415, 445));
        assert_eq!(next_look(&root, 0, 1.0).as_secs(), 300 + 2 + 210);
    }

    #[test]
    fn a_book_of_short_epochs_is_looked_at_once_a_second_at_most() {
        let states = Statement {
            period: 1,
            epoch: 1,
            ..*TestBook::new(1).roots.first().unwrap().states()
        };
        let root = Root::sign(&SigningKey::from_bytes(&[1; 32]), states);
        for now in [0, states.closed, states.closed + 100] {
            assert!(next_look(&root, now, 0.0) >= LEAST_PAUSE, "{now}");
        }
    }
}
