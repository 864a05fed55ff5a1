//! Counts of what an engine dropped in silence, for the status page. Numbers only.

use crate::sealed::rejected::EnvelopeError;

/// Envelopes and calls that came to nothing. All counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCounters {
    /// Envelopes that arrived.
    pub envelopes: u64,
    /// Those with the wrong length, a spent or missing proof of work, or a key seen before.
    pub unfit: u64,
    /// Those that open for no line of this engine: nearly all, in a shared bucket.
    pub not_ours: u64,
    /// Those that opened but failed verification: stale, forged, replayed.
    pub forged: u64,
    /// Rings whose caller's number had another key before.
    pub changed_keys: u64,
    /// Rings dropped because the line already had as many as it may, and envelopes because too many waited to be opened.
    pub flooded: u64,
    /// Proofs of work that went stale in stock.
    pub stale_proofs: u64,
}

impl EngineCounters {
    /// Counts an envelope that was dropped.
    pub(crate) fn count(&mut self, rejected: EnvelopeError) {
        match rejected {
            EnvelopeError::NotOurs => self.not_ours += 1,
            EnvelopeError::Length
            | EnvelopeError::Version
            | EnvelopeError::Work
            | EnvelopeError::ProofSpent => {
                self.unfit += 1;
            }
            _ => self.forged += 1,
        }
    }
}
