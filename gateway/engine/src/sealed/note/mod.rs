//! Notes: what relays keep for an engine that is off. Texts, and missed-call notes of rings that were not answered.
//!
//! A note is a message 1 like a ring, in the same envelope, but in an event kind that relays store for [`LIFE`]. So its age is judged
//! by the event's own `created_at`: the proof of work must belong to that time, and the time inside must be close to it. What a receiver took
//! it remembers for longer than any relay keeps it ([`crate::line::saved_state`]), since relays give it out at every start again.
//!
//! `body` is the bytes, `sealing` the sender's half, `opening` the receiver's, `pieces` puts long texts together, `plain` says what may be in one. Nothing is ever sent
//! back: a receipt would tell when a person is there.

pub(crate) mod body;
pub(crate) mod opening;
pub(crate) mod pieces;
pub(crate) mod plain;
pub(crate) mod sealing;

pub use sealing::TextDraft;

use std::fmt;
use std::time::Duration;

use ringfence_book::IdentityKey;
use sha2::{Digest, Sha256};

use crate::sealed::ring::RingId;

/// How long relays keep a note (NIP-40): a week away from the phone.
pub const LIFE: Duration = Duration::from_secs(7 * 86_400);

/// Envelopes of one text at most. Relays see how many there are.
pub const MOST_PIECES: usize = 8;

/// Bytes of a text in one envelope.
pub(crate) const PIECE: usize = 810;

/// Bytes of the longest text, in UTF-8.
pub const MOST_TEXT: usize = MOST_PIECES * PIECE;

/// How far a note's event, the time inside, and a clock may be apart: a minute, and the rounding of `created_at`.
pub(crate) const SKEW: Duration = Duration::from_secs(90);

/// Names one note for good: for texts a hash over the sender and the random id inside, so that no sender can use up another's names;
/// for a missed call the name of the ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteId([u8; 16]);

impl NoteId {
    pub(crate) fn of_text(sender: &IdentityKey, id: &[u8; 16]) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(sender.as_bytes())
            .chain_update(id)
            .finalize()
            .into();
        Self::cut(&hash)
    }

    pub(crate) fn of_ring(ring: RingId) -> Self {
        Self::cut(ring.as_bytes())
    }

    /// As it was saved.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// To be saved.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn cut(hash: &[u8; 32]) -> Self {
        let mut name = [0; 16];
        name.copy_from_slice(&hash[..16]);
        Self(name)
    }
}

impl fmt::Debug for NoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoteId(..)")
    }
}

const DOMAIN: &[u8] = b"ringfence/2 text id\0";
