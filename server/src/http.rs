//! The routes: from HTTP to the book and back. What is under `/api` keeps the shape that existing clients know, what is under
//! `/api/v1` is ours. Reading the book takes no lock that writing holds, and the same path for every number.

mod door;
mod failure;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, serve};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::door::Door;
use self::failure::Failure;
use crate::activation::Activation;
use crate::admin::TokenDigest;
use crate::binding::Binding;
use crate::book::Book;
use crate::day::Day;
use crate::number::Number;
use crate::published::{Dialled, Published};
use crate::reading_room::ReadingRoom;
use crate::reception::{ChallengeId, Reception};
use crate::service::{now, unix_now};
use crate::store::StoreError;
use crate::wire;

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
    reading_room: ReadingRoom,
    reception: Mutex<Reception>,
    admin: TokenDigest,
}

impl Shared {
    /// `book` has ended its first epoch.
    pub(crate) fn new(mut book: Book) -> Result<Self, StoreError> {
        let (published, reception, admin) = (book.published(), book.reception(), book.admin());
        Ok(Self {
            reading_room: ReadingRoom::new(book.archive()?),
            book: Mutex::new(book),
            writers: Arc::new(Semaphore::new(MAX_WRITERS)),
            published: RwLock::new(published),
            reception: Mutex::new(reception),
            admin,
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

    /// The roots of a block, one after the other; see [`crate::shelf`].
    pub(crate) async fn roots(&self, block: u32) -> Result<Option<Bytes>, StoreError> {
        self.reading_room.roots(&self.published(), block).await
    }

    /// The delta that leads to an epoch.
    pub(crate) async fn delta(&self, epoch: u32) -> Result<Option<Bytes>, StoreError> {
        self.reading_room.delta(&self.published(), epoch).await
    }

    fn published(&self) -> Arc<Published> {
        Arc::clone(
            &self
                .published
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    async fn write<T, E>(
        self: Arc<Self>,
        work: impl FnOnce(&mut Book) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let seat = Arc::clone(&self.writers)
            .try_acquire_owned()
            .map_err(|_| Failure::Busy)?;
        let done = spawn_blocking(move || {
            let _seat = seat;
            self.with_book(work)
        });
        done.await.map_err(|_| Failure::Lost)?.map_err(Into::into)
    }
}

/// Serves until `stop` is ready, then finishes the requests that are under way.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    serve(Door::new(listener), routes(shared))
        .with_graceful_shutdown(stop)
        .await
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/admin/issue-number", post(issue_number))
        .route("/api/activate", post(activate))
        .route("/api/auth/challenge", post(challenge))
        .route("/api/auth/verify", post(verify))
        .route("/api/keys/{number}", get(keys))
        .route("/api/v1/network", get(network))
        .route("/api/v1/tiles/{index}", get(tile))
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(in_time))
        .with_state(shared)
}

async fn in_time(request: Request, next: Next) -> Response {
    let served = tokio::time::timeout(MAX_WORK, next.run(request)).await;
    served.unwrap_or_else(|_| Failure::Timeout.into_response())
}

async fn issue_number(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if token.map(TokenDigest::of) != Some(shared.admin) {
        return Err(Failure::Unauthorized);
    }
    let issue = shared.write(|book| book.issue(unix_now())).await?;
    let told = wire::Issued {
        number: issue.number.to_string(),
        activation_code: issue.code.text(),
    };
    Ok(unstored(Json(told)))
}

async fn activate(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let form: wire::Activate = read(&body?)?;
    let form = Activation::try_from(&form).map_err(Failure::InvalidCode)?;
    let binding = shared
        .write(move |book| book.activate(&form, unix_now()))
        .await?;
    let told = wire::Activated {
        number: binding.number().to_string(),
        binding: wire::Base64(binding.encode()),
    };
    Ok(unstored(Json(told)))
}

async fn challenge(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let body = body?;
    if !body.is_empty() {
        let _: wire::AskChallenge = read(&body)?;
    }
    let (id, challenge) = shared
        .reception
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .challenge(now());
    let told = wire::Challenged {
        challenge_id: wire::Hex(id.0),
        challenge: wire::Hex(challenge.digest()),
        nonce: wire::Hex(*challenge.nonce()),
    };
    Ok(unstored(Json(told)))
}

async fn verify(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let answer: wire::Verify = read(&body?)?;
    let dialled = Dialled::read(&answer.number).ok_or(Failure::Invalid)?;
    let binding = check_answer(&shared, &answer, &dialled).ok_or(Failure::Invalid)?;
    let number: Number = binding.number();
    let told = wire::Verified {
        verified: true,
        number: number.to_string(),
        binding: wire::Base64(binding.encode()),
    };
    Ok(unstored(Json(told)))
}

fn check_answer(shared: &Shared, answer: &wire::Verify, dialled: &Dialled) -> Option<Binding> {
    let (published, today) = (shared.published(), Day::of_unix(unix_now()));
    let mut reception = shared
        .reception
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    reception.verify(
        ChallengeId(answer.challenge_id.0),
        dialled,
        &answer.signature.0,
        &published,
        today,
        now(),
    )
}

async fn keys(
    State(shared): State<Arc<Shared>>,
    Path(number): Path<String>,
) -> Result<Response, Failure> {
    let dialled = Dialled::read(&number).ok_or(Failure::BadRequest)?;
    let (identity, ring_key) = shared.published().keys(&dialled);
    let told = wire::Keys {
        number,
        signing_key: wire::Jwk::new(wire::Curve::Ed25519, identity),
        encryption_key: wire::Jwk::new(wire::Curve::X25519, ring_key),
    };
    Ok(unstored(Json(told)))
}

async fn network(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    let published = shared.published();
    let network = published.network().ok_or(Failure::NotFound)?;
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, Bytes::from_owner(Arc::clone(network))).into_response())
}

async fn tile(
    State(shared): State<Arc<Shared>>,
    Path(index): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let index: Number = index.parse().map_err(|_| Failure::NotFound)?;
    let index = u16::try_from(index.value()).map_err(|_| Failure::NotFound)?;
    let tile = shared.published().tile(index).ok_or(Failure::NotFound)?;
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|known| names(known, tile.etag()));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let bytes = Bytes::copy_from_slice(tile.tile().as_bytes());
        (
            [(CONTENT_TYPE, "application/octet-stream")],
            Body::from(bytes),
        )
            .into_response()
    };
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(tile.etag()) {
        response.headers_mut().insert(ETAG, etag);
    }
    Ok(response)
}

/// Whether an `If-None-Match` names this tag (RFC 9110 section 13.1.2: a list, compared weakly, or `*`).
fn names(header: &HeaderValue, etag: &str) -> bool {
    let listed = |text: &str| {
        text.split(',')
            .map(str::trim)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
    };
    header.to_str().is_ok_and(listed)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| Failure::BadRequest)
}

/// An answer that no cache between here and the client may keep.
fn unstored(answer: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], answer).into_response()
}
