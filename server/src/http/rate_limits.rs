//! How much one source may ask, before anything of a request but its head is read, and how often codes that begin alike may
//! be tried. What is refused is refused by where it comes from, never by what it asks, so that it tells nothing about a number.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ringfence_book::code::CodePrefix;
use ringfence_daemon::clock::now;
use ringfence_daemon::forwarded::Proxies;
use ringfence_daemon::http_server::PeerAddress;
use ringfence_daemon::limits::{Rate, RateLimiter, SourcePrefix, TooOften};

use super::Shared;
use super::failure::ApiError;
use crate::config::Limits;

/// Sources that are remembered, for each kind of request: 8 MB at most.
const MAX_SOURCES: usize = 65_536;

/// Prefixes that are remembered, 2 MB at most.
const MAX_PREFIXES: usize = 16_384;

/// Who mistypes a code finds out without asking the book; who loses the answer asks again.
const TRIES_OF_A_CODE: Rate = Rate::new(20, Duration::from_secs(60));

/// All limiters. Where there is none, there is no limit.
pub(crate) struct RateLimits {
    proxies: Proxies,
    reads: Option<Mutex<RateLimiter<SourcePrefix>>>,
    asks: Option<Mutex<RateLimiter<SourcePrefix>>>,
    codes: Mutex<RateLimiter<CodePrefix>>,
}

impl RateLimits {
    pub(crate) fn new(limits: Limits, proxies: Proxies) -> Self {
        let of_sources = |per_minute| {
            Rate::per_minute(per_minute).map(|rate| Mutex::new(RateLimiter::new(rate, MAX_SOURCES)))
        };
        Self {
            proxies,
            reads: of_sources(limits.reads_per_minute),
            asks: of_sources(limits.asks_per_minute),
            codes: Mutex::new(RateLimiter::new(TRIES_OF_A_CODE, MAX_PREFIXES)),
        }
    }

    pub(crate) fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// One try of a code.
    pub(super) fn try_code(&self, prefix: CodePrefix) -> Result<(), ApiError> {
        take(&self.codes, prefix, now())
    }

    fn let_pass(&self, method: &Method, peer: IpAddr, headers: &HeaderMap) -> Result<(), ApiError> {
        let reads = method == Method::GET || method == Method::HEAD;
        let meter = if reads { &self.reads } else { &self.asks };
        let Some(meter) = meter else { return Ok(()) };
        let source = SourcePrefix::from(self.proxies.visitor(peer, headers));
        take(meter, source, now())
    }
}

fn take<K: Ord + Copy>(
    meter: &Mutex<RateLimiter<K>>,
    key: K,
    now: Instant,
) -> Result<(), ApiError> {
    let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
    meter
        .take(key, now)
        .map_err(|TooOften(wait)| ApiError::TooOften(wait))
}

/// Refuses requests of a source that asks too often.
pub(super) async fn enforce(
    State(shared): State<Arc<Shared>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    request: Request,
    next: Next,
) -> Response {
    let passed = shared
        .pace
        .let_pass(request.method(), peer, request.headers());
    match passed {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}
