//! Ring, answer and cancel: what the two ends of a call seal to each other before they talk.
//!
//! `body` is their bytes, `outgoing` the caller's half, `incoming` the callee's. A ring exists on the callee's
//! side only as [`incoming::VerifiedRing`], and only [`incoming::open`] makes one.

pub(crate) mod body;
pub mod incoming;
pub(crate) mod introduction;
pub mod outgoing;

use std::fmt;

use ringfence_phonebook::root::ROOT_BYTES;
use ringfence_phonebook::{BookKey, Root};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::sealed::routing_tag::CallId;

/// Names one ring on both sides: a hash over the caller's ring key and the call id, so that nobody but the
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

/// The phone book as one side sees it, for the other to compare: its whole signed root, so that two people who call each other
/// and were shown different pages hold the proof of it. All zero while an engine has no root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BookView([u8; ROOT_BYTES]);

impl BookView {
    /// What an engine without a root shows.
    pub const NONE: Self = Self([0; ROOT_BYTES]);

    /// What an engine with this root shows.
    #[must_use]
    pub fn of(root: Option<&Root>) -> Self {
        root.map_or(Self::NONE, |root| Self(root.encode()))
    }

    pub(crate) const fn from_bytes(bytes: [u8; ROOT_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 217 bytes as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ROOT_BYTES] {
        &self.0
    }

    /// The root, if this book signed it. Anything else says nothing about the book, and is no fault of the ring that carries it: it
    /// may be a root of a later version.
    #[must_use]
    pub fn root(&self, book: &BookKey) -> Option<Root> {
        Root::decode(&self.0, book).ok()
    }
}

impl fmt::Debug for BookView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BookView(..)")
    }
}

/// What the callee's engine sealed into its answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Encoded media description of the callee, at most [`crate::sealed::envelope::MAX_MEDIA`] bytes.
    pub media: Zeroizing<Vec<u8>>,
    /// The phone book as the callee sees it.
    pub book: BookView,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// Why a message cannot be sealed: always the fault of this engine's own input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The media description has more bytes than its room.
    #[error(
        "media description longer than {} bytes",
        crate::sealed::envelope::MAX_MEDIA
    )]
    MediaTooLong,
    /// The callee's ring key cannot be used (all-zero Diffie-Hellman result).
    #[error("unusable callee key")]
    CalleeKey,
}

const DOMAIN: &[u8] = b"ringfence/1 ring id\0";
