//! Decoys: what the book says about an unassigned number. Real key pairs, so that a decoy cannot be told from a listing.
//!
//! A decoy keeps its identity when its ring key is renewed, as an owner does, and gets another at times, as if its number had changed
//! hands. So the book must be able to sign as a decoy again: identity keys come from a keyed hash of number and generation, and can
//! be made again. **Ring keys cannot, and that is what must be erased**: the holder of a ring secret can read who rang the number. The
//! private half of a decoy's ring key is drawn from fresh randomness and gone before the function returns, so that neither the book
//! nor a thief of it can ever open a ring that was sent to an unused number. The identity alone opens none.

use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use rand_core::CryptoRng;
use ringfence_book::keys::{IdentityKey, RingKey};
use ringfence_book::listing::Listing;
use ringfence_book::number::Number;
use sha2::Sha256;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

const IDENTITY: &[u8] = b"ringfence/1 decoy identity\0";
const OUTSIDE_IDENTITY: &[u8] = b"ringfence/1 outside identity\0";
const OUTSIDE_RING_KEY: &[u8] = b"ringfence/1 outside ring-key\0";

/// The identities of all decoys of a book.
pub(crate) struct Decoys(Secrets);

impl Decoys {
    /// The identities that come from this key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Secrets::new(key))
    }

    /// The listing of an unassigned number, with a new ring key and this serial.
    pub(crate) fn listing(
        &self,
        number: Number,
        generation: u32,
        serial: u32,
        rng: &mut impl CryptoRng,
    ) -> Listing {
        let ring_key = RingKey::from(&StaticSecret::random_from_rng(rng));
        Listing::sign(&self.signing(number, generation), ring_key, serial)
    }

    /// Whose listing that is.
    pub(crate) fn identity(&self, number: Number, generation: u32) -> IdentityKey {
        IdentityKey::from(&self.signing(number, generation))
    }

    fn signing(&self, number: Number, generation: u32) -> SigningKey {
        let (number, generation) = (number.value().to_be_bytes(), generation.to_be_bytes());
        SigningKey::from_bytes(&self.0.secret(&[IDENTITY, &number, &generation]))
    }
}

/// The keys behind texts that are no number of the plan, always the same. No tile has them, so no engine rings them.
pub(crate) struct UnlistedKeys(Secrets);

impl UnlistedKeys {
    /// The keys that come from this one.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Secrets::new(key))
    }

    /// The two public keys of a text.
    pub(crate) fn keys(&self, text: &str) -> (IdentityKey, RingKey) {
        let secret = |purpose| self.0.secret(&[purpose, text.as_bytes()]);
        (
            IdentityKey::from(&SigningKey::from_bytes(&secret(OUTSIDE_IDENTITY))),
            RingKey::from(&StaticSecret::from(*secret(OUTSIDE_RING_KEY))),
        )
    }
}

/// A keyed hash.
struct Secrets(Hkdf<Sha256>);

impl Secrets {
    fn new(key: &[u8; 32]) -> Self {
        Self(Hkdf::new(None, key))
    }

    fn secret(&self, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        self.0
            .expand_multi_info(parts, secret.as_mut_slice())
            .expect("HKDF-SHA256 gives up to 8 160 bytes");
        secret
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const NUMBER: Number = Number::new(20_001);

    #[test]
    fn a_decoy_is_a_genuine_listing_of_its_generation() {
        let (decoys, mut rng) = (Decoys::new(&[1; 32]), ChaCha20Rng::from_seed([1; 32]));
        let decoy = decoys.listing(NUMBER, 3, 1, &mut rng);
        assert_eq!(Listing::decode(&decoy.encode()), Ok(decoy));
        assert!(*decoy.identity() == decoys.identity(NUMBER, 3));
    }

    #[test]
    fn an_identity_is_the_same_each_time_and_another_for_each_number_generation_and_key() {
        let decoys = Decoys::new(&[1; 32]);
        let identity = decoys.identity(NUMBER, 3);
        assert!(identity == decoys.identity(NUMBER, 3));
        assert!(identity != decoys.identity(NUMBER, 4));
        assert!(identity != decoys.identity(Number::new(20_002), 3));
        assert!(identity != Decoys::new(&[2; 32]).identity(NUMBER, 3));
    }

    #[test]
    fn a_ring_key_comes_from_the_randomness_and_not_from_the_key() {
        let decoys = Decoys::new(&[1; 32]);
        let ring_key = |seed: u8| {
            let mut rng = ChaCha20Rng::from_seed([seed; 32]);
            *decoys.listing(NUMBER, 3, 1, &mut rng).ring_key()
        };
        assert!(ring_key(1) != ring_key(2));
    }

    #[test]
    fn a_text_outside_has_the_same_keys_each_time() {
        let outside = UnlistedKeys::new(&[1; 32]);
        assert!(outside.keys("7") == outside.keys("7"));
        assert!(outside.keys("7") != outside.keys("8"));
    }
}
