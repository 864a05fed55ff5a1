//! The requests to the phone book, over HTTP.
//!
//! What all engines download goes over one connection that is kept; a request that says which line it is about has a connection and a
//! circuit of its own, so that through a proxy the two do not belong together. Plain HTTP is used on this machine, on private networks
//! and to onion names only.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode};
use ringfence_book::fetch::FetchError;
use ringfence_book::wire::{
    Activate, Activated, AskChallenge, AskTurn, Challenged, Deactivate, Done, Members, Rotate,
    Rotated, TurnCredentials, Verify,
};
use ringfence_book::{NetworkSettings, Root, Step, Want};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::{Position, Url};

use super::skew::{ClockCheck, ClockOffset, ClockSkew};
use super::{BookError, Unreachable, check};
use crate::clock;
use crate::net::audit::AuditEntry;
use crate::net::http::{HttpAnswer, HttpConnection, HttpError};
use crate::net::outbound::{Destination, Outbound, is_near, is_onion};
use crate::net::socks::Circuit;
use crate::state::secret::Secret;

/// Longest time for a request and its answer on an open connection: a tile over a slow line.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
/// Longest time for the answer whose date is all that is wanted.
const DATE_LIMIT: Duration = Duration::from_secs(5);
/// Largest JSON answer: network settings with many relays take about 2 kB.
const MOST_JSON: usize = 64 * 1024;
/// The same for all engines, so that it does not tell them apart.
const AGENT: &str = "ringfence/2";

/// The client of one phone book.
#[derive(Clone, Debug)]
pub struct BookClient {
    outbound: Outbound,
    base: Url,
    book: Destination,
    downloads: Arc<Downloads>,
    skew: Arc<ClockSkew>,
}

/// The connection for what all engines download.
#[derive(Debug)]
struct Downloads {
    circuit: Circuit,
    kept: Mutex<Option<HttpConnection>>,
}

impl BookClient {
    /// A client of the phone book at `url`, which is reached through `outbound`.
    ///
    /// # Errors
    /// [`BookError::BadUrl`], [`BookError::Insecure`].
    pub fn new(url: &str, outbound: &Outbound) -> Result<Self, BookError> {
        let base = read_url(url)?;
        let book = Destination::of(&base).ok_or_else(|| BookError::BadUrl(url.to_owned()))?;
        let downloads = Downloads {
            circuit: Circuit::random(),
            kept: Mutex::default(),
        };
        Ok(Self {
            outbound: outbound.clone(),
            base,
            book,
            downloads: Arc::new(downloads),
            skew: Arc::default(),
        })
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
        let answer = self.download("/api/v1/network", None, MOST_JSON).await?;
        check(self.json(&answer)?)
    }

