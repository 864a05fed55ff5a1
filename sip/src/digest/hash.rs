//! The digest itself: H(H(user:realm:password) : nonce [: nc : cnonce : qop] : H(method:uri)), in lower-case hex
//! (RFC 7616 section 3.4). `auth-int` and the `-sess` variants are not supported, because no
//! phone was seen to use them.

use md5::Md5;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::account::Password;
use crate::hex::hex;

/// The hash function of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5`, which every phone knows and which an absent parameter means.
    Md5,
    /// `SHA-256` (RFC 8760).
    Sha256,
}

impl Algorithm {
    /// The name in a header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Reads a name, in any case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|each| each.as_str().eq_ignore_ascii_case(name))
    }

    fn hex(self, parts: &[&[u8]]) -> Zeroizing<String> {
        match self {
            Self::Md5 => Zeroizing::new(hex(&joined::<Md5>(parts))),
            Self::Sha256 => Zeroizing::new(hex(&joined::<Sha256>(parts))),
        }
    }
}

/// H(user:realm:password), which can be stored in a phone instead of the password. It is valid for this realm alone, and as secret
/// as the password there.
#[must_use]
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Zeroizing<String> {
    algorithm.hex(&[user.as_bytes(), realm.as_bytes(), password.as_bytes()])
}

/// The parts of a digest that both sides know, apart from the password.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) user: &'a str,
    pub(super) realm: &'a str,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) nonce: &'a str,
    /// nc and cnonce as written, if `qop=auth` was used.
    pub(super) count: Option<(&'a str, &'a str)>,
}

impl Inputs<'_> {
    /// The expected `response`.
    pub(super) fn response(&self, password: &Password) -> Zeroizing<String> {
        let secret = self.algorithm.hex(&[
            self.user.as_bytes(),
            self.realm.as_bytes(),
            password.as_bytes(),
        ]);
        let request = self
            .algorithm
            .hex(&[self.method.as_bytes(), self.uri.as_bytes()]);
        match self.count {
            Some((nc, cnonce)) => self.algorithm.hex(&[
                secret.as_bytes(),
                self.nonce.as_bytes(),
                nc.as_bytes(),
                cnonce.as_bytes(),
                b"auth",
                request.as_bytes(),
            ]),
            None => {
                self.algorithm
                    .hex(&[secret.as_bytes(), self.nonce.as_bytes(), request.as_bytes()])
            }
        }
    }
}

fn joined<D: md5::Digest>(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut hash = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    Zeroizing::new(hash.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of RFC 7616 section 3.9.1, whose figures are facts of the protocol.
    #[test]
    fn the_worked_example_of_the_rfc_comes_out() {
        let inputs = |algorithm| Inputs {
            algorithm,
            user: "Mufasa",
            realm: "http-auth@example.org",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            count: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
        };
        let password = Password::new("Circle of Life");
        assert_eq!(
            *inputs(Algorithm::Md5).response(&password),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        assert_eq!(
            *inputs(Algorithm::Sha256).response(&password),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }
}
