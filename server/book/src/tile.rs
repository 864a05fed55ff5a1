//! A tile: the listings of 256 consecutive numbers, 49 152 bytes. The unit of download: no request can ask for less.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::listing::{LISTING_BYTES, Listing, ListingError};

/// Listings in a tile.
pub const TILE_RECORDS: u16 = 256;

/// Bytes of a tile.
pub const TILE_BYTES: usize = TILE_RECORDS as usize * LISTING_BYTES;

/// 256 records. They are verified one by one, when they are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Tile(Box<[u8]>);

/// Why bytes are no tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TileError {
    /// Not 49 152 bytes.
    #[error("a tile has {TILE_BYTES} bytes")]
    Length,
}

impl Tile {
    /// A tile of these listings, in order of their numbers.
    #[must_use]
    pub fn of(listings: &[Listing; TILE_RECORDS as usize]) -> Self {
        Self(listings.iter().flat_map(Listing::encode).collect())
    }

    /// Takes the bytes as they came.
    ///
    /// # Errors
    /// [`TileError::Length`]. A bad record shows itself in [`Tile::listing`], and spoils no other.
    pub fn decode(bytes: &[u8]) -> Result<Self, TileError> {
        if bytes.len() == TILE_BYTES {
            Ok(Self(bytes.into()))
        } else {
            Err(TileError::Length)
        }
    }

    /// A tile of nothing, to be filled record by record.
    #[must_use]
    pub fn empty() -> Self {
        Self(vec![0; TILE_BYTES].into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.as_bytes()).0
    }

    /// The record at this place as it is, unverified.
    #[must_use]
    pub fn record(&self, slot: u8) -> Option<&[u8; LISTING_BYTES]> {
        let (records, _) = self.0.as_chunks::<LISTING_BYTES>();
        records.get(usize::from(slot))
    }

    /// The record at this place, read and verified.
    ///
    /// # Errors
    /// [`ListingError`].
    pub fn listing(&self, slot: u8) -> Result<Listing, ListingError> {
        Listing::decode(self.record(slot).ok_or(ListingError::Length)?)
    }

    /// Puts a record in its place.
    pub fn set(&mut self, slot: u8, record: &[u8; LISTING_BYTES]) {
        let (records, _) = self.0.as_chunks_mut::<LISTING_BYTES>();
        if let Some(place) = records.get_mut(usize::from(slot)) {
            *place = *record;
        }
    }
}

impl fmt::Debug for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tile(..)")
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use x25519_dalek::StaticSecret;

    use super::*;
    use crate::keys::RingKey;

    fn listing(seed: u8) -> Listing {
        let ring = StaticSecret::from([seed; 32]);
        Listing::sign(
            &SigningKey::from_bytes(&[seed; 32]),
            RingKey::from(&ring),
            1,
        )
    }

    #[test]
    fn a_listing_is_found_in_its_place() {
        let mut tile = Tile::of(&[listing(1); 256]);
        tile.set(255, &listing(2).encode());
        let read = Tile::decode(tile.as_bytes()).unwrap();
        assert_eq!(
            (read.listing(254), read.listing(255)),
            (Ok(listing(1)), Ok(listing(2)))
        );
    }

    #[test]
    fn one_byte_more_or_less_is_no_tile() {
        for length in [0, TILE_BYTES - 1, TILE_BYTES + 1] {
            assert_eq!(Tile::decode(&vec![0; length]), Err(TileError::Length));
        }
    }

    #[test]
    fn a_spoilt_record_spoils_no_other() {
        let mut bytes = Tile::of(&[listing(1); 256]).as_bytes().to_vec();
        bytes[LISTING_BYTES] ^= 1;
        let tile = Tile::decode(&bytes).unwrap();
        assert!(tile.listing(1).is_err());
        assert_eq!(tile.listing(2), Ok(listing(1)));
    }
}