    /// The newest root and the settings that it names. A book must show both before it gets an activation code.
    ///
    /// # Errors
    /// [`BookError`], also when the two do not fit together.
    pub async fn introduce(&self) -> Result<(NetworkSettings, Root), BookError> {
        for is_last in [false, true] {
            let network = self.get(Want::Network, None).await?;
            let network = network.ok_or(BookError::Status(304))?;
            let newest = self.get(Want::Newest, None).await?;
            let newest = newest.ok_or(BookError::Status(304))?;
            let settings: NetworkSettings =
                serde_json::from_slice(&network).map_err(|_| self.not_a_book())?;
            let settings = check(settings)?;
            let step = Step::decode(&newest, &settings.book_key).map_err(FetchError::from)?;
            let root = step.root;
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

    /// Answers a challenge; returns the members' token.
    ///
    /// # Errors
    /// [`BookError`].
    pub async fn members(&self, request: &Verify) -> Result<Members, BookError> {
        self.post("/api/v1/members", request).await
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
            Want::Newest => "/api/v1/newest".to_owned(),
            Want::Roots(block) => format!("/api/v1/roots/{block}"),
            Want::Steps(block) => format!("/api/v1/steps/{block}"),
            Want::Tile(index) => format!("/api/v1/tiles/{index}"),
            Want::Network => "/api/v1/network".to_owned(),
        };
        match self.download(&path, etag, want.most()).await {
            Err(BookError::Status(304)) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Asks for what is the same for all, over the kept connection. A server or a proxy may have closed that one meanwhile: then a new
    /// one is tried, once.
    async fn download(
        &self,
        path: &str,
        etag: Option<&str>,
        most: usize,
    ) -> Result<Vec<u8>, BookError> {
        let mut request = self.request(Method::GET, path);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let request = finished(request, Bytes::new());
        let mut kept = self.downloads.kept.lock().await;
        if let Some(mut connection) = kept.take() {
            match self.ask(&mut connection, request.clone(), most).await {
                Err(Exchange::Http(HttpError::Unanswered)) => {}
                Ok(answer) => {
                    *kept = Some(connection);
                    return self.body(answer);
                }
                Err(failed) => return Err(self.fault(failed)),
            }
        }
        let mut connection = self.connect(&self.downloads.circuit).await?;
        let answer = self.ask(&mut connection, request, most).await;
        let answer = answer.map_err(|failed| self.fault(failed))?;
        *kept = Some(connection);
        self.body(answer)
    }

    /// Sends a request about a line. It is not sent a second time: the first may have done its work.
    async fn post<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        request: &Q,
    ) -> Result<A, BookError> {
        let json = serde_json::to_vec(request).map_err(|_| self.not_a_book())?;
        let request = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json");
        let mut connection = self.connect(&Circuit::random()).await?;
        let request = finished(request, json.into());
        let answer = self.ask(&mut connection, request, MOST_JSON).await;
        let answer = answer.map_err(|failed| self.fault(failed))?;
        self.json(&self.body(answer)?)
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let path = format!("{}{path}", self.base.path().trim_end_matches('/'));
        let host = &self.base[Position::BeforeHost..Position::AfterPort];
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
    }

    async fn connect(&self, circuit: &Circuit) -> Result<HttpConnection, BookError> {
        let stream = self.outbound.connect(&self.book, circuit).await;
        let stream = stream.map_err(|error| self.unreachable(Unreachable::Connect(error)))?;
        let connection = HttpConnection::over(stream).await;
        connection.map_err(|error| self.fault(Exchange::Http(error)))
    }

    async fn ask(
        &self,
        connection: &mut HttpConnection,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<HttpAnswer, Exchange> {
        self.outbound.audit().note(|| AuditEntry::Book);
        let answer = timeout(LIMIT, connection.ask(request, most)).await;
        let answer = answer.map_err(|_| Exchange::Timeout)?;
        let answer = answer.map_err(Exchange::Http)?;
        self.skew.note(&answer.headers, clock::reading());
        answer.direct().map_err(Exchange::Http)
    }

    fn body(&self, answer: HttpAnswer) -> Result<Vec<u8>, BookError> {
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            other => Err(BookError::Status(other.as_u16())),
        }
    }

    fn json<A: DeserializeOwned>(&self, bytes: &[u8]) -> Result<A, BookError> {
        serde_json::from_slice(bytes).map_err(|_| self.not_a_book())
    }

    fn not_a_book(&self) -> BookError {
        BookError::NotABook(self.url().to_owned())
    }

    fn fault(&self, failed: Exchange) -> BookError {
        match failed {
            Exchange::Timeout => self.unreachable(Unreachable::Timeout),
            Exchange::Http(HttpError::Unanswered | HttpError::Broken) => {
                self.unreachable(Unreachable::Broken)
            }
            Exchange::Http(HttpError::TooLarge) => self.not_a_book(),
            Exchange::Http(HttpError::Compressed(coding)) => BookError::Compressed(coding),
            Exchange::Http(HttpError::Redirected(place)) => BookError::Redirected(place),
        }
    }

    fn unreachable(&self, why: Unreachable) -> BookError {
        let url = self.url().to_owned();
        BookError::Unreachable { url, why }
    }
}

/// How an exchange on an open connection failed.
#[derive(Debug)]
enum Exchange {
    Timeout,
    Http(HttpError),
}

fn finished(request: Builder, body: Bytes) -> Request<Full<Bytes>> {
    let request = request.body(Full::new(body));
    request.expect("the URL was parsed, and the headers are texts of this program")
}

/// The difference of this machine's clock from that of the server at a `ws://` or `wss://` URL, by the `Date` of its answer to a GET
/// request; `None` without an answer or a date.
pub async fn clock_apart_from(url: &str, outbound: &Outbound) -> Option<ClockOffset> {
    let url = Url::parse(url).ok()?;
    let to = Destination::of(&url)?;
    let request = Request::builder()
        .uri(url.path())
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, AGENT)
        .body(Full::default())
        .ok()?;
    let stream = outbound.connect(&to, &Circuit::random()).await.ok()?;
    let mut connection = HttpConnection::over(stream).await.ok()?;
    let asked = timeout(DATE_LIMIT, connection.ask(request, MOST_JSON)).await;
    let answer = asked.ok()?.ok()?;
    super::skew::difference(&answer.headers, clock::since_epoch())
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
            let host = url.host_str().unwrap_or_default();
            // The traffic of an onion service is encrypted without TLS.
            if is_near(host.trim_matches(['[', ']'])) || is_onion(host) {
                Ok(url)
            } else {
                Err(BookError::Insecure(text.to_owned()))
            }
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests;
