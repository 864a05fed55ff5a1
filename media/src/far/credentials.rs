//! ICE credentials (RFC 8445 section 5.3), drawn from a cryptographic generator, unlike str0m's own.

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use zeroize::ZeroizeOnDrop;

/// The characters of ICE credentials (RFC 8445 section 5.3: ice-char); there are 64, so that six random bits choose one.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Length of our ICE user name fragment: 48 bits distinguish calls.
const UFRAG_LENGTH: usize = 8;

/// Length of our ICE password: 144 bits, where RFC 8445 requires 128.
const PWD_LENGTH: usize = 24;

/// The ICE credentials of one call.
#[derive(ZeroizeOnDrop)]
pub(super) struct IceCredentials {
    pub(super) ufrag: String,
    pub(super) pwd: String,
}

impl IceCredentials {
    /// Draws new credentials.
    pub(super) fn draw(rng: &mut ChaCha20Rng) -> Self {
        Self {
            ufrag: ice_string(UFRAG_LENGTH, rng),
            pwd: ice_string(PWD_LENGTH, rng),
        }
    }
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IceCredentials(..)")
    }
}

fn ice_string(length: usize, rng: &mut ChaCha20Rng) -> String {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(ICE_CHARS[usize::from(byte & 63)]))
        .collect()
}

/// Whether `text` can be a user name fragment.
pub(super) fn is_ufrag(text: &str) -> bool {
    is_ice(text, 4)
}

/// Whether `text` can be a password.
pub(super) fn is_password(text: &str) -> bool {
    is_ice(text, 22)
}

/// Whether `text` has only ICE characters, at least `least` of them.
fn is_ice(text: &str, least: usize) -> bool {
    (least..=256).contains(&text.len()) && text.bytes().all(|byte| ICE_CHARS.contains(&byte))
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn credentials_are_long_enough_and_differ() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (one, two) = (
            IceCredentials::draw(&mut rng),
            IceCredentials::draw(&mut rng),
        );
        assert!(is_ufrag(&one.ufrag) && is_password(&one.pwd));
        assert!(one.ufrag != two.ufrag && one.pwd != two.pwd);
        assert_eq!(format!("{one:?}"), "IceCredentials(..)");
    }

    #[test]
    fn other_letters_and_lengths_are_refused() {
        for bad in ["abc", "abc d", "abc\r\n", "abcd\u{e9}", &"a".repeat(257)] {
            assert!(!is_ufrag(bad), "{bad:?}");
        }
        assert!(!is_password(&"a".repeat(21)) && is_password(&"a".repeat(22)));
    }
}
