//! The bytes that prove something to the book: that an activation or a new ring key comes from the holder of both keys, and that
//! a person holds the identity key of a number. Each begins with its own domain and names the book, so that no book can use them at another one.
//! Which challenges are open, and for how long, is kept elsewhere.

use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use x25519_dalek::StaticSecret;

use crate::code::CodeDigest;
use crate::keys::{BookKey, IdentityKey, RingKey};
use crate::listing::Listing;
use crate::number::Number;

const ACTIVATE: &[u8] = b"ringfence/2 activate\0";
const RING_KEY_PROOF: &[u8] = b"ringfence/2 ring-key-proof\0";
const ROTATE: &[u8] = b"ringfence/2 rotate\0";
const DEACTIVATE: &[u8] = b"ringfence/2 deactivate\0";
const CHALLENGE: &[u8] = b"ringfence/2 challenge\0";

/// Proof that the sender of an activation holds both private keys of the listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Possession {
    /// The identity key's signature over the activation bytes.
    pub signature: [u8; 64],
    /// HKDF-SHA256 of the secret agreed between the ring key and the book's proof key, over the same bytes.
    pub ring_key_proof: [u8; 32],
}

impl Possession {
    /// Makes the proof. `proof_key` is the book's, from its network settings.
    #[must_use]
    pub fn prove(
        identity: &SigningKey,
        ring_secret: &StaticSecret,
        listing: &Listing,
        code: &CodeDigest,
        book: &BookKey,
        proof_key: &RingKey,
    ) -> Self {
        Self::over(
            &activation_bytes(book, code, listing),
            identity,
            ring_secret,
            proof_key,
        )
    }

    /// Makes the proof for a new ring key of the same identity, in answer to a challenge.
    #[must_use]
    pub fn prove_rotation(
        identity: &SigningKey,
        ring_secret: &StaticSecret,
        number: Number,
        listing: &Listing,
        challenge: &Challenge,
        proof_key: &RingKey,
    ) -> Self {
        Self::over(
            &rotation_bytes(challenge, number, listing),
            identity,
            ring_secret,
            proof_key,
        )
    }

    fn over(
        bytes: &[u8],
        identity: &SigningKey,
        ring_secret: &StaticSecret,
        proof_key: &RingKey,
    ) -> Self {
        let agreed = ring_secret.diffie_hellman(proof_key.point());
        Self {
            signature: identity.sign(bytes).to_bytes(),
            ring_key_proof: agreed_proof(agreed.as_bytes(), bytes),
        }
    }

    /// Checks the proof, as the holder of the proof key's secret half.
    #[must_use]
    pub fn holds(
        &self,
        listing: &Listing,
        code: &CodeDigest,
        book: &BookKey,
        proof_secret: &StaticSecret,
    ) -> bool {
        self.holds_over(
            &activation_bytes(book, code, listing),
            listing,
            proof_secret,
        )
    }

    /// Checks the proof for a new ring key, as the holder of the proof key's secret half.
    #[must_use]
    pub fn holds_for_rotation(
        &self,
        number: Number,
        listing: &Listing,
        challenge: &Challenge,
        proof_secret: &StaticSecret,
    ) -> bool {
        self.holds_over(
            &rotation_bytes(challenge, number, listing),
            listing,
            proof_secret,
        )
    }

    fn holds_over(&self, bytes: &[u8], listing: &Listing, proof_secret: &StaticSecret) -> bool {
        let agreed = proof_secret.diffie_hellman(listing.ring_key().point());
        let expected = agreed_proof(agreed.as_bytes(), bytes);
        let ring_key_held: bool = expected.ct_eq(&self.ring_key_proof).into();
        ring_key_held && listing.identity().signed(bytes, &self.signature)
    }
}

/// The owner's word that the number is given up, in answer to a challenge.
#[must_use]
pub fn sign_deactivation(identity: &SigningKey, number: Number, challenge: &Challenge) -> [u8; 64] {
    identity
        .sign(&deactivation_bytes(challenge, number))
        .to_bytes()
}

/// Whether the holder of this identity gives the number up.
#[must_use]
pub fn is_deactivation(
    identity: &IdentityKey,
    number: Number,
    challenge: &Challenge,
    signature: &[u8; 64],
) -> bool {
    identity.signed(&deactivation_bytes(challenge, number), signature)
}

/// domain | book key 32 | nonce of the challenge 32 | number 4 | listing 192
fn rotation_bytes(challenge: &Challenge, number: Number, listing: &Listing) -> Vec<u8> {
    [
        ROTATE,
        challenge.book.as_bytes(),
        &challenge.nonce,
        &number.value().to_be_bytes(),
        &listing.encode(),
    ]
    .concat()
}

/// domain | book key 32 | nonce of the challenge 32 | number 4
fn deactivation_bytes(challenge: &Challenge, number: Number) -> Vec<u8> {
    [
        DEACTIVATE,
        challenge.book.as_bytes(),
        &challenge.nonce,
        &number.value().to_be_bytes(),
    ]
    .concat()
}

/// domain | book key 32 | digest of the code 32 | listing 192
fn activation_bytes(book: &BookKey, code: &CodeDigest, listing: &Listing) -> Vec<u8> {
    [
        ACTIVATE,
        book.as_bytes(),
        code.as_bytes(),
        &listing.encode(),
    ]
    .concat()
}

