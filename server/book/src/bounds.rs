//! What an engine accepts of a phone book, which it does not trust: bounds of what the book publishes, and of what a download may cost.
//!
//! A book outside of the bounds is refused, and the engine goes on with what it had. The phone book's service checks its own settings
//! against the same constants. The bounds of the single answers are [`crate::fetch::Want::most`]'s.

use std::time::Duration;

use thiserror::Error;

use crate::wire::NetworkSettings;

/// Most seconds from one epoch to the next: with more, a book could be frozen for as long as it likes. The fewest are 1.
pub const MAX_PERIOD: u32 = 60 * 60;

/// How far a root may be dated ahead of an engine's clock, in seconds: with more, a book could be frozen and pass for a fresh one.
pub const MAX_AHEAD: u64 = 24 * 60 * 60;

/// Most leading zero bits of a proof of work: 2^26 hashes keep one core busy for some ten seconds.
pub const MAX_WORK_BITS: u8 = 26;

/// Most bits of a bucket. With more, the 256 crowds of a network of thousands would become so small that a tag names an engine.
pub const MAX_BUCKET_BITS: u8 = 8;

/// Most relays, and most TURN servers, in settings too: every ring goes to all relays, and each allocation lets through all servers.
pub const MAX_SERVERS: usize = 8;

/// Longest URL of a relay or TURN server in bytes.
pub const MAX_URL: usize = 256;

/// Most bytes of one download: the largest plan has 201 MB, and the roots of a year at one a minute 114 MB.
const MOST_BYTES: u64 = 384 << 20;

/// Time for a download beside what its answers take.
const GRACE: Duration = Duration::from_secs(60);

/// Time for the way of each answer.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// Slowest rate in bytes a second at which answers may come.
const LEAST_RATE: u64 = 8_192;

/// A setting of the book outside of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BoundsError {
    /// A proof of work that would keep engines busy.
    #[error("workBits is {0}, and at most {MAX_WORK_BITS} are accepted")]
    WorkBits(u8),
    /// Buckets so small that they would name an engine.
    #[error("bucketBits is {0}, and at most {MAX_BUCKET_BITS} are accepted")]
    BucketBits(u8),
    /// Too many relays, or too long a URL.
    #[error("it names more than {MAX_SERVERS} relays, or one of more than {MAX_URL} bytes")]
    Relays,
    /// Too many TURN servers, or too long a URL.
    #[error("it names more than {MAX_SERVERS} TURN servers, or one of more than {MAX_URL} bytes")]
    Turn,
}

impl NetworkSettings {
    /// Checks what is not bounded by its type.
    ///
    /// # Errors
    /// [`BoundsError`]: the first setting outside of its bounds.
    pub fn check_bounds(&self) -> Result<(), BoundsError> {
        check(self.work_bits, self.bucket_bits, &self.relays, &self.turn)
    }
}

/// Checks what a book is about to tell engines.
///
/// # Errors
/// [`BoundsError`]: the first setting outside of its bounds.
pub fn check(
    work_bits: u8,
    bucket_bits: u8,
    relays: &[String],
    turn: &[String],
) -> Result<(), BoundsError> {
    let fits =
        |urls: &[String]| urls.len() <= MAX_SERVERS && urls.iter().all(|url| url.len() <= MAX_URL);
    if work_bits > MAX_WORK_BITS {
        return Err(BoundsError::WorkBits(work_bits));
    }
    if bucket_bits > MAX_BUCKET_BITS {
        return Err(BoundsError::BucketBits(bucket_bits));
    }
    if !fits(relays) {
        return Err(BoundsError::Relays);
    }
    if !fits(turn) {
        return Err(BoundsError::Turn);
    }
    Ok(())
}

/// A download that costs more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DownloadCost {
    /// More bytes than the largest book has.
    #[error("its answers have more than {} MB in all", MOST_BYTES >> 20)]
    Bytes,
    /// So slow that it might never end.
    #[error("its answers come too slowly")]
    Slow,
}

/// What one download has cost so far. A book that stalls, trickles or never ends costs a bounded time and a bounded number of bytes,
/// after which the next attempt begins anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct DownloadBudget {
    answers: u32,
    bytes: u64,
}

impl DownloadBudget {
    /// The moment, counted from the beginning of the download, at which it is too slow.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        let carried = Duration::from_secs(self.bytes / LEAST_RATE);
        GRACE + ROUND_TRIP.saturating_mul(self.answers) + carried
    }

    /// Counts an answer of so many bytes that came `passed` after the beginning.
    ///
    /// # Errors
    /// [`DownloadCost`].
    pub fn handle_answer(&mut self, bytes: usize, passed: Duration) -> Result<(), DownloadCost> {
        self.answers = self.answers.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > MOST_BYTES {
            return Err(DownloadCost::Bytes);
        }
        if passed > self.deadline() {
            return Err(DownloadCost::Slow);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Want;
    use crate::number::NumberPlan;
    use crate::root::ROOT_BYTES;

    /// Seconds and bytes until a download of answers of one size at one pace is refused.
    fn refused(bytes: usize, pace: f64) -> (f64, u64, DownloadCost) {
        let (mut budget, mut passed) = (DownloadBudget::default(), 0.0);
        loop {
            passed += pace;
            if let Err(cost) = budget.handle_answer(bytes, Duration::from_secs_f64(passed)) {
                return (passed, budget.bytes, cost);
            }
        }
    }

    #[test]
    fn a_trickle_ends_in_minutes_and_an_endless_chain_of_roots_at_a_number_of_bytes() {
        let (seconds, _, cost) = refused(ROOT_BYTES, 19.0);
        assert!(cost == DownloadCost::Slow && seconds < 120.0, "{seconds}");
        let (_, bytes, cost) = refused(Want::Roots(0).most(), 0.01);
        assert_eq!(cost, DownloadCost::Bytes);
        assert!(bytes <= MOST_BYTES + Want::Roots(0).most() as u64);
    }

    #[test]
    fn the_largest_book_over_a_line_of_a_megabit_is_downloaded_whole() {
        let tile = Want::Tile(0).most();
        let mut budget = DownloadBudget::default();
        for number in 1..=NumberPlan::MAX_TILES {
            let passed = Duration::from_millis(u64::from(number) * 500);
            assert_eq!(budget.handle_answer(tile, passed), Ok(()), "{number}");
        }
    }

    #[test]
    fn deltas_that_come_one_a_second_over_slow_onion_circuits_are_waited_for() {
        let mut budget = DownloadBudget::default();
        for number in 1..=64 {
            let passed = Duration::from_secs(number * 2);
            assert_eq!(budget.handle_answer(3_000, passed), Ok(()));
        }
    }
}
