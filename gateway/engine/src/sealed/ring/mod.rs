//! Ring, answer and cancel: what the two ends of a call seal to each other before they talk.
//!
//! `body` is their bytes, `outgoing` the caller's half, `incoming` the callee's. A ring exists on the callee's
//! side only as [`incoming::VerifiedRing`], and only [`incoming::open`] makes one.

pub(crate) mod body;
pub mod incoming;
pub mod outgoing;

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::sealed::book_view::BookView;
use crate::sealed::routing_tag::CallId;

/// Names one ring on both sides: a hash over the caller's ring key and the call id, so that only the
/// caller can make a cancel for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId([u8; 32]);

impl RingId {
    pub(crate) fn new(caller_ring_key: &[u8; 32], call: &CallId) -> Self {
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(caller_ring_key)
            .chain_update(call.as_bytes());
        Self(hash.finalize().into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Debug for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RingId(..)")
    }
}

/// Why a caller takes a ring back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// The caller gave up, or waited long enough.
    GaveUp,
    /// Another engine of the callee answered.
    AnsweredElsewhere,
}

/// What the callee's engine sealed into its answer.
#[derive(Clone, PartialEq, Eq)]
pub struct CallAnswer {
    /// Encoded media description of the callee, at most [`crate::sealed::envelope::MAX_MEDIA`] bytes.
    pub media: Zeroizing<Vec<u8>>,
    /// The phone book as the callee sees it.
    pub book: BookView,
}

impl fmt::Debug for CallAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallAnswer(..)")
    }
}

const DOMAIN: &[u8] = b"ringfence/2 ring id\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_under_another_ring_key_names_no_ring_of_this_one() {
        let call = CallId::from_bytes([1; 16]);
        let ring = RingId::new(&[2; 32], &call);
        assert_eq!(RingId::new(&[2; 32], &call), ring);
        assert_ne!(RingId::new(&[3; 32], &call), ring);
        assert_ne!(RingId::new(&[2; 32], &CallId::from_bytes([4; 16])), ring);
    }
}
