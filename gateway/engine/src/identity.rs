//! The SIM card: an Ed25519 identity key and the X25519 ring keys that it signs.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::date::UnixTime;
use crate::nouns::Listing;

/// The public half of an identity. Ordered: the lower key's ring wins when two people ring each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey(pub [u8; 32]);

impl std::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityKey(..)")
    }
}

/// The secret half. Wiped when dropped; never cloned.
pub struct Identity {}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Stored identity bytes that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Wrong length, version or a key out of range.
    #[error("not an identity of this version")]
    Malformed,
}

impl Identity {
    /// Draws a new identity with one ring key.
    #[must_use]
    pub fn generate(_now: UnixTime, _rng: &mut impl CryptoRng) -> Self {
        unimplemented!()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, IdentityError> {
        unimplemented!()
    }

    /// Everything that must be kept, secrets included: to be encrypted before it touches a disk.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        unimplemented!()
    }

    /// The public identity.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        unimplemented!()
    }

    /// The self-signed record for the phone book, with the current ring key.
    #[must_use]
    pub fn listing(&self) -> Listing {
        unimplemented!()
    }

    /// Signs bytes that the phone book's protocol made (activation, challenge): always domain-separated there.
    #[must_use]
    pub fn sign(&self, _message: &[u8]) -> [u8; 64] {
        unimplemented!()
    }

    /// Draws a new ring key when the current one nears its last day; true when the listing changed.
    pub fn rotate(&mut self, _now: UnixTime, _rng: &mut impl CryptoRng) -> bool {
        unimplemented!()
    }
}
