//! The server's side of digest: challenges, and whether an answer to one proves a user (RFC 7616, RFC 8760).
//!
//! An unknown user takes the same path with a random password, so that the response tells nothing. The Request-URI is compared
//! with the digest's by user and host only: phones drop ports and parameters from one of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use subtle::ConstantTimeEq;

use super::client::read_digest;
use super::hash::{Algorithm, Inputs};
use super::nonce::Nonces;
use super::throttle::Throttle;
use crate::account::{Algorithms, Config, Password, User};
use crate::message::{Name, Params, Request, Uri};
use crate::random::Random;

/// How many `Authorization` headers of one request are tried: one for each algorithm, and some room.
const MAX_CREDENTIALS: usize = 4;
/// The longest user name that is looked up.
const MAX_USER: usize = 128;

pub(crate) struct Verifier {
    realm: String,
    algorithms: &'static [Algorithm],
    passwords: BTreeMap<User, Password>,
    decoy: Password,
    nonces: Nonces,
    throttle: Throttle,
}

/// What the credentials of a request prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DigestVerdict {
    /// This line, by a nonce of this serial.
    Proved(User, u64),
    /// Nothing yet.
    Absent,
    /// The password is right, the nonce too old.
    Stale,
    /// Nothing.
    Wrong,
}

impl Verifier {
    pub(crate) fn new(config: Config, random: &mut Random) -> Self {
        let algorithms: &[Algorithm] = match config.algorithms {
            Algorithms::Md5 => &[Algorithm::Md5],
            Algorithms::Sha256AndMd5 => &[Algorithm::Sha256, Algorithm::Md5],
            Algorithms::Sha256 => &[Algorithm::Sha256],
        };
        let passwords = config
            .accounts
            .into_iter()
            .map(|account| (account.user, account.password))
            .collect();
        let decoy = Password::new(random.call_id());
        let nonces = Nonces::new(random.key());
        Self {
            realm: config.realm,
            algorithms,
            passwords,
            decoy,
            nonces,
            throttle: Throttle::default(),
        }
    }

    /// Whether there is such a line.
    pub(crate) fn knows(&self, user: &User) -> bool {
        self.passwords.contains_key(user)
    }

    /// The values of the `WWW-Authenticate` headers, the preferred one first.
    pub(crate) fn challenge(&mut self, is_stale: bool, now: Instant) -> Vec<String> {
        let nonce = self.nonces.make(now);
        let stale = if is_stale { ", stale=true" } else { "" };
        let realm = crate::message::quote(&self.realm);
        let value = |algorithm: &Algorithm| {
            let algorithm = algorithm.as_str();
            format!(
                "Digest realm={realm}, nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}"
            )
        };
        self.algorithms.iter().map(value).collect()
    }

    /// Judges the credentials of a request that came from `source`.
    pub(crate) fn verify(
        &mut self,
        request: &Request,
        uri: &Uri,
        source: IpAddr,
        now: Instant,
    ) -> DigestVerdict {
        let mut verdict = DigestVerdict::Absent;
        for name in [Name::Authorization, Name::ProxyAuthorization] {
            for value in request.headers.all(&name).take(MAX_CREDENTIALS) {
                let Some(credentials) =
                    read_digest(value).and_then(|params| Credentials::read(&params))
                else {
                    continue;
                };
                if credentials.realm != self.realm
                    || !self.algorithms.contains(&credentials.algorithm)
                {
                    continue;
                }
                verdict = self.judge(&credentials, request, uri, source, now);
                if matches!(verdict, DigestVerdict::Proved(..) | DigestVerdict::Stale) {
                    return verdict;
                }
            }
        }
        verdict
    }

    fn judge(
        &mut self,
        credentials: &Credentials,
        request: &Request,
        uri: &Uri,
        source: IpAddr,
        now: Instant,
    ) -> DigestVerdict {
        let who = (source, credentials.user.clone());
        let is_for_this =
            Uri::parse(credentials.uri.as_bytes()).is_some_and(|meant| meant.is_same_resource(uri));
        if !is_for_this || credentials.user.len() > MAX_USER || !self.throttle.allows(&who, now) {
            return DigestVerdict::Wrong;
        }
        let user = User::new(credentials.user.clone());
        let known = self.passwords.get(&user);
        let inputs = credentials.inputs(request.method.as_str());
        let expected = inputs.response(known.unwrap_or(&self.decoy));
        let response = credentials.response.to_ascii_lowercase();
        let is_right: bool = expected.as_bytes().ct_eq(response.as_bytes()).into();
        if !is_right || known.is_none() {
            self.throttle.note_failure(who, now);
            return DigestVerdict::Wrong;
        }
        self.throttle.note_success(&who);
        let count = credentials.count.as_ref().map(|count| count.number);
        match self.nonces.spend(&credentials.nonce, count, now) {
            Some(serial) => DigestVerdict::Proved(user, serial),
            None => DigestVerdict::Stale,
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// An `Authorization` value.
struct Credentials {
    user: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: Algorithm,
    count: Option<NonceCount>,
}

/// What `qop=auth` adds.
struct NonceCount {
    written: String,
    number: u32,
    cnonce: String,
}

impl Credentials {
    fn read(params: &Params) -> Option<Self> {
        let text = |name: &str| params.get(name).map(|value| value.into_owned());
        let algorithm = match params.get("algorithm") {
            Some(name) => Algorithm::from_name(&name)?,
            None => Algorithm::Md5,
        };
        let count = match params.get("qop") {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let written = text("nc")?;
                let number = u32::from_str_radix(&written, 16).ok()?;
                Some(NonceCount {
                    written,
                    number,
                    cnonce: text("cnonce")?,
                })
            }
            Some(_) => return None,
            None => None,
        };
        Some(Self {
            user: text("username")?,
            realm: text("realm")?,
            nonce: text("nonce")?,
            uri: text("uri")?,
            response: text("response")?,
            algorithm,
            count,
        })
    }

    fn inputs<'a>(&'a self, method: &'a str) -> Inputs<'a> {
        Inputs {
            algorithm: self.algorithm,
            user: &self.user,
            realm: &self.realm,
            method,
            uri: &self.uri,
            nonce: &self.nonce,
            count: self
                .count
                .as_ref()
                .map(|count| (count.written.as_str(), count.cnonce.as_str())),
        }
    }
}
