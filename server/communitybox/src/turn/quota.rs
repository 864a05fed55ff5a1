//! How much of the server its clients may have: allocations at a time, and bytes a second through each allocation.
//!
//! What all may have together follows: the most allocations times the bytes of each, as coturn reckons with `bps-capacity`.

use std::time::{Duration, Instant};

/// What clients may hold, together and apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnLimits {
    /// Allocations at a time.
    pub allocations: usize,
    /// Allocations at a time for one user name. An engine has six with one login at most, and as many that a killed process left.
    pub allocations_per_user: usize,
    /// Allocations at a time for clients of one IP address. coturn has no such limit.
    pub allocations_per_address: usize,
    /// Bytes a second through one allocation, each way; what goes beyond is dropped.
    pub bytes_per_second: u32,
}

impl TurnLimits {
    /// Enough for some two hundred engines, with two or three allocations each, and a hundred calls. A call of G.711 needs about 11,000 bytes a second, and one with
    /// video up to 220,000; a lower limit would cut its audio too.
    pub const DEFAULT: Self = Self {
        allocations: 800,
        allocations_per_user: 16,
        allocations_per_address: 64,
        bytes_per_second: 260_000,
    };

    /// Bytes a second that all allocations together may carry, each way.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        u64::from(self.bytes_per_second)
            .saturating_mul(u64::try_from(self.allocations).unwrap_or(u64::MAX))
    }
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Bytes that may still go one way through one allocation: a bucket that holds a second's worth.
#[derive(Debug)]
pub(super) struct ByteBucket {
    left: u64,
    at: Instant,
}

impl ByteBucket {
    /// A full bucket.
    pub(super) fn new(bytes_per_second: u32, now: Instant) -> Self {
        Self {
            left: u64::from(bytes_per_second) * 1000,
            at: now,
        }
    }

    /// Takes a packet's bytes out; false if there are not enough. Counts in thousandths of a byte, so that milliseconds add up.
    pub(super) fn admit(&mut self, bytes: usize, bytes_per_second: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        let passed = u64::try_from(passed.min(Duration::from_secs(1)).as_millis()).unwrap_or(1000);
        if passed > 0 {
            self.at = now;
            let rate = u64::from(bytes_per_second);
            self.left = (self.left + passed * rate).min(rate * 1000);
        }
        let wanted = u64::try_from(bytes)
            .unwrap_or(u64::MAX)
            .saturating_mul(1000);
        let enough = wanted <= self.left;
        if enough {
            self.left -= wanted;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_call_passes_and_a_flood_is_cut_to_the_rate() {
        let start = Instant::now();
        let (mut call, mut flood) = (
            ByteBucket::new(40_000, start),
            ByteBucket::new(40_000, start),
        );
        let mut passed = 0;
        for packet in 0..10_000 {
            let now = start + Duration::from_millis(packet);
            if packet % 20 == 0 {
                assert!(call.admit(220, 40_000, now));
            }
            passed += usize::from(flood.admit(1_000, 40_000, now));
        }
        assert!((400..=441).contains(&passed), "{passed}");
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_one_bucket(packets in prop::collection::vec((0usize..3_000, 0u64..400), 1..200), rate in 1u32..100_000) {
            let start = Instant::now();
            let (mut meter, mut now, mut passed) = (ByteBucket::new(rate, start), start, 0u64);
            for (bytes, wait) in packets {
                now += Duration::from_millis(wait);
                if meter.admit(bytes, rate, now) {
                    passed += bytes as u64;
                }
            }
            let allowed = u64::from(rate) + u64::from(rate) * now.duration_since(start).as_millis() as u64 / 1000;
            prop_assert!(passed <= allowed, "{passed} of {allowed}");
        }
    }
}
