//! What any client may read: the files of the book, each the same for everyone, so that any mirror can hand them out; and, for clients
//! that ask for one number, the keys behind any text of digits.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use ringfence_book::blocks::{BLOCK_ROOTS, BLOCK_STEPS, block_of};
use ringfence_book::number::Number;
use ringfence_book::root::Root;
use ringfence_book::wire;

use super::failure::ApiError;
use super::{Shared, unstored};
use crate::book::published::{DialledNumber, PublishedTile};

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// To be asked about each time.
const REVALIDATE: &str = "no-cache";
/// Never to be asked about again.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// The newest step is the one file that all engines ask for all the time.
const BRIEFLY: &str = "public, max-age=10";

/// The interface, in the words of OpenAPI 3.1. Written by hand, as limits of sizes and binary files say more there than what could
/// be derived from types.
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

/// `GET /api/openapi.json`
pub(super) async fn description() -> Response {
    let headers = [(CONTENT_TYPE, JSON), (CACHE_CONTROL, REVALIDATE)];
    (headers, DESCRIPTION).into_response()
}

/// What a browser shows that was given the link of an invitation. The code is behind the link's `#`, so that this server does not get it.
const INVITATION: &str = include_str!("invitation.html");

/// `GET /`
pub(super) async fn invitation() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, REVALIDATE),
    ];
    (headers, INVITATION).into_response()
}

/// `GET /api/keys/{number}`
pub(super) async fn keys(
    State(shared): State<Arc<Shared>>,
    Path(number): Path<String>,
) -> Result<Response, ApiError> {
    let dialled = DialledNumber::read(&number).ok_or(ApiError::BadRequest)?;
    let (identity, ring_key) = shared.published().keys(&dialled);
    let told = wire::NumberKeys {
        number,
        signing_key: wire::Jwk::new(wire::Curve::Ed25519, identity),
        encryption_key: wire::Jwk::new(wire::Curve::X25519, ring_key),
    };
    Ok(unstored(Json(told)))
}

/// `GET /api/v1/network`
pub(super) async fn network(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let published = shared.published();
    let (root, network) = published
        .root()
        .zip(published.network())
        .ok_or(ApiError::NotFound)?;
    let etag = etag(&root.states().network);
    let bytes = Bytes::from_owner(Arc::clone(network));
    Ok(revalidated(&headers, &etag, REVALIDATE, JSON, bytes))
}

/// `GET /api/v1/newest`
pub(super) async fn newest(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let published = shared.published();
    let (root, step) = published
        .root()
        .zip(published.newest())
        .ok_or(ApiError::NotFound)?;
    let etag = etag(&root.hash().0);
    Ok(revalidated(&headers, &etag, BRIEFLY, BYTES, step.into()))
}

/// `GET /api/v1/roots/{block}`
pub(super) async fn roots(
    State(shared): State<Arc<Shared>>,
    Path(block): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (block, last) = (counted(&block)?, last_root(&shared)?);
    let roots = shared.roots(block).await?.ok_or(ApiError::NotFound)?;
    Ok(of_block((block, BLOCK_ROOTS), &last, &headers, roots))
}

/// `GET /api/v1/steps/{block}`
pub(super) async fn steps(
    State(shared): State<Arc<Shared>>,
    Path(block): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (block, last) = (counted(&block)?, last_root(&shared)?);
    let steps = shared.steps(block).await?.ok_or(ApiError::NotFound)?;
    Ok(of_block((block, BLOCK_STEPS), &last, &headers, steps))
}

/// Taken before the files of a block: at worst it is older than they are, and they are sent once more.
fn last_root(shared: &Shared) -> Result<Root, ApiError> {
    let published = shared.published();
    published.root().copied().ok_or(ApiError::NotFound)
}

/// The last block grows; the others do not change any more.
fn of_block((block, size): (u32, u32), last: &Root, asked: &HeaderMap, bytes: Bytes) -> Response {
    if block < block_of(last.states().epoch, size) {
        return forever(bytes);
    }
    revalidated(asked, &etag(&last.hash().0), REVALIDATE, BYTES, bytes)
}

/// `GET /api/v1/tiles/{index}`
pub(super) async fn tile(
    State(shared): State<Arc<Shared>>,
    Path(index): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let index = u16::try_from(counted(&index)?).map_err(|_| ApiError::NotFound)?;
    let tile = shared.published().tile(index).ok_or(ApiError::NotFound)?;
    let etag = tile.etag().to_owned();
    let bytes = Bytes::from_owner(OfTile(tile));
    Ok(revalidated(&headers, &etag, REVALIDATE, BYTES, bytes))
}

/// The bytes of a tile that all its readers share.
struct OfTile(Arc<PublishedTile>);

impl AsRef<[u8]> for OfTile {
    fn as_ref(&self) -> &[u8] {
        self.0.tile().as_bytes()
    }
}

/// What tiles, blocks and epochs are counted with: digits without a leading zero, so that each file has one name.
fn counted(text: &str) -> Result<u32, ApiError> {
    let number: Number = text.parse().map_err(|_| ApiError::NotFound)?;
    Ok(number.value())
}

/// A strong entity tag of a digest's first half (RFC 9110 section 8.8.3).
fn etag(digest: &[u8; 32]) -> String {
    let (short, _) = digest.split_at(16);
    format!("\"{}\"", hex::encode(short))
}

fn forever(bytes: Bytes) -> Response {
    let headers = [(CONTENT_TYPE, BYTES), (CACHE_CONTROL, FOREVER)];
    (headers, bytes).into_response()
}

/// The file, unless the client names it as what it has (RFC 9110 section 13.1.2).
fn revalidated(
    asked: &HeaderMap,
    etag: &str,
    caching: &'static str,
    kind: &'static str,
    bytes: Bytes,
) -> Response {
    let known = asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|known| names(known, etag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, kind)], bytes).into_response()
    };
    let mut say = |name: HeaderName, value: Option<HeaderValue>| {
        value.map(|value| response.headers_mut().insert(name, value))
    };
    say(CACHE_CONTROL, Some(HeaderValue::from_static(caching)));
    say(ETAG, HeaderValue::from_str(etag).ok());
    response
}

/// Whether an `If-None-Match` names this tag: a list, compared weakly, or `*`.
fn names(header: &HeaderValue, etag: &str) -> bool {
    let listed = |text: &str| {
        text.split(',')
            .map(str::trim)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
    };
    header.to_str().is_ok_and(listed)
}
