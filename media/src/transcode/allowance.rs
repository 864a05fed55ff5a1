//! How much sound is transcoded: what is said in the time that passes, and as much again.
//!
//! A packet passes a call at the cost of its bytes, but to encode it is work, and the other side could send without end. A phone's fast
//! clock and what a late wire brings at once stay far below.

use std::time::{Duration, Instant};

/// Sound that may come at once.
const BURST: Duration = Duration::from_secs(1);

/// Sound a second, in seconds.
const RATE: u32 = 2;

/// The sound that may still be transcoded.
#[derive(Debug)]
pub(super) struct SoundAllowance {
    left: Duration,
    at: Option<Instant>,
}

impl Default for SoundAllowance {
    fn default() -> Self {
        Self {
            left: BURST,
            at: None,
        }
    }
}

impl SoundAllowance {
    /// Takes so much sound, if there is so much left.
    pub(super) fn takes(&mut self, sound: Duration, now: Instant) -> bool {
        let passed = self.at.replace(now).map_or(Duration::ZERO, |at| {
            now.saturating_duration_since(at).min(BURST)
        });
        self.left = (self.left + passed * RATE).min(BURST);
        match self.left.checked_sub(sound) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    #[test]
    fn twice_what_is_said_passes_and_no_more() {
        const PACKET: Duration = Duration::from_millis(20);
        let start = some_time();
        let passes = |pause: Duration| {
            let mut allowance = SoundAllowance::default();
            let packets = (10 * BURST).as_micros() / pause.as_micros();
            let taken =
                (0..packets as u32).filter(|at| allowance.takes(PACKET, start + pause * *at));
            (taken.count(), packets as usize)
        };
        let (taken, all) = passes(PACKET / 2);
        assert_eq!(taken, all);
        let (taken, all) = passes(PACKET / 20);
        assert!(taken <= 1_050 && all == 10_000, "{taken} of {all}");
    }
}
