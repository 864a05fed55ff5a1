//! A listing: the 192 bytes that the book holds for every number, and that tell an engine how to ring it.
//!
//! ```text
//!   0  32  Ed25519 identity key
//!  32  32  X25519 ring key
//!  64   4  ring-key id, derived from the ring key
//!  68   4  serial, big-endian: random for the first ring key of an identity, one more for each renewal
//!  72  56  zero
//! 128  64  Ed25519 signature of the identity key over "ringfence/2 listing\0" and the 128 bytes before
//! ```
//! The number is not in it: which number a listing stands for is the book's word, not the owner's. Of two listings of one identity
//! the one with the higher serial is the later one, so that a reader of the book knows a replaced ring key without a clock.

use ed25519_dalek::{Signer, SigningKey};
use rand_core::Rng;
use thiserror::Error;

use crate::keys::{IdentityKey, KeyError, RingKey};

/// Bytes of a listing.
pub const LISTING_BYTES: usize = 192;

const SIGNED_BYTES: usize = 128;
const SERIAL_AT: usize = 68;
const DOMAIN: &[u8; 20] = b"ringfence/2 listing\0";

/// A listing whose signature has been verified: there is no other way to come by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    identity: IdentityKey,
    ring_key: RingKey,
    serial: u32,
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
    pub fn sign(identity: &SigningKey, ring_key: RingKey, serial: u32) -> Self {
        let mut listing = Self {
            identity: identity.into(),
            ring_key,
            serial,
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
        serial: u32,
        signature: [u8; 64],
    ) -> Result<Self, ListingError> {
        let listing = Self {
            identity,
            ring_key,
            serial,
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
    /// [`ListingError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ListingError> {
        let bytes: &[u8; LISTING_BYTES] = bytes.try_into().map_err(|_| ListingError::Length)?;
        let (identity, rest) = bytes
            .split_first_chunk::<32>()
            .ok_or(ListingError::Length)?;
        let (ring_key, rest) = rest.split_first_chunk::<32>().ok_or(ListingError::Length)?;
        let (ring_key_id, rest) = rest.split_first_chunk::<4>().ok_or(ListingError::Length)?;
        let (serial, rest) = rest.split_first_chunk::<4>().ok_or(ListingError::Length)?;
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
        Self::from_parts(identity, ring_key, u32::from_be_bytes(*serial), *signature)
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

    /// The place of the ring key among those of its identity: a later one has a higher serial.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// The identity's signature, for a message that carries the parts in another form.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    fn head(&self) -> [u8; SIGNED_BYTES] {
        let mut head = [0; SIGNED_BYTES];
        let parts: [&[u8]; 4] = [
            self.identity.as_bytes(),
            self.ring_key.as_bytes(),
            &self.ring_key.id(),
            &self.serial.to_be_bytes(),
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

/// The serial that a record states, unverified.
#[must_use]
pub fn serial_of(record: &[u8; LISTING_BYTES]) -> u32 {
    let serial = record.get(SERIAL_AT..SERIAL_AT + 4);
    serial
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}

/// The serial of an identity's first ring key. Random, so that it tells no age; in the lower half, so that it can be raised for ever.
pub fn first_serial(rng: &mut impl Rng) -> u32 {
    rng.next_u32() >> 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand_core::SeedableRng;
    use x25519_dalek::StaticSecret;

    use super::*;

    fn listing() -> Listing {
        let ring = StaticSecret::from([2; 32]);
        Listing::sign(
            &SigningKey::from_bytes(&[1; 32]),
            RingKey::from(&ring),
            20_000,
        )
    }

    #[test]
    fn what_was_written_reads_back() {
        assert_eq!(Listing::decode(&listing().encode()), Ok(listing()));
        assert_eq!(serial_of(&listing().encode()), 20_000);
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
                20_000,
            ),
        );
        let mixed = Listing::from_parts(*a.identity(), *a.ring_key(), a.serial(), *b.signature());
        assert_eq!(mixed, Err(ListingError::Signature));
    }

    #[test]
    fn first_serials_differ_and_leave_room_for_every_renewal() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        let drawn: BTreeSet<u32> = (0..1_000).map(|_| first_serial(&mut rng)).collect();
        assert_eq!(drawn.len(), 1_000);
        assert!(drawn.iter().all(|serial| *serial <= u32::MAX / 2));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_make_a_listing_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Listing::decode(&bytes).is_err());
        }
    }
}
