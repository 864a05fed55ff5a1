//! A histogram of latencies in microseconds.

/// The longest latency with a slot of its own, in microseconds.
const LONGEST: usize = 200_000;

/// The number of packets for each latency.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    counts: Vec<u64>,
    total: u64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; LONGEST + 1],
            total: 0,
        }
    }

    pub(crate) fn add(&mut self, micros: u64) {
        let slot = usize::try_from(micros).unwrap_or(LONGEST).min(LONGEST);
        if let Some(count) = self.counts.get_mut(slot) {
            *count += 1;
        }
        self.total += 1;
    }

    /// The latency in microseconds that this share of all packets did not exceed.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "some million packets, and a part between 0 and 1"
        )]
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        #[expect(clippy::cast_precision_loss, reason = "at most 200,000")]
        let micros = found.unwrap_or(LONGEST) as f64;
        micros
    }
}
