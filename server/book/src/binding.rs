//! A binding: the book's signed word that a number belongs to an identity. The caller staples it to a ring, so that the callee
//! looks no number up; and a false one is proof against the book that anyone can keep.
//!
//! ```text
//!   0   4  number, big-endian
//!   4  32  Ed25519 identity key
//!  36   4  last day on which it is good, big-endian
//!  40  64  Ed25519 signature of the book over "ringfence/1 book-binding\0" and the 40 bytes before
//! ```

use ed25519_dalek::{Signer, SigningKey};
use thiserror::Error;

use crate::day::Day;
use crate::keys::{BookKey, IdentityKey, KeyError};
use crate::number::Number;

/// Bytes of a binding.
pub const BINDING_BYTES: usize = 104;

const DOMAIN: &[u8; 25] = b"ringfence/1 book-binding\0";

/// A binding as it was read; only [`Binding::verify`] makes it worth something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    number: Number,
    identity: IdentityKey,
    expires: Day,
    signature: [u8; 64],
}

/// Why a binding proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BindingError {
    /// Not 104 bytes.
    #[error("a binding has {BINDING_BYTES} bytes")]
    Length,
    /// The identity key is none.
    #[error("identity key: {0}")]
    Identity(KeyError),
    /// This book did not sign it.
    #[error("the signature is not the phone book's")]
    Signature,
    /// Its last day has passed.
    #[error("the binding has expired")]
    Expired,
}

impl Binding {
    /// The book's word, good through `expires`.
    #[must_use]
    pub fn sign(book: &SigningKey, number: Number, identity: IdentityKey, expires: Day) -> Self {
        let mut binding = Self {
            number,
            identity,
            expires,
            signature: [0; 64],
        };
        binding.signature = book.sign(&binding.signed_bytes()).to_bytes();
        binding
    }

    /// Puts a binding together from parts that came by another way. Not verified yet.
    #[must_use]
    pub fn from_parts(
        number: Number,
        identity: IdentityKey,
        expires: Day,
        signature: [u8; 64],
    ) -> Self {
        Self {
            number,
            identity,
            expires,
            signature,
        }
    }

    /// Reads the 104 bytes. Not verified yet.
    ///
    /// # Errors
    /// [`BindingError::Length`], [`BindingError::Identity`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BindingError> {
        let bytes: &[u8; BINDING_BYTES] = bytes.try_into().map_err(|_| BindingError::Length)?;
        let (number, rest) = bytes.split_first_chunk::<4>().ok_or(BindingError::Length)?;
        let (identity, rest) = rest.split_first_chunk::<32>().ok_or(BindingError::Length)?;
        let (expires, rest) = rest.split_first_chunk::<4>().ok_or(BindingError::Length)?;
        let (signature, _) = rest.split_first_chunk::<64>().ok_or(BindingError::Length)?;
        let number = Number::new(u32::from_be_bytes(*number));
        let identity = IdentityKey::from_bytes(identity).map_err(BindingError::Identity)?;
        Ok(Self {
            number,
            identity,
            expires: Day::new(u32::from_be_bytes(*expires)),
            signature: *signature,
        })
    }

    /// The 104 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; BINDING_BYTES] {
        let mut bytes = [0; BINDING_BYTES];
        for (to, from) in bytes
            .iter_mut()
            .zip(self.head().into_iter().chain(self.signature))
        {
            *to = from;
        }
        bytes
    }

    /// Whether this book signed it and today is not past its last day.
    ///
    /// # Errors
    /// [`BindingError::Signature`], [`BindingError::Expired`].
    pub fn verify(&self, book: &BookKey, today: Day) -> Result<(), BindingError> {
        if !book.signed(&self.signed_bytes(), &self.signature) {
            return Err(BindingError::Signature);
        }
        if today > self.expires {
            return Err(BindingError::Expired);
        }
        Ok(())
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> Number {
        self.number
    }

    /// Whose number it is.
    #[must_use]
    pub fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    /// The last day on which it is good.
    #[must_use]
    pub fn expires(&self) -> Day {
        self.expires
    }

    /// The book's signature.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    fn head(&self) -> Vec<u8> {
        let (number, expires) = (
            self.number.value().to_be_bytes(),
            self.expires.count().to_be_bytes(),
        );
        [number.as_slice(), self.identity.as_bytes(), &expires].concat()
    }

    fn signed_bytes(&self) -> Vec<u8> {
        [DOMAIN.as_slice(), &self.head()].concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn book() -> SigningKey {
        SigningKey::from_bytes(&[9; 32])
    }

    fn binding() -> Binding {
        let identity = IdentityKey::from(&SigningKey::from_bytes(&[1; 32]));
        Binding::sign(&book(), Number::new(20_123), identity, Day::new(20_000))
    }

    #[test]
    fn what_was_written_reads_back_and_verifies() {
        let read = Binding::decode(&binding().encode()).unwrap();
        assert_eq!(read, binding());
        assert_eq!(
            read.verify(&BookKey::from(&book()), Day::new(20_000)),
            Ok(())
        );
    }

    #[test]
    fn a_binding_of_another_book_is_refused() {
        let other = SigningKey::from_bytes(&[8; 32]);
        assert_eq!(
            binding().verify(&BookKey::from(&other), Day::new(1)),
            Err(BindingError::Signature)
        );
    }

    #[test]
    fn a_binding_ends_after_its_last_day() {
        assert_eq!(
            binding().verify(&BookKey::from(&book()), Day::new(20_001)),
            Err(BindingError::Expired)
        );
    }

    #[test]
    fn every_single_bit_flip_is_refused() {
        let good = binding().encode();
        for position in 0..BINDING_BYTES * 8 {
            let mut bad = good;
            bad[position / 8] ^= 1 << (position % 8);
            let accepted = Binding::decode(&bad)
                .is_ok_and(|binding| binding.verify(&BookKey::from(&book()), Day::new(1)).is_ok());
            assert!(!accepted, "bit {position}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(binding) = Binding::decode(&bytes) {
                prop_assert!(binding.verify(&BookKey::from(&book()), Day::new(1)).is_err());
            }
        }
    }
}
