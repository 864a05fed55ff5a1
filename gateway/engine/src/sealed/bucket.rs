//! Buckets: which part of the network's envelopes a line listens to.
//!
//! A relay sees the bucket of an event and of a subscription; it is shared by every line whose
//! identity hashes alike, so it names a crowd. With 0 bits, the default, there is one crowd.

use ringfence_book::IdentityKey;
use sha2::{Digest, Sha256};

/// Domain of the hash, so that no other use of an identity key gives related values.
const DOMAIN: &[u8] = b"ringfence/2 bucket\0";

/// Most bits that a bucket number may have.
pub const MAX_BUCKET_BITS: u8 = 16;

/// The bucket of an identity: the first `bits` bits of SHA-256 over domain and key.
#[must_use]
pub fn bucket(identity: &IdentityKey, bits: u8) -> u16 {
    let digest = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(identity.as_bytes())
        .finalize();
    let first = u16::from_be_bytes([digest[0], digest[1]]);
    let drop = u32::from(MAX_BUCKET_BITS.saturating_sub(bits));
    first.checked_shr(drop).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    #[test]
    fn no_bits_mean_one_bucket_and_more_bits_refine_it() {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
        let identity = IdentityKey::from_bytes(&key).unwrap();
        assert_eq!(bucket(&identity, 0), 0);
        assert_eq!(bucket(&identity, 16) >> 8, bucket(&identity, 8));
        assert!(bucket(&identity, 3) < 8);
    }
}
