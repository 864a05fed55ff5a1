//! Decoys: what the book says about a number that nobody has. Real key pairs, drawn by a keyed hash of the number, so that a decoy
//! cannot be told from a listing; their private halves are gone before the function returns. Whoever holds the hash key could open
//! rings to unused numbers: the book draws the decoys of its plan once, stores the public records, and forgets that key.

use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::day::Day;
use crate::keys::{IdentityKey, RingKey};
use crate::listing::Listing;

const IDENTITY: &[u8] = b"ringfence/1 decoy identity\0";
const RING_KEY: &[u8] = b"ringfence/1 decoy ring-key\0";

/// A source of decoys.
pub(crate) struct Decoys(Hkdf<Sha256>);

impl Decoys {
    /// The source with this key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Hkdf::new(None, key))
    }

    /// The listing of a number that nobody has.
    pub(crate) fn listing(&self, number: &str, valid_until: Day) -> Listing {
        Listing::sign(
            &self.identity(number),
            RingKey::from(&self.ring_secret(number)),
            valid_until,
        )
    }

    /// The two public keys of that listing, in its order, without the price of a signature.
    pub(crate) fn keys(&self, number: &str) -> (IdentityKey, RingKey) {
        (
            IdentityKey::from(&self.identity(number)),
            RingKey::from(&self.ring_secret(number)),
        )
    }

    fn identity(&self, number: &str) -> SigningKey {
        SigningKey::from_bytes(&self.secret(IDENTITY, number))
    }

    fn ring_secret(&self, number: &str) -> StaticSecret {
        StaticSecret::from(*self.secret(RING_KEY, number))
    }

    fn secret(&self, purpose: &[u8], number: &str) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        self.0
            .expand_multi_info(&[purpose, number.as_bytes()], secret.as_mut_slice())
            .expect("HKDF-SHA256 gives up to 8 160 bytes");
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoy_is_a_genuine_listing() {
        let decoy = Decoys::new(&[1; 32]).listing("20001", Day::LAST);
        assert_eq!(Listing::decode(&decoy.encode()), Ok(decoy));
    }

    #[test]
    fn a_decoy_is_the_same_each_time_and_another_for_each_number_and_key() {
        let decoys = Decoys::new(&[1; 32]);
        let (a, again) = (decoys.keys("20001"), decoys.keys("20001"));
        assert!(a == again);
        assert!(a != decoys.keys("20002"));
        assert!(a != Decoys::new(&[2; 32]).keys("20001"));
        let listing = decoys.listing("20001", Day::LAST);
        assert!(a == (*listing.identity(), *listing.ring_key()));
    }
}
