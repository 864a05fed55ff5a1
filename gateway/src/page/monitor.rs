//! What a monitor asks: whether the engine is well (`/health`), and figures (`/metrics`, in the text format of Prometheus).

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ringfence_phonebook::duty::figures;
use tokio::time::timeout;

use super::metrics::sheet;
use crate::run::handle::GatewayHandle;
use crate::stats::snapshot::GatewayStatus;

/// An engine that does not say how it is within this is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pages of a monitor.
pub(super) fn routes(enquiry: GatewayHandle) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(enquiry)
}

async fn health(State(enquiry): State<GatewayHandle>) -> Response {
    match complaint(ask(&enquiry).await.as_ref()) {
        None => "ok\n".into_response(),
        Some(words) => (StatusCode::SERVICE_UNAVAILABLE, format!("{words}\n")).into_response(),
    }
}

async fn metrics(State(enquiry): State<GatewayHandle>) -> Response {
    match ask(&enquiry).await {
        Some(status) => {
            let text = sheet(&status).text();
            ([(CONTENT_TYPE, figures::CONTENT_TYPE)], text).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn ask(enquiry: &GatewayHandle) -> Option<GatewayStatus> {
    timeout(PATIENCE, enquiry.status()).await.ok().flatten()
}

/// Why nobody can be called or call; `None` when the engine is well. A relayed address that is not ready is no complaint: after
/// every call there is none for some seconds, and the next call dials.
fn complaint(status: Option<&GatewayStatus>) -> Option<&'static str> {
    match status {
        None => Some("the engine does not answer"),
        Some(status) if status.relays.listening == 0 => Some("no Nostr relay brings rings"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_nobody_can_ring_is_not_well() {
        let mut status = GatewayStatus::default();
        assert_eq!(
            complaint(Some(&status)),
            Some("no Nostr relay brings rings")
        );
        status.relays.listening = 1;
        assert_eq!(complaint(Some(&status)), None);
        assert_eq!(complaint(None), Some("the engine does not answer"));
    }
}
