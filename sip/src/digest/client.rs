//! The client's side of digest: reading a challenge and answering it. Used by the built-in phone and by tests; the user agent
//! answers no challenges.

use super::hash::{Algorithm, Inputs};
use crate::account::Password;
use crate::message::{Method, Params, Scan};

/// A `WWW-Authenticate` or `Proxy-Authenticate` value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestChallenge {
    /// The realm, for the choice of a password.
    pub realm: String,
    /// The nonce.
    pub nonce: String,
    /// The hash function asked for.
    pub algorithm: Algorithm,
    /// Echoed as it came.
    pub opaque: Option<String>,
    /// True if `qop` offers `auth`.
    pub has_qop: bool,
    /// True if the last nonce was too old and the password right.
    pub stale: bool,
}

impl DigestChallenge {
    /// Reads a header value. `None` if it is no Digest challenge or asks for an unknown algorithm.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let params = read_digest(value)?;
        let text = |name: &str| params.get(name).map(|value| value.into_owned());
        let algorithm = match params.get("algorithm") {
            Some(name) => Algorithm::from_name(&name)?,
            None => Algorithm::Md5,
        };
        Some(Self {
            realm: text("realm")?,
            nonce: text("nonce")?,
            algorithm,
            opaque: text("opaque"),
            has_qop: params
                .get("qop")
                .is_some_and(|qop| qop.split(',').any(|each| each.trim() == "auth")),
            stale: params
                .get("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }
}

/// Reads `Digest a=b, c="d"`.
pub(super) fn read_digest(value: &[u8]) -> Option<Params> {
    let mut scan = Scan::new(value);
    scan.skip_space();
    let is_digest = scan.token()?.eq_ignore_ascii_case("Digest")
        && scan
            .peek()
            .is_some_and(|byte| byte == b' ' || byte == b'\t');
    if is_digest {
        Params::read_comma_list(&mut scan)
    } else {
        None
    }
}

/// The value of the `Authorization` header that answers `challenge`; `nc` counts the uses of this nonce from 1.
pub fn answer(
    challenge: &DigestChallenge,
    user: &str,
    password: &Password,
    method: &Method,
    uri: &str,
    cnonce: &str,
    nc: u32,
) -> String {
    let count = format!("{nc:08x}");
    let inputs = Inputs {
        algorithm: challenge.algorithm,
        user,
        realm: &challenge.realm,
        method: method.as_str(),
        uri,
        nonce: &challenge.nonce,
        count: challenge.has_qop.then_some((count.as_str(), cnonce)),
    };
    let response = inputs.response(password);
    let mut value = format!(
        "Digest username={}, realm={}, nonce=\"{}\", uri=\"{uri}\", response=\"{}\", algorithm={}",
        crate::message::quote(user),
        crate::message::quote(&challenge.realm),
        challenge.nonce,
        *response,
        challenge.algorithm.as_str(),
    );
    if challenge.has_qop {
        value.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""));
    }
    if let Some(opaque) = &challenge.opaque {
        value.push_str(&format!(", opaque=\"{opaque}\""));
    }
    value
}
