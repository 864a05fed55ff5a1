//! The HTTP client of the phone book. The only file that knows the HTTP library.
//!
//! Answers are read up to a limit; redirects are not followed, because they would carry an activation code elsewhere; plain HTTP is
//! used on this machine, on private networks and to onion names only.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::IF_NONE_MATCH;
use reqwest::{Certificate, RequestBuilder, Response, StatusCode, Url};
use ringfence_book::fetch::FetchError;
use ringfence_book::wire::{
    Activate, Activated, AskChallenge, AskTurn, Challenged, Deactivate, Done, Renewed, Rotate,
    Rotated, TurnCredentials, Verify,
};
use ringfence_book::{NetworkSettings, Root, Want};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::skew::{ClockCheck, ClockOffset, ClockSkew};
use super::{BookError, Unreachable, check};
use crate::clock;
use crate::net::audit::{AuditEntry, ConnectionAudit};
use crate::net::tls::TlsFileError;
use crate::state::secret::Secret;

/// Longest time for a request and its answer: a tile over a slow line.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Largest JSON answer: network settings with many relays take about 2 kB.
const MOST_JSON: usize = 64 * 1024;

/// The client of one phone book.
#[derive(Clone, Debug)]
pub struct BookClient {
    http: reqwest::Client,
    base: Url,
    skew: Arc<ClockSkew>,
    audit: ConnectionAudit,
}

impl BookClient {
    /// A client of the phone book at `url`. `ca_file` has certificates that are trusted in addition to the public ones.
    ///
    /// # Errors
    /// [`BookError::BadUrl`], [`BookError::Insecure`], [`BookError::Tls`].
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, BookError> {
        let base = read_url(url)?;
        crate::net::tls::install_provider();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            // The same for all engines, so that it does not tell them apart.
            .user_agent("ringfence/1");
        if is_near(&base) {
            builder = builder.no_proxy();
        }
        if let Some(path) = ca_file {
            let unusable = || TlsFileError::NoCertificate {
                path: path.to_owned(),
            };
            for certificate in crate::net::tls::certificates(path)? {
                builder = builder.add_root_certificate(
                    Certificate::from_der(&certificate).map_err(|_| unusable())?,
                );
            }
        }
        let http = builder
            .build()
            .map_err(|_| BookError::BadUrl(url.to_owned()))?;
        Ok(Self {
            http,
            base,
            skew: Arc::default(),
            audit: ConnectionAudit::default(),
        })
    }

    /// The same, with an audit that notes every request.
    #[must_use]
    pub fn audited(self, audit: ConnectionAudit) -> Self {
        Self { audit, ..self }
    }

    /// The book's time at the last answer; `None` without an answer that has a date.
    #[must_use]
    pub fn clock_check(&self) -> Option<ClockCheck> {
        self.skew.last()
    }

    /// The book's URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The settings of the book's network.
    ///
    /// # Errors
    /// [`BookError`].
    pub async fn network(&self) -> Result<NetworkSettings, BookError> {
        let response = self.ask(self.http.get(self.at("/api/v1/network"))).await?;
        check(self.json(response).await?)
    }

    /// The newest root and the settings that it names. A book must show both before it gets an activation code.
    ///
    /// # Errors
    /// [`BookError`], also when the two do not fit together.
    pub async fn introduce(&self) -> Result<(NetworkSettings, Root), BookError> {
        for is_last in [false, true] {
            let network = self.get(Want::Network, None).await?;
            let network = network.ok_or(BookError::Status(304))?;
            let root = self.get(Want::Root, None).await?;
            let root = root.ok_or(BookError::Status(304))?;
            let settings: NetworkSettings =
                serde_json::from_slice(&network).map_err(|_| self.not_a_book())?;
            let settings = check(settings)?;
            let root = Root::decode(&root, &settings.book_key).map_err(FetchError::Root)?;
            if <[u8; 32]>::from(Sha256::digest(&network)) == root.states().network {
                return Ok((settings, root));
            }
            // Settings that were changing are consistent at the second request.
            if is_last {
                break;
            }
        }
        Err(FetchError::Network.into())
    }

    /// Redeems an activation code.
    ///
    /// # Errors
    /// [`BookError::CodeRefused`] and the errors of any request.
    pub async fn activate(&self, request: &Activate) -> Result<Activated, BookError> {
        match self.post("/api/activate", request).await {
            Err(BookError::Status(400..=428)) => Err(BookError::CodeRefused),
            other => other,
        }
    }

    /// Requests a challenge to sign.
    ///
    /// # Errors
    /// [`BookError`].
    pub async fn challenge(&self) -> Result<Challenged, BookError> {
        self.post("/api/auth/challenge", &AskChallenge::default())
            .await
    }

    /// Answers a challenge; returns a renewed binding and the members' token.
    ///
    /// # Errors
    /// [`BookError`].
    pub async fn renew(&self, request: &Verify) -> Result<Renewed, BookError> {
        self.post("/api/v1/bindings", request).await
    }

    /// Replaces the ring key of a number.
    ///
    /// # Errors
    /// [`BookError`].
    pub async fn rotate(&self, request: &Rotate) -> Result<Rotated, BookError> {
        self.post("/api/v1/keys/rotate", request).await
    }

