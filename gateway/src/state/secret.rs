//! A secret string: never printed, wiped when dropped.

use rand::Rng;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A password or shared secret. `Debug` shows nothing of it; it is compared in constant time.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// 256 random bits in hexadecimal.
    #[must_use]
    pub(crate) fn random() -> Self {
        let mut bits = zeroize::Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(&mut *bits);
        Self(hex::encode(*bits))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is empty, which in settings means "not set".
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("swordfish".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.expose(), "swordfish");
    }

    #[test]
    fn secrets_are_the_same_if_their_texts_are() {
        let secret = |text: &str| Secret::new(text.to_owned());
        assert!(secret("swordfish") == secret("swordfish"));
        for other in ["", "swordfis", "swordfish ", "Swordfish"] {
            assert!(secret("swordfish") != secret(other), "{other}");
        }
    }
}
