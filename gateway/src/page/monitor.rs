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
use crate::stats::condition::Condition;
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
    let (is_well, text) = verdict(ask(&handle).await.as_ref());
    let status = if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text).into_response()
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

/// Whether the engine is healthy, and the text of `/health`: "ok" unless a condition is grave, then every condition with its remedy,
/// in the order and the words of the status, without names.
fn verdict(status: Option<&GatewayStatus>) -> (bool, String) {
    let Some(status) = status else {
        return (false, "the engine does not answer\n".to_owned());
    };
    let conditions = status.conditions.iter().map(|active| &active.condition);
    let is_well = !conditions.clone().any(Condition::is_grave);
    let mut text = if is_well {
        "ok\n".to_owned()
    } else {
        String::new()
    };
    for condition in conditions {
        text.push_str(&format!(
            "{} To do: {}\n",
            condition.unnamed(),
            condition.remedy()
        ));
    }
    (is_well, text)
}

#[cfg(test)]
mod tests {
    use ringfence_engine::time::UnixTime;

    use super::*;
    use crate::stats::condition::board::ActiveCondition;

    fn status(conditions: &[Condition]) -> GatewayStatus {
        let active = conditions.iter().map(|condition| ActiveCondition {
            condition: condition.clone(),
            since: UnixTime::from_seconds(1),
        });
        GatewayStatus {
            conditions: active.collect(),
            ..GatewayStatus::default()
        }
    }

    #[test]
    fn an_engine_is_healthy_unless_a_condition_is_grave_or_it_does_not_answer() {
        assert_eq!(verdict(Some(&status(&[]))), (true, "ok\n".to_owned()));
        let mild = Condition::BookOld(Duration::from_secs(7_200));
        let (is_well, text) = verdict(Some(&status(std::slice::from_ref(&mild))));
        assert!(
            is_well && text.starts_with("ok\n") && text.contains("2 h old"),
            "{text}"
        );
        let (is_well, text) = verdict(Some(&status(&[Condition::NoRelay, mild])));
        assert!(!is_well && !text.contains("ok\n"), "{text}");
        assert!(text.starts_with("No Nostr relay can be reached"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!verdict(None).0);
    }
}
