//! HTTP: what all requests share, and the table of routes. What is under `/api` keeps the shape that existing clients know, what is
//! under `/api/v1` is ours; `openapi.json` beside this file describes both. Reading the book takes no lock that writing holds, and
//! the same path for every number. Requests are not logged.

mod activation;
mod admin;
mod archive_reader;
mod counters;
mod failure;
pub(crate) mod monitor;
mod owner;
mod rate_limits;
mod reader;
mod turn;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use ringfence_book::membership::Membership;
use ringfence_book::wire;
use ringfence_daemon::forwarded::Proxies;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::counters::RequestCounters;
use self::failure::ApiError;
use self::rate_limits::RateLimits;
use self::turn::TurnCredentialIssuer;
use crate::book::Book;
use crate::book::admin_token::TokenDigest;
use crate::book::challenge_store::ChallengeStore;
use crate::book::published::Published;
use crate::config::Config;
use crate::http::archive_reader::ArchiveReader;
use crate::store::StoreError;

/// The largest request is an activation, below 1 kB; browsers' extra JWK members fit too.
const MAX_BODY: usize = 8 * 1024;

/// The whole of a request's work. Longer than the store waits for another process.
const MAX_WORK: Duration = Duration::from_secs(10);

/// Requests that wait for the one writer; more are told to come again.
const MAX_WRITERS: usize = 64;

/// A book, shared by all requests.
pub(crate) struct Shared {
    book: Mutex<Book>,
    writers: Arc<Semaphore>,
    published: RwLock<Arc<Published>>,
    archive: ArchiveReader,
    challenges: Mutex<ChallengeStore>,
    membership: Membership,
    turn: Option<TurnCredentialIssuer>,
    admin: TokenDigest,
    pace: RateLimits,
    tally: RequestCounters,
}

impl Shared {
    /// `book` has ended its first epoch.
    pub(crate) fn new(mut book: Book, config: &Config) -> Result<Self, StoreError> {
        let (published, challenges, admin) = (book.published(), book.challenges(), book.admin());
        Ok(Self {
            archive: ArchiveReader::new(book.archive()?),
            membership: book.membership(),
            book: Mutex::new(book),
            writers: Arc::new(Semaphore::new(MAX_WRITERS)),
            published: RwLock::new(published),
            challenges: Mutex::new(challenges),
            turn: TurnCredentialIssuer::of(config),
            admin,
            pace: RateLimits::new(config.limits, config.proxies.clone()),
            tally: RequestCounters::default(),
        })
    }

    /// Works on the book where blocking is allowed, and publishes what came of it. Done to the end even if the client leaves.
    /// A lock is used on after a panic: each step of the book is a transaction.
    pub(crate) fn with_book<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut book);
        *self
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner) = book.published();
        result
    }

    /// The proxies whose word about a request's origin is taken.
    pub(crate) fn proxies(&self) -> &Proxies {
        self.pace.proxies()
    }

    /// Whether the store did what it was asked last.
    pub(crate) fn note_store(&self, works: bool) {
        self.tally.note_store(works);
    }

    /// The roots of a block, one after the other; see [`crate::book::recent_files`].
    pub(crate) async fn roots(&self, block: u32) -> Result<Option<Bytes>, StoreError> {
        self.archive.roots(&self.published(), block).await
    }

    /// The steps of a block, one after the other.
    pub(crate) async fn steps(&self, block: u32) -> Result<Option<Bytes>, StoreError> {
        self.archive.steps(&self.published(), block).await
    }

    fn published(&self) -> Arc<Published> {
        Arc::clone(
            &self
                .published
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn challenges(&self) -> MutexGuard<'_, ChallengeStore> {
        self.challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn write<T, E>(
        self: Arc<Self>,
        work: impl FnOnce(&mut Book) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let permit = Arc::clone(&self.writers)
            .try_acquire_owned()
            .map_err(|_| ApiError::Busy)?;
        let done = spawn_blocking(move || {
            let _permit = permit;
            self.with_book(work)
        });
        done.await.map_err(|_| ApiError::Lost)?.map_err(Into::into)
    }
}

/// Every path that is served, with its methods. The description of the interface is tested against it.
fn table() -> Vec<(&'static str, MethodRouter<Arc<Shared>>)> {
    vec![
        ("/api/openapi.json", get(reader::description)),
        ("/api/admin/issue-number", post(admin::issue_number)),
        ("/api/admin/numbers", get(admin::numbers)),
        ("/api/admin/revoke", post(admin::revoke)),
        ("/api/activate", post(activation::activate)),
        ("/api/auth/challenge", post(owner::challenge)),
        ("/api/auth/verify", post(owner::verify)),
        ("/api/keys/{number}", get(reader::keys)),
        ("/api/v1/network", get(reader::network)),
        ("/api/v1/newest", get(reader::newest)),
        ("/api/v1/roots/{block}", get(reader::roots)),
        ("/api/v1/steps/{block}", get(reader::steps)),
        ("/api/v1/tiles/{index}", get(reader::tile)),
        ("/api/v1/members", post(owner::members)),
        ("/api/v1/keys/rotate", post(owner::rotate)),
        ("/api/v1/numbers/deactivate", post(owner::deactivate)),
        ("/api/v1/turn-credentials", post(turn::credentials)),
    ]
}

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let paths = table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        });
    paths
        .route("/", get(reader::invitation))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            rate_limits::enforce,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            counters::count,
        ))
        .with_state(shared)
}

async fn in_time(request: Request, next: Next) -> Response {
    let served = tokio::time::timeout(MAX_WORK, next.run(request)).await;
    served.unwrap_or_else(|_| ApiError::Timeout.into_response())
}

/// The JSON object that a body is, and nothing after it.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = wire::object(&mut json).and_then(|form| json.end().map(|()| form));
    read.map_err(|_| ApiError::BadRequest)
}

/// An answer that no cache between here and the client may keep.
fn unstored(answer: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], answer).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_path_is_described_and_every_described_path_is_served() {
        let described: Value = serde_json::from_str(reader::DESCRIPTION).unwrap();
        let described = described["paths"].as_object().unwrap().keys();
        let described: BTreeSet<&str> = described.map(String::as_str).collect();
        let served: BTreeSet<&str> = table().into_iter().map(|(path, _)| path).collect();
        assert_eq!(served, described);
    }
}
