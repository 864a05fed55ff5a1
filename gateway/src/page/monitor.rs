//! The page for monitors: whether the engine works (`/health`), and figures (`/metrics`, in the text format of Prometheus).

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ringfence_daemon::metrics;
use tokio::time::timeout;

use super::metrics::sheet;
use crate::run::handle::GatewayHandle;
use crate::stats::snapshot::GatewayStatus;

/// An engine that does not answer within this time is unhealthy.
const PATIENCE: Duration = Duration::from_secs(2);

/// The routes for a monitor.
pub(super) fn routes(handle: GatewayHandle) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(handle)
}

async fn health(State(handle): State<GatewayHandle>) -> Response {
    match complaint(ask(&handle).await.as_ref()) {
        None => "ok\n".into_response(),
        Some(words) => (StatusCode::SERVICE_UNAVAILABLE, format!("{words}\n")).into_response(),
    }
}

async fn metrics(State(handle): State<GatewayHandle>) -> Response {
    match ask(&handle).await {
        Some(status) => {
            let text = sheet(&status).text();
            ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn ask(handle: &GatewayHandle) -> Option<GatewayStatus> {
    timeout(PATIENCE, handle.status()).await.ok().flatten()
}

/// Why no call works; `None` if the engine is healthy. A missing TURN allocation is no reason: after every call there is none for some
/// seconds, and the next call makes one.
fn complaint(status: Option<&GatewayStatus>) -> Option<&'static str> {
    match status {
        None => Some("the engine does not answer"),
        Some(status) if status.relays.listening == 0 => Some("no Nostr relay delivers rings"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_cannot_be_called_is_unhealthy() {
        let mut status = GatewayStatus::default();
        assert_eq!(
            complaint(Some(&status)),
            Some("no Nostr relay delivers rings")
        );
        status.relays.listening = 1;
        assert_eq!(complaint(Some(&status)), None);
        assert_eq!(complaint(None), Some("the engine does not answer"));
    }
}
