//! What the operator's monitor is told: whether the book is healthy, and metrics. On a listener of its own, never on that of `/api`.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ringfence_daemon::metrics::{self, Sheet};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{MAX_WRITERS, Shared};

/// A book that is locked for so long is not healthy. Above the time that the store waits for another process.
const PATIENCE: Duration = Duration::from_secs(8);

/// The pages of a monitor.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

/// What keeps a book from its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HealthError {
    /// The store did not do what it was asked last: a full disk, a database that is away. What was published is still served.
    #[error("the store fails")]
    Store,
    /// The book stays locked.
    #[error("the book is locked")]
    Shut,
}

/// Whether the book does its work.
pub(crate) async fn look(shared: &Arc<Shared>) -> Result<(), HealthError> {
    let locked = Arc::clone(shared);
    let entered = spawn_blocking(move || {
        drop(locked.book.lock().unwrap_or_else(PoisonError::into_inner));
    });
    match timeout(PATIENCE, entered).await {
        Ok(Ok(())) if shared.tally.store_works() => Ok(()),
        Ok(Ok(())) => Err(HealthError::Store),
        _ => Err(HealthError::Shut),
    }
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    match look(&shared).await {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    (
        [(CONTENT_TYPE, metrics::CONTENT_TYPE)],
        sheet(&shared).text(),
    )
        .into_response()
}

fn sheet(shared: &Shared) -> Sheet {
    let mut sheet = Sheet::new("ringfence_phonebook");
    sheet.counters(
        "requests",
        "Requests since the start, by what came of them",
        "answer",
        &shared.tally.answers(),
    );
    let waiting = MAX_WRITERS.saturating_sub(shared.writers.available_permits());
    sheet.gauge(
        "writes_waiting",
        "Requests that change the book and wait for their turn or are at it",
        waiting as u64,
    );
    sheet.gauge(
        "store_works",
        "1 if the store did what it was asked last, 0 if it failed",
        shared.tally.store_works().into(),
    );
    sheet
}