    /// Gives a number up.
    ///
    /// # Errors
    /// [`BookError`].
    pub async fn deactivate(&self, request: &Deactivate) -> Result<Done, BookError> {
        self.post("/api/v1/numbers/deactivate", request).await
    }

    /// Requests TURN logins, as any member of the book's network.
    ///
    /// # Errors
    /// [`BookError`].
    pub async fn turn_credentials(&self, members: &Secret) -> Result<TurnCredentials, BookError> {
        let request = AskTurn {
            members: members.expose().to_owned(),
        };
        self.post("/api/v1/turn-credentials", &request).await
    }

    /// Requests a public part of the book; `None` when it still has this entity tag.
    pub(super) async fn get(
        &self,
        want: Want,
        etag: Option<&str>,
    ) -> Result<Option<Vec<u8>>, BookError> {
        let path = match want {
            Want::Root => "/api/v1/root".to_owned(),
            Want::Roots(block) => format!("/api/v1/roots/{block}"),
            Want::Delta(epoch) => format!("/api/v1/deltas/{epoch}"),
            Want::Tile(index) => format!("/api/v1/tiles/{index}"),
            Want::Network => "/api/v1/network".to_owned(),
        };
        let mut request = self.http.get(self.at(&path));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        match self.ask(request).await {
            Err(BookError::Status(304)) => Ok(None),
            Err(fault) => Err(fault),
            Ok(response) => self.body(response, want.most()).await.map(Some),
        }
    }

    async fn post<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        request: &Q,
    ) -> Result<A, BookError> {
        let response = self
            .ask(self.http.post(self.at(path)).json(request))
            .await?;
        self.json(response).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url())
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Response, BookError> {
        self.audit.note(|| AuditEntry::Book);
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        self.skew.note(response.headers(), clock::reading());
        match response.status() {
            StatusCode::OK => Ok(response),
            other => Err(BookError::Status(other.as_u16())),
        }
    }

    async fn json<A: DeserializeOwned>(&self, response: Response) -> Result<A, BookError> {
        let bytes = self.body(response, MOST_JSON).await?;
        serde_json::from_slice(&bytes).map_err(|_| self.not_a_book())
    }

    async fn body(&self, mut response: Response, most: usize) -> Result<Vec<u8>, BookError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            if bytes.len() + chunk.len() > most {
                return Err(self.not_a_book());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn not_a_book(&self) -> BookError {
        BookError::NotABook(self.url().to_owned())
    }

    fn unreachable(&self, error: &reqwest::Error) -> BookError {
        let why = if error.is_timeout() {
            Unreachable::Timeout
        } else if error.is_connect() {
            Unreachable::Connect
        } else {
            Unreachable::Broken
        };
        BookError::Unreachable {
            url: self.url().to_owned(),
            why,
        }
    }
}

/// The difference of this machine's clock from that of the server at a `ws://` or `wss://` URL, by the `Date` of its answer to a GET
/// request; `None` without an answer or a date.
pub async fn clock_apart_from(url: &str) -> Option<ClockOffset> {
    crate::net::tls::install_provider();
    let url = url.strip_prefix("ws").map(|rest| format!("http{rest}"))?;
    let http = reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(CONNECT_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("ringfence/1")
        .build()
        .ok()?;
    let answer = http.get(url).send().await.ok()?;
    super::skew::difference(answer.headers(), clock::since_epoch())
}

fn read_url(text: &str) -> Result<Url, BookError> {
    let bad = || BookError::BadUrl(text.to_owned());
    let url = Url::parse(text.trim()).map_err(|_| bad())?;
    let plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match url.scheme() {
        "https" if plain && url.has_host() => Ok(url),
        "http" if plain && url.has_host() => {
            if is_near(&url) {
                Ok(url)
            } else {
                Err(BookError::Insecure(text.to_owned()))
            }
        }
        _ => Err(bad()),
    }
}

/// This machine, a private network, or an onion name, whose traffic is encrypted without TLS.
fn is_near(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost") || host.ends_with(".onion"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_near_hosts_only() {
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost/",
            "http://192.168.1.2",
            "http://[::1]:1",
            "http://abc.onion",
            "https://book.example.org/sub",
        ] {
            assert!(read_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://book.example.org",
            "http://93.184.216.34",
            "http://localhost.example.org",
        ] {
            assert_eq!(read_url(url), Err(BookError::Insecure(url.to_owned())));
        }
    }

    #[test]
    fn what_is_no_url_of_a_book_is_refused() {
        for url in [
            "",
            "book.example.org",
            "ftp://a",
            "https://",
            "https://user:pw@a",
            "https://a?b",
            "file:///etc/passwd",
        ] {
            assert_eq!(
                read_url(url),
                Err(BookError::BadUrl(url.to_owned())),
                "{url}"
            );
        }
    }

    #[test]
    fn paths_are_put_after_the_url_whether_or_not_it_ends_in_a_slash() {
        for url in ["https://a.example/x", "https://a.example/x/"] {
            let client = BookClient::new(url, None).unwrap();
            assert_eq!(
                client.at("/api/activate"),
                "https://a.example/x/api/activate"
            );
        }
    }
}
