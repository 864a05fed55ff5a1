//! The core's randomness: tags, branches and Call-IDs that cannot be guessed (RFC 3261 sections 19.3 and 8.1.1.7), and keyed
//! tags for stateless responses (section 8.2.7).

use hmac::{Hmac, KeyInit, Mac};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::hex::hex;
use crate::message::MAGIC_COOKIE;

/// A generator, and a key drawn from it.
pub(crate) struct Random {
    rng: ChaCha20Rng,
    key: Zeroizing<[u8; 32]>,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut());
        Self { rng, key }
    }

    /// A key for another part of the core.
    pub(crate) fn key(&mut self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(key.as_mut());
        key
    }

    /// 64 random bits in hexadecimal.
    pub(crate) fn tag(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    /// A branch of our own.
    pub(crate) fn branch(&mut self) -> String {
        format!("{MAGIC_COOKIE}{}", self.tag())
    }

    /// The same branch for the same dialog each time, for a request that is written ahead.
    pub(crate) fn branch_for(&self, parts: &[&[u8]]) -> String {
        format!("{MAGIC_COOKIE}{}", self.tag_for(parts))
    }

    /// A Call-ID of our own: 128 random bits, and no host name.
    pub(crate) fn call_id(&mut self) -> String {
        format!("{}{}", self.tag(), self.tag())
    }

    /// A number from `least` to `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        let span = most.saturating_sub(least).saturating_add(1);
        least.saturating_add(self.rng.next_u64().checked_rem(span).unwrap_or(0))
    }

    /// The same tag for the same request each time, so that its retransmissions get the same response.
    pub(crate) fn tag_for(&self, parts: &[&[u8]]) -> String {
        hex(keyed(&self.key, parts).get(..8).unwrap_or_default())
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(..)")
    }
}

/// HMAC-SHA-256 over parts, each prefixed with its length.
pub(crate) fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values() {
        let (mut one, mut two) = (Random::new([7; 32]), Random::new([7; 32]));
        assert_eq!(one.branch(), two.branch());
        assert_ne!(one.tag(), one.tag());
        assert_eq!(one.tag_for(&[b"a", b"b"]), two.tag_for(&[b"a", b"b"]));
        assert_ne!(one.tag_for(&[b"a", b"b"]), one.tag_for(&[b"ab", b""]));
    }
}
