//! The downloaded phone book: number to callee keys, with no look-up on any wire.

use crate::date::UnixTime;
use crate::identity::IdentityKey;
use crate::nouns::{Number, Tile};

/// Whom to ring: keys that the callee's identity signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalleeKeys {
    /// The number that was looked up.
    pub number: Number,
    /// The callee's identity.
    pub identity: IdentityKey,
    /// The callee's current X25519 ring key.
    pub ring_key: [u8; 32],
}

/// Why a number cannot be rung. What the caller hears is the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Outside the number plan: no such number can exist.
    #[error("not a number of this plan")]
    NotInPlan,
    /// The tile of this number has not been downloaded.
    #[error("phone book not downloaded")]
    NoTile,
    /// The record's own signature is false.
    #[error("listing not signed by its own key")]
    Signature,
    /// The record's ring key is past its last day.
    #[error("listing expired")]
    Expired,
}

/// All tiles that were downloaded.
#[derive(Debug, Default)]
pub struct Directory {}

impl Directory {
    /// Puts or replaces one tile.
    pub fn insert(&mut self, _index: u32, _tile: Tile) {
        unimplemented!()
    }

    /// The keys of a number. Local, and the same work for a number that nobody has.
    pub fn look_up(&self, _number: Number, _now: UnixTime) -> Result<CalleeKeys, LookupError> {
        unimplemented!()
    }
}
