//! A listing: the 192 bytes that the book holds for every number, and that tell an engine how to ring it.
//!
//! ```text
//!   0  32  Ed25519 identity key
//!  32  32  X25519 ring key
//!  64   4  ring-key id, derived from the ring key
//!  68   4  last day on which the ring key is good, big-endian count of days since 1970-01-01
//!  72  56  zero
//! 128  64  Ed25519 signature of the identity key over "ringfence/1 listing\0" and the 128 bytes before
//! ```
//! The number is not in it: which number a listing stands for is the book's word ([`crate::Binding`]), not the owner's.

use ed25519_dalek::{Signer, SigningKey};
use thiserror::Error;

use crate::day::Day;
use crate::keys::{IdentityKey, KeyError, RingKey};

/// Bytes of a listing.
pub const LISTING_BYTES: usize = 192;

const SIGNED_BYTES: usize = 128;
const DOMAIN: &[u8; 20] = b"ringfence/1 listing\0";

/// A listing whose signature has been verified: there is no other way to come by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    identity: IdentityKey,
    ring_key: RingKey,
    valid_until: Day,
    signature: [u8; 64],
}

/// Why bytes are no listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ListingError {
    /// Not 192 bytes.
    #[error("a listing has {LISTING_BYTES} bytes")]
    Length,
    /// The identity key is none.
    #[error("identity key: {0}")]
    Identity(KeyError),
    /// The ring key is none.
    #[error("ring key: {0}")]
    RingKey(KeyError),
    /// The ring-key id is not that of the ring key.
    #[error("the ring-key id does not belong to the ring key")]
    RingKeyId,
    /// Bytes that have no meaning yet are not zero.
    #[error("reserved bytes are not zero")]
    Reserved,
    /// The identity key did not sign this.
    #[error("the signature is not genuine")]
    Signature,
}

impl Listing {
    /// Writes and signs a listing for one's own keys.
    #[must_use]
    pub fn sign(identity: &SigningKey, ring_key: RingKey, valid_until: Day) -> Self {
        let mut listing = Self {
            identity: identity.into(),
            ring_key,
            valid_until,
            signature: [0; 64],
        };
        listing.signature = identity.sign(&listing.signed_bytes()).to_bytes();
        listing
    }

    /// Puts a listing together from parts that came by another way (a ring, a form), and verifies it.
    ///
    /// # Errors
    /// [`ListingError::Signature`].
    pub fn from_parts(
        identity: IdentityKey,
        ring_key: RingKey,
        valid_until: Day,
        signature: [u8; 64],
    ) -> Result<Self, ListingError> {
        let listing = Self {
            identity,
            ring_key,
            valid_until,
            signature,
        };
        let genuine = identity.signed(&listing.signed_bytes(), &signature);
        if genuine {
            Ok(listing)
        } else {
            Err(ListingError::Signature)
        }
    }

    /// Reads and verifies the 192 bytes. Costs about three scalar multiplications; a [`crate::Tile`] puts it off until the listing is used.
    ///
    /// # Errors
    /// [`ListingError`]. Whether the listing is still good today is [`Listing::is_current`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ListingError> {
        let bytes: &[u8; LISTING_BYTES] = bytes.try_into().map_err(|_| ListingError::Length)?;
        let (identity, rest) = bytes
            .split_first_chunk::<32>()
            .ok_or(ListingError::Length)?;
        let (ring_key, rest) = rest.split_first_chunk::<32>().ok_or(ListingError::Length)?;
        let (ring_key_id, rest) = rest.split_first_chunk::<4>().ok_or(ListingError::Length)?;
        let (valid_until, rest) = rest.split_first_chunk::<4>().ok_or(ListingError::Length)?;
        let (reserved, rest) = rest.split_first_chunk::<56>().ok_or(ListingError::Length)?;
        let (signature, _) = rest.split_first_chunk::<64>().ok_or(ListingError::Length)?;
        if reserved.iter().any(|byte| *byte != 0) {
            return Err(ListingError::Reserved);
        }
        let identity = IdentityKey::from_bytes(identity).map_err(ListingError::Identity)?;
        let ring_key = RingKey::from_bytes(ring_key).map_err(ListingError::RingKey)?;
        if ring_key.id() != *ring_key_id {
            return Err(ListingError::RingKeyId);
        }
        Self::from_parts(
            identity,
            ring_key,
            Day::new(u32::from_be_bytes(*valid_until)),
            *signature,
        )
    }

    /// The 192 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; LISTING_BYTES] {
        let mut bytes = [0; LISTING_BYTES];
        let (head, tail) = bytes.split_at_mut(SIGNED_BYTES);
        head.copy_from_slice(&self.head());
        tail.copy_from_slice(&self.signature);
        bytes
    }

    /// Whose listing it is.
    #[must_use]
    pub fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    /// The key to seal a ring to.
    #[must_use]
    pub fn ring_key(&self) -> &RingKey {
        &self.ring_key
    }

    /// The short name of the ring key.
    #[must_use]
    pub fn ring_key_id(&self) -> [u8; 4] {
        self.ring_key.id()
    }

    /// The last day on which the ring key is good.
    #[must_use]
    pub fn valid_until(&self) -> Day {
        self.valid_until
    }

    /// The identity's signature, for a message that carries the parts in another form.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// Whether the ring key may still be used today.
    #[must_use]
    pub fn is_current(&self, today: Day) -> bool {
        today <= self.valid_until
    }

    fn head(&self) -> [u8; SIGNED_BYTES] {
        let mut head = [0; SIGNED_BYTES];
        let parts: [&[u8]; 4] = [
            self.identity.as_bytes(),
            self.ring_key.as_bytes(),
            &self.ring_key.id(),
            &self.valid_until.count().to_be_bytes(),
        ];
        for (to, from) in head.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        head
    }

    fn signed_bytes(&self) -> Vec<u8> {
        [DOMAIN.as_slice(), &self.head()].concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x25519_dalek::StaticSecret;

    use super::*;

    fn listing() -> Listing {
        let ring = StaticSecret::from([2; 32]);
        Listing::sign(
            &SigningKey::from_bytes(&[1; 32]),
            RingKey::from(&ring),
            Day::new(20_000),
        )
    }

    #[test]
    fn what_was_written_reads_back() {
        assert_eq!(Listing::decode(&listing().encode()), Ok(listing()));
    }

    #[test]
    fn every_single_bit_flip_is_refused() {
        let good = listing().encode();
        for position in 0..LISTING_BYTES * 8 {
            let mut bad = good;
            bad[position / 8] ^= 1 << (position % 8);
            assert!(Listing::decode(&bad).is_err(), "bit {position}");
        }
    }

    #[test]
    fn a_listing_under_another_signature_is_refused() {
        let (a, b) = (
            listing(),
            Listing::sign(
                &SigningKey::from_bytes(&[3; 32]),
                *listing().ring_key(),
                Day::LAST,
            ),
        );
        let mixed = Listing::from_parts(
            *a.identity(),
            *a.ring_key(),
            a.valid_until(),
            *b.signature(),
        );
        assert_eq!(mixed, Err(ListingError::Signature));
    }

    #[test]
    fn a_listing_is_good_through_its_last_day() {
        assert!(listing().is_current(Day::new(20_000)));
        assert!(!listing().is_current(Day::new(20_001)));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_make_a_listing_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Listing::decode(&bytes).is_err());
        }
    }
}
