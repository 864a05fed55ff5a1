//! Public keys, taken from foreign bytes only after the checks that both RFC 7748 section 7 and RFC 8032 section 5.1.7 leave to
//! the caller: one encoding per key, no point of small order, no mixed order. Private keys are not here.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};

/// Bytes of either kind of key.
pub const KEY_BYTES: usize = 32;

/// Why bytes are no key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes name no point of the curve.
    #[error("not a point of the curve")]
    NotAPoint,
    /// A second spelling of a point that has a shorter one.
    #[error("not the canonical encoding of the key")]
    NotCanonical,
    /// A point of small or mixed order: what is agreed or signed with it proves nothing.
    #[error("a key of small or mixed order")]
    WeakPoint,
}

/// The Ed25519 key that *is* a line's identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdentityKey(VerifyingKey);

impl IdentityKey {
    /// Takes 32 bytes from anywhere.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        let point = key.to_edwards();
        if point.compress().as_bytes() != bytes {
            return Err(KeyError::NotCanonical);
        }
        if key.is_weak() || !point.is_torsion_free() {
            return Err(KeyError::WeakPoint);
        }
        Ok(Self(key))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.as_bytes()
    }

    /// Whether the signature over exactly these bytes is genuine, by the strict rules (no malleable or small-order signature).
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0
            .verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    }
}

/// The public half of a key pair that this program made itself needs no check.
impl From<&ed25519_dalek::SigningKey> for IdentityKey {
    fn from(own: &ed25519_dalek::SigningKey) -> Self {
        Self(own.verifying_key())
    }
}

/// By the bytes; decides which of two rings that cross wins.
impl Ord for IdentityKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for IdentityKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for IdentityKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(..)")
    }
}

/// The Ed25519 key with which a phone book signs its roots. Public, and the same for all its users.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookKey(IdentityKey);

impl BookKey {
    /// Takes 32 bytes from anywhere.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        IdentityKey::from_bytes(bytes).map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.as_bytes()
    }

    /// Whether this book signed exactly these bytes.
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.signed(message, signature)
    }
}

impl From<&ed25519_dalek::SigningKey> for BookKey {
    fn from(own: &ed25519_dalek::SigningKey) -> Self {
        Self(IdentityKey::from(own))
    }
}

/// The X25519 key to which rings are sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RingKey(PublicKey);

impl RingKey {
    /// Takes 32 bytes from anywhere.
    ///
    /// # Errors
    /// [`KeyError`], never [`KeyError::NotAPoint`]: every 32 bytes name a point of the curve or of its twist.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        if !canonical_u(bytes) {
            return Err(KeyError::NotCanonical);
        }
        let key = PublicKey::from(*bytes);
        // Clamped scalars are multiples of the cofactor: with a small-order point any of them gives zero.
        let probe = StaticSecret::from([1; KEY_BYTES]);
        if probe.diffie_hellman(&key).was_contributory() {
            Ok(Self(key))
        } else {
            Err(KeyError::WeakPoint)
        }
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.as_bytes()
    }

    /// The key as the Diffie-Hellman function wants it.
    #[must_use]
    pub fn point(&self) -> &PublicKey {
        &self.0
    }

    /// Four bytes that name the key in a ring. Derived, so that a record leaves its owner no choice that would tell it apart.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(b"ringfence/2 ring-key id\0")
            .chain_update(self.as_bytes())
            .finalize();
        let [a, b, c, d, ..] = digest.0;
        [a, b, c, d]
    }
}

/// The public half of a key pair that this program made itself needs no check.
impl From<&StaticSecret> for RingKey {
    fn from(own: &StaticSecret) -> Self {
        Self(PublicKey::from(own))
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RingKey(..)")
    }
}

/// Below 2^255 - 19, top bit clear (RFC 7748 section 5 lets receivers accept more).
fn canonical_u(bytes: &[u8; KEY_BYTES]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    let at_or_above_prime =
        *highest == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *lowest >= 0xed;
    *highest <= 0x7f && !at_or_above_prime
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn bytes(hex: &str) -> [u8; 32] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    #[test]
    fn own_keys_pass_the_checks_for_foreign_ones() {
        for seed in 0..20 {
            let signing = SigningKey::from_bytes(&[seed; 32]);
            assert_eq!(
                IdentityKey::from_bytes(signing.verifying_key().as_bytes()),
                Ok(IdentityKey::from(&signing))
            );
            let ring = StaticSecret::from([seed; 32]);
            assert_eq!(
                RingKey::from_bytes(RingKey::from(&ring).as_bytes()),
                Ok(RingKey::from(&ring))
            );
        }
    }

    #[test]
    fn x25519_points_of_small_order_are_refused() {
        for hex in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert_eq!(
                RingKey::from_bytes(&bytes(hex)),
                Err(KeyError::WeakPoint),
                "{hex}"
            );
        }
    }

    #[test]
    fn second_spellings_of_x25519_keys_are_refused() {
        for hex in [
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0900000000000000000000000000000000000000000000000000000000000080",
        ] {
            assert_eq!(
                RingKey::from_bytes(&bytes(hex)),
                Err(KeyError::NotCanonical),
                "{hex}"
            );
        }
    }

    #[test]
    fn ed25519_points_of_small_or_mixed_order_are_refused() {
        let identity = bytes("0100000000000000000000000000000000000000000000000000000000000000");
        assert_eq!(IdentityKey::from_bytes(&identity), Err(KeyError::WeakPoint));
        let order_eight = bytes("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
        assert_eq!(
            IdentityKey::from_bytes(&order_eight),
            Err(KeyError::WeakPoint)
        );
        let own = SigningKey::from_bytes(&[7; 32])
            .verifying_key()
            .to_edwards();
        let small = VerifyingKey::from_bytes(&order_eight).unwrap().to_edwards();
        assert_eq!(
            IdentityKey::from_bytes((own + small).compress().as_bytes()),
            Err(KeyError::WeakPoint)
        );
    }

    #[test]
    fn second_spellings_of_ed25519_keys_are_refused() {
        // y = p + 1, which is y = 1 written too long; and y = 1 with the sign bit of x = 0 set.
        let too_long = bytes("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        assert_eq!(
            IdentityKey::from_bytes(&too_long),
            Err(KeyError::NotCanonical)
        );
        let negative_zero =
            bytes("0100000000000000000000000000000000000000000000000000000000000080");
        assert!(IdentityKey::from_bytes(&negative_zero).is_err());
    }

    #[test]
    fn a_key_does_not_show_itself_in_debug_output() {
        let key = IdentityKey::from(&SigningKey::from_bytes(&[1; 32]));
        assert_eq!(format!("{key:?}"), "IdentityKey(..)");
    }
}
