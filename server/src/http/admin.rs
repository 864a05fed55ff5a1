//! The operator's calls, for a client with the operator's token (RFC 6750 section 2.1).

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::Response;
use ringfence_book::number::Number;
use ringfence_book::wire;
use ringfence_daemon::clock::unix_now;

use super::failure::ApiError;
use super::{Shared, read, unstored};
use crate::book::Book;
use crate::book::admin_token::TokenDigest;
use crate::store::{NumberCounts, NumberState, StoreError};

/// Numbers on a page, at most.
const MAX_PAGE: u32 = 1_000;

/// The proof that the token was shown. Without it, no more of a request is looked at.
pub(super) struct Operator;

impl FromRequestParts<Arc<Shared>> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if token.map(TokenDigest::of) == Some(shared.admin) {
            Ok(Self)
        } else {
            Err(ApiError::Unauthorized)
        }
    }
}

/// `POST /api/admin/issue-number`
pub(super) async fn issue_number(
    _: Operator,
    State(shared): State<Arc<Shared>>,
) -> Result<Response, ApiError> {
    let issue = shared.write(|book| book.issue(unix_now())).await?;
    let told = wire::Issued {
        number: issue.number.to_string(),
        activation_code: issue.code.text(),
    };
    Ok(unstored(Json(told)))
}

/// `GET /api/admin/numbers`
pub(super) async fn numbers(
    _: Operator,
    State(shared): State<Arc<Shared>>,
    asked: Result<Query<wire::AskNumbers>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(asked) = asked.map_err(|_| ApiError::BadRequest)?;
    let limit = asked.limit.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(ApiError::BadRequest);
    }
    let from = Number::new(asked.from.unwrap_or(0));
    let told = shared.write(move |book| page(book, from, limit)).await?;
    Ok(unstored(Json(told)))
}

fn page(book: &mut Book, from: Number, limit: u32) -> Result<wire::NumberList, StoreError> {
    let now = unix_now();
    let counts = book.number_counts(now)?;
    let mut states = book.states(from, limit + 1, now)?;
    let next = states.get(limit as usize).map(|(number, _)| number.value());
    states.truncate(limit as usize);
    Ok(wire::NumberList {
        counts: wire_counts(&counts),
        numbers: states.into_iter().map(assigned).collect(),
        next,
    })
}

fn wire_counts(counts: &NumberCounts) -> wire::Counts {
    wire::Counts {
        free: counts.free,
        waiting: counts.waiting,
        active: counts.active,
        retired: counts.retired,
        queued: counts.queued,
    }
}

fn assigned((number, state): (Number, NumberState)) -> wire::Assigned {
    wire::Assigned {
        number: number.to_string(),
        state: match state {
            NumberState::Waiting { until } => wire::AssignedState::Waiting { until },
            NumberState::Active => wire::AssignedState::Active,
            NumberState::Retired { since } => wire::AssignedState::Retired { since },
        },
    }
}

/// `POST /api/admin/revoke`
pub(super) async fn revoke(
    _: Operator,
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let form: wire::Revoke = read(&body?)?;
    let number: Number = form.number.parse().map_err(|_| ApiError::NotFound)?;
    let revoked = shared
        .write(move |book| book.revoke(number, unix_now()))
        .await?;
    if revoked {
        Ok(unstored(Json(wire::Done {})))
    } else {
        Err(ApiError::NotFound)
    }
}
