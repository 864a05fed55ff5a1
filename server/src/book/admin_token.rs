//! The operator's token: made when the book is born, handed over once, kept as a hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 256 random bits in base64url: what an operator sends as `Authorization: Bearer ...`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AdminToken(String);

impl AdminToken {
    /// A new token.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// The text to hand over. The only way in which a token shows itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What the book keeps of it.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(&self.0)
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The hash of a token. 256 random bits need no slow one.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The hash of any text that claims to be a token.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(
            Sha256::new()
                .chain_update(b"ringfence/1 admin-token\0")
                .chain_update(text)
                .finalize()
                .0,
        )
    }

    /// As a store kept it.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, as a store keeps them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenDigest {}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let token = AdminToken::draw(&mut ChaCha20Rng::from_seed([1; 32]));
        assert_eq!(TokenDigest::of(token.text()), token.digest());
        assert_ne!(TokenDigest::of(""), token.digest());
        assert_eq!(token.text().len(), 43);
    }

    #[test]
    fn a_token_does_not_show_itself_in_debug_output() {
        let token = AdminToken::draw(&mut ChaCha20Rng::from_seed([1; 32]));
        assert_eq!(
            format!("{token:?} {:?}", token.digest()),
            "Secret(..) TokenDigest(..)"
        );
    }
}
