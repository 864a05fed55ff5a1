//! Counts of what was answered, for the operator's monitor. Numbers only: who asked for what is counted nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Shared;

/// All counts since the start. Read and written without order: a monitor looks every few seconds.
#[derive(Debug, Default)]
pub(super) struct RequestCounters {
    done: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    store_fails: AtomicBool,
}

impl RequestCounters {
    /// Whether the store did what it was asked last.
    pub(super) fn note_store(&self, works: bool) {
        self.store_fails.store(!works, Ordering::Relaxed);
    }

    pub(super) fn store_works(&self) -> bool {
        !self.store_fails.load(Ordering::Relaxed)
    }

    /// Requests by what came of them.
    pub(super) fn answers(&self) -> [(&'static str, u64); 3] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("done", read(&self.done)),
            ("refused", read(&self.refused)),
            ("failed", read(&self.failed)),
        ]
    }
}

/// Counts one request by its status: below 400 done, below 500 refused, else failed.
pub(super) async fn count(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let tally = &shared.tally;
    let count = match response.status().as_u16() {
        ..400 => &tally.done,
        400..500 => &tally.refused,
        500.. => &tally.failed,
    };
    count.fetch_add(1, Ordering::Relaxed);
    response
}
