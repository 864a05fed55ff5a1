//! Time-limited TURN credentials (draft-uberti-behave-turn-rest): the user name carries its own end, the password is an HMAC
//! of the user name under a secret that only the TURN server and the issuer know. The server keeps no list of users.
//!
//! The random part of a user name is drawn anew for each pair of credentials: it identifies no user.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Random bytes in a user name, written in hexadecimal: enough that two never meet.
const RANDOM_BYTES: usize = 8;

/// Longest user name that is looked at. Ours have 27 letters.
const MAX_USERNAME: usize = 64;

/// What TURN server and issuer share (`static-auth-secret` in coturn).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TurnSecret(String);

impl TurnSecret {
    /// Takes the secret as it stands in a configuration.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The text, for the one file that must hold it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Compared in constant time.
impl PartialEq for TurnSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for TurnSecret {}

impl fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Makes a user name and its password, good for `ttl` from `now_unix` (seconds since 1970).
pub fn rest_credentials(
    secret: &TurnSecret,
    ttl: Duration,
    now_unix: u64,
    rng: &mut impl CryptoRng,
) -> (String, String) {
    let mut random = [0; RANDOM_BYTES];
    rng.fill_bytes(&mut random);
    let random = u64::from_be_bytes(random);
    let username = format!("{}:{random:016x}", now_unix.saturating_add(ttl.as_secs()));
    let password = password_for(secret, &username);
    (username, password)
}

/// The password that belongs to a user name.
pub fn password_for(secret: &TurnSecret, username: &str) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.0.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// When the credentials end, in seconds since 1970; `None` if the name is not `<seconds>:<anything>`.
pub fn expiry(username: &str) -> Option<u64> {
    if username.len() > MAX_USERNAME {
        return None;
    }
    let (seconds, _) = username.split_once(':')?;
    seconds
        .parse()
        .ok()
        .filter(|_| seconds.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_password_is_what_openssl_and_coturn_compute() {
        // printf 1700000000:abc | openssl dgst -sha1 -hmac north-sea -binary | base64
        let secret = TurnSecret::new("north-sea".into());
        assert_eq!(
            password_for(&secret, "1700000000:abc"),
            "IsWOlodkzfJzEeRr6rJdDO5JtZU="
        );
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn credentials_end_when_they_say_and_never_repeat() {
        let secret = TurnSecret::new("north-sea".into());
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (one, _) = rest_credentials(&secret, Duration::from_secs(60), 1000, &mut rng);
        let (two, _) = rest_credentials(&secret, Duration::from_secs(60), 1000, &mut rng);
        assert_ne!(one, two);
        assert_eq!(expiry(&one), Some(1060));
    }

    #[test]
    fn other_user_names_have_no_end_and_are_refused() {
        for bad in [
            "",
            "alice",
            ":x",
            "-1:x",
            "+5:x",
            "99999999999999999999999:x",
            " 1:x",
            &format!("1:{}", "x".repeat(63)),
        ] {
            assert_eq!(expiry(bad), None, "{bad}");
        }
    }
}
