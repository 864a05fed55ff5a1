//! The accounts of the user agent: one per line, each with a user name and a password.
//!
//! Credentials are verified in [`digest`](crate::digest); nothing is stored here.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The user name of a line, as typed into the phone. Compared byte by byte (RFC 3261 section 19.1.4: user parts are
/// case-sensitive).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(String);

impl User {
    /// Wraps a user name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("User(..)")
    }
}

/// The password of a line. Wiped when dropped, never printed, compared in constant time.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The bytes that go into a digest.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The credentials that phones of one line register with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user name, and the digest `username`.
    pub user: User,
    /// The shared secret of the digest.
    pub password: Password,
}

/// The settings of a [`UserAgent`](crate::UserAgent).
#[derive(Clone, Debug)]
pub struct Config {
    /// The digest realm shown to phones (RFC 3261 section 22.1). Printable, without personal data.
    pub realm: String,
    /// The lines.
    pub accounts: Vec<Account>,
    /// Which hash functions a challenge offers.
    pub algorithms: Algorithms,
}

/// Which hash functions a challenge offers. Credentials are checked with any of those offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithms {
    /// MD5 alone: every phone knows it, and some fail on a second challenge (baresip 1.0 does).
    #[default]
    Md5,
    /// SHA-256 first, then MD5 (RFC 8760 section 2.4): for phones that read more than one challenge.
    Sha256AndMd5,
    /// SHA-256 alone.
    Sha256,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_prints_nothing() {
        let account = Account {
            user: User::new("alice"),
            password: Password::new("hunter2"),
        };
        assert_eq!(
            format!("{account:?}"),
            "Account { user: User(..), password: Secret(..) }"
        );
    }
}
