//! Master keys and the suites that they are for (RFC 4568 section 6.2, RFC 6188 section 4, RFC 7714
//! section 12).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rand_core::Rng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How packets are encrypted and authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpSuite {
    /// AES-128 in counter mode, 80-bit HMAC-SHA1: what every phone with SRTP has.
    AesCm128Sha1Tag80,
    /// The same with 32-bit tags.
    AesCm128Sha1Tag32,
    /// AES-256 in counter mode, 80-bit HMAC-SHA1.
    AesCm256Sha1Tag80,
    /// The same with 32-bit tags.
    AesCm256Sha1Tag32,
    /// AES-128 in Galois/counter mode.
    AesGcm128,
    /// AES-256 in Galois/counter mode.
    AesGcm256,
}

impl SrtpSuite {
    /// Every suite.
    pub const ALL: [Self; 6] = [
        Self::AesCm128Sha1Tag80,
        Self::AesCm128Sha1Tag32,
        Self::AesCm256Sha1Tag80,
        Self::AesCm256Sha1Tag32,
        Self::AesGcm128,
        Self::AesGcm256,
    ];

    /// What we offer, in this order: first what costs least, then what every phone has. Short tags
    /// are left out: a phone that wants them may offer them.
    pub const OFFERED: [Self; 4] = [
        Self::AesGcm128,
        Self::AesCm128Sha1Tag80,
        Self::AesGcm256,
        Self::AesCm256Sha1Tag80,
    ];

    /// The name in `a=crypto`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256Sha1Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256Sha1Tag32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AesGcm128 => "AEAD_AES_128_GCM",
            Self::AesGcm256 => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a name in `a=crypto`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of a master key, which are also those of a session key.
    pub(super) const fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128Sha1Tag80 | Self::AesCm128Sha1Tag32 | Self::AesGcm128 => 16,
            Self::AesCm256Sha1Tag80 | Self::AesCm256Sha1Tag32 | Self::AesGcm256 => 32,
        }
    }

    /// Bytes of a master salt, which are also those of a session salt.
    pub(super) const fn salt_bytes(self) -> usize {
        match self {
            Self::AesGcm128 | Self::AesGcm256 => 12,
            _ => 14,
        }
    }

    /// Bytes that a packet grows by.
    pub(super) const fn tag_bytes(self) -> usize {
        match self {
            Self::AesCm128Sha1Tag80 | Self::AesCm256Sha1Tag80 => 10,
            Self::AesCm128Sha1Tag32 | Self::AesCm256Sha1Tag32 => 4,
            Self::AesGcm128 | Self::AesGcm256 => 16,
        }
    }
}

/// A master key with its salt, for one direction of one call. Wiped when dropped.
#[derive(Clone)]
pub struct SrtpKey {
    suite: SrtpSuite,
    bytes: Zeroizing<Vec<u8>>,
}

impl SrtpKey {
    /// A new key. `rng` must be a cryptographic generator.
    #[must_use]
    pub fn random(suite: SrtpSuite, rng: &mut impl Rng) -> Self {
        let mut bytes = Zeroizing::new(vec![0; suite.key_bytes() + suite.salt_bytes()]);
        rng.fill_bytes(&mut bytes);
        Self { suite, bytes }
    }

    /// The key of an `inline:` parameter (RFC 4568 section 6.1), with or without padding. `None` if
    /// it has not the suite's length.
    #[must_use]
    pub fn from_base64(suite: SrtpSuite, text: &str) -> Option<Self> {
        let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
        Self::from_bytes(suite, Zeroizing::new(bytes))
    }

    pub(super) fn from_bytes(suite: SrtpSuite, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (bytes.len() == suite.key_bytes() + suite.salt_bytes()).then_some(Self { suite, bytes })
    }

    /// As [`SrtpKey::from_base64`] reads it.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(&*self.bytes))
    }

    /// What it is for.
    #[must_use]
    pub const fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// Key and salt.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.suite.key_bytes())
    }
}

impl PartialEq for SrtpKey {
    fn eq(&self, other: &Self) -> bool {
        self.suite == other.suite && self.bytes.ct_eq(&other.bytes).into()
    }
}

impl Eq for SrtpKey {}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn every_name_leads_back_to_its_suite() {
        for suite in SrtpSuite::ALL {
            assert_eq!(SrtpSuite::from_name(suite.name()), Some(suite));
        }
        assert_eq!(SrtpSuite::from_name("F8_128_HMAC_SHA1_80"), None);
    }

    #[test]
    fn a_key_is_read_back_with_or_without_padding() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        for suite in SrtpSuite::ALL {
            let key = SrtpKey::random(suite, &mut rng);
            let text = key.to_base64();
            assert_eq!(SrtpKey::from_base64(suite, &text), Some(key.clone()));
            let bare = text.trim_end_matches('=');
            assert_eq!(SrtpKey::from_base64(suite, bare), Some(key));
        }
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        let key = SrtpKey::random(
            SrtpSuite::AesCm256Sha1Tag80,
            &mut ChaCha20Rng::from_seed([1; 32]),
        );
        let text = key.to_base64();
        assert_eq!(
            SrtpKey::from_base64(SrtpSuite::AesCm128Sha1Tag80, &text),
            None
        );
        assert_eq!(
            SrtpKey::from_base64(SrtpSuite::AesCm256Sha1Tag80, "not base64"),
            None
        );
        assert_eq!(SrtpKey::from_base64(SrtpSuite::AesCm256Sha1Tag80, ""), None);
    }

    #[test]
    fn a_key_prints_nothing() {
        let key = SrtpKey::random(SrtpSuite::AesGcm128, &mut ChaCha20Rng::from_seed([1; 32]));
        assert_eq!(format!("{key:?}"), "SrtpKey(..)");
    }
}
