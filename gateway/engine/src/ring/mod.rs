//! Ring, answer and cancel: what the two ends of a call seal to each other before they talk.

pub mod incoming;
pub mod outgoing;

use zeroize::Zeroizing;

/// Names one ring on both sides: a hash over the caller's ring key and the call id, so that nobody but the
/// caller can make a cancel for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId([u8; 32]);

impl std::fmt::Debug for RingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RingId(..)")
    }
}

/// Why a caller takes a ring back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// The caller gave up, or waited long enough.
    GaveUp,
    /// Another phone of the callee answered.
    AnsweredElsewhere,
}

/// What the callee's engine sealed into its answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Encoded media description of the callee.
    pub media: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// Why a message cannot be sealed: always the fault of this engine's own input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The media description has more bytes than its room.
    #[error("media description too long")]
    MediaTooLong,
    /// The callee's ring key is not a usable X25519 key.
    #[error("unusable callee key")]
    CalleeKey,
}
