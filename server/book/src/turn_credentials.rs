//! Time-limited TURN credentials (draft-uberti-behave-turn-rest): the user name carries its own end, the password is an HMAC
//! of the user name under a secret that only the TURN server and the issuer know. The server keeps no list of users.
//!
//! The random part of a user name is drawn anew for each pair of credentials: it identifies no user. All credentials that are made
//! on one UTC day end together ([`daily_end`]), so that the other part tells a day and nothing else.

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

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// Days for which credentials are good at least: an engine works for a week without its phone book.
const DAYS: u64 = 8;

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

/// When credentials end that are made now, in seconds since 1970: at a UTC midnight, eight to nine days ahead. An end that counted
/// from the second of the request would be a serial number of the client that made it.
#[must_use]
pub fn daily_end(now_unix: u64) -> u64 {
    (now_unix / DAY + 1 + DAYS).saturating_mul(DAY)
}

/// Makes a user name and its password, good until [`daily_end`].
pub fn daily_credentials(
    secret: &TurnSecret,
    now_unix: u64,
    rng: &mut impl CryptoRng,
) -> (String, String) {
    let ttl = Duration::from_secs(daily_end(now_unix).saturating_sub(now_unix));
    rest_credentials(secret, ttl, now_unix, rng)
}

/// The host of a TURN URI (RFC 7065 section 3.1) in small letters: the entries of one host are one server, which has one secret.
/// `None` if there is none.
#[must_use]
pub fn turn_host(uri: &str) -> Option<String> {
    let (_, rest) = uri.trim().split_once(':')?;
    let place = rest.split('?').next()?;
    let host = match place.strip_prefix('[') {
        Some(literal) => literal.split(']').next()?,
        None => place.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
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
    fn all_credentials_of_a_utc_day_end_at_one_midnight_eight_days_ahead_or_more() {
        for day in [0, 20_000, 20_785] {
            let end = daily_end(day * DAY);
            assert_eq!(end % DAY, 0);
            for second in [1, 77, DAY / 2, DAY - 1] {
                let now = day * DAY + second;
                assert_eq!(daily_end(now), end, "second {second}");
                assert!(end >= now + DAYS * DAY);
            }
            assert_eq!(daily_end((day + 1) * DAY), end + DAY);
        }
        let secret = TurnSecret::new("north-sea".into());
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (user, password) = daily_credentials(&secret, 20_000 * DAY + 5, &mut rng);
        assert_eq!(expiry(&user), Some(20_009 * DAY));
        assert_eq!(password, password_for(&secret, &user));
    }

    #[test]
    fn entries_of_one_host_are_one_server() {
        for (uri, host) in [
            ("turn:Turn.Example.org", Some("turn.example.org")),
            ("turns:turn.example.org:443", Some("turn.example.org")),
            ("turn:192.0.2.7:3478?transport=tcp", Some("192.0.2.7")),
            ("turn:[2001:db8::1]:3478?transport=udp", Some("2001:db8::1")),
            ("turn:", None),
            ("turn", None),
            ("turn::3478", None),
        ] {
            assert_eq!(turn_host(uri).as_deref(), host, "{uri}");
        }
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