fn agreed_proof(agreed: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut proof = [0; 32];
    Hkdf::<Sha256>::new(None, agreed)
        .expand_multi_info(&[RING_KEY_PROOF, bytes], &mut proof)
        .expect("HKDF-SHA256 gives up to 8 160 bytes");
    proof
}

/// A question of the book that only the holder of an identity key can answer.
///
/// What is signed is [`Challenge::text`], 64 lower-case hexadecimal digits as UTF-8, as every client of this interface does it. The
/// digits are a hash that names the book: a client that checks it cannot be made to answer for one book what another one asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    nonce: [u8; 32],
    book: BookKey,
}

impl Challenge {
    /// The challenge of this book with this nonce.
    #[must_use]
    pub fn new(book: BookKey, nonce: [u8; 32]) -> Self {
        Self { nonce, book }
    }

    /// The random part.
    #[must_use]
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The book that asks.
    #[must_use]
    pub fn book(&self) -> &BookKey {
        &self.book
    }

    /// What the text to sign spells.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(CHALLENGE)
            .chain_update(self.book.as_bytes())
            .chain_update(self.nonce)
            .finalize()
            .0
    }

    /// The text to sign.
    #[must_use]
    pub fn text(&self) -> String {
        hex::encode(self.digest())
    }

    /// Answers with the identity's signature.
    #[must_use]
    pub fn answer(&self, identity: &SigningKey) -> [u8; 64] {
        identity.sign(self.text().as_bytes()).to_bytes()
    }

    /// Whether the holder of this identity answered.
    #[must_use]
    pub fn answered_by(&self, identity: &IdentityKey, signature: &[u8; 64]) -> bool {
        identity.signed(self.text().as_bytes(), signature)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::code::ActivationCode;

    struct Scene {
        identity: SigningKey,
        ring: StaticSecret,
        listing: Listing,
        code: CodeDigest,
        book: BookKey,
        proof_secret: StaticSecret,
    }

    fn scene() -> Scene {
        let (identity, ring) = (
            SigningKey::from_bytes(&[1; 32]),
            StaticSecret::from([2; 32]),
        );
        let listing = Listing::sign(&identity, RingKey::from(&ring), 1);
        let book = BookKey::from(&SigningKey::from_bytes(&[4; 32]));
        let code = ActivationCode::draw(&book, &mut ChaCha20Rng::from_seed([3; 32])).digest();
        Scene {
            identity,
            ring,
            listing,
            code,
            book,
            proof_secret: StaticSecret::from([5; 32]),
        }
    }

    fn prove(scene: &Scene) -> Possession {
        let proof_key = RingKey::from(&scene.proof_secret);
        Possession::prove(
            &scene.identity,
            &scene.ring,
            &scene.listing,
            &scene.code,
            &scene.book,
            &proof_key,
        )
    }

    fn holds(scene: &Scene, proof: &Possession) -> bool {
        proof.holds(
            &scene.listing,
            &scene.code,
            &scene.book,
            &scene.proof_secret,
        )
    }

    #[test]
    fn the_holder_of_both_keys_is_believed() {
        assert!(holds(&scene(), &prove(&scene())));
    }

    #[test]
    fn half_of_the_keys_is_not_enough() {
        let no_ring_key = Scene {
            ring: StaticSecret::from([6; 32]),
            ..scene()
        };
        assert!(!holds(&scene(), &prove(&no_ring_key)));
        let no_identity = Scene {
            identity: SigningKey::from_bytes(&[6; 32]),
            ..scene()
        };
        assert!(!holds(&scene(), &prove(&no_identity)));
    }

    #[test]
    fn a_proof_is_good_for_one_book_one_code_and_one_listing() {
        let proof = prove(&scene());
        let other_book = Scene {
            book: BookKey::from(&SigningKey::from_bytes(&[6; 32])),
            ..scene()
        };
        let other_code = Scene {
            code: ActivationCode::draw(&scene().book, &mut ChaCha20Rng::from_seed([6; 32]))
                .digest(),
            ..scene()
        };
        let scene = scene();
        let later = Listing::sign(&scene.identity, *scene.listing.ring_key(), 2);
        assert!(!holds(&other_book, &proof));
        assert!(!holds(&other_code, &proof));
        assert!(!holds(
            &Scene {
                listing: later,
                ..scene
            },
            &proof
        ));
    }

    #[test]
    fn a_challenge_is_answered_for_one_book() {
        let (identity, scene) = (SigningKey::from_bytes(&[1; 32]), scene());
        let challenge = Challenge::new(scene.book, [7; 32]);
        let answer = challenge.answer(&identity);
        assert!(challenge.answered_by(&IdentityKey::from(&identity), &answer));
        let elsewhere = Challenge::new(BookKey::from(&identity), [7; 32]);
        assert!(!elsewhere.answered_by(&IdentityKey::from(&identity), &answer));
    }

    #[test]
    fn the_text_to_sign_is_64_hexadecimal_digits() {
        let text = Challenge::new(scene().book, [0; 32]).text();
        assert_eq!(text.len(), 64);
        assert!(
            text.bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        );
    }
}
