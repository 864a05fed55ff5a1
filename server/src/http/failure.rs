//! What a client is told when something fails: a status and one word. The cause goes to the log at DEBUG, and no further.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use ringfence_book::wire;
use tracing::{debug, error};

use super::unstored;
use crate::book::activation::ActivationRefusal;
use crate::book::{ActivateError, IssueError, OwnerError};
use crate::store::StoreError;

/// Every way in which a request fails.
#[derive(Debug)]
pub(super) enum ApiError {
    /// Not JSON, not the right members, not digits.
    BadRequest,
    /// The activation form or its code is no good; which, is not told.
    InvalidCode(ActivationRefusal),
    /// The challenge or its answer is no good; which, is not told.
    Invalid,
    /// Not the operator.
    Unauthorized,
    /// No such path, no such tile.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// More bytes than any request of this interface has.
    TooLarge,
    /// The request took too long to arrive or to be served.
    Timeout,
    /// Every number is assigned or waiting.
    Full,
    /// Too many requests of one source, or tries of codes that begin alike. How long to wait.
    TooOften(Duration),
    /// Too much to do; nothing happened.
    Busy,
    /// The store failed.
    Store(StoreError),
    /// A task that served the request died.
    Lost,
}

impl ApiError {
    fn told(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::InvalidCode(_) => (StatusCode::BAD_REQUEST, "invalid_code"),
            Self::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::Full => (StatusCode::CONFLICT, "no_number_free"),
            Self::TooOften(_) => (StatusCode::TOO_MANY_REQUESTS, "too_often"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Store(_) | Self::Lost => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            // The operator must see it, and it identifies no user.
            Self::Store(cause) => error!(%cause, "the store failed"),
            Self::InvalidCode(cause) => debug!(%cause, "activation refused"),
            other => debug!(failure = ?other, "request refused"),
        }
        let (status, word) = self.told();
        let error = word.to_owned();
        let mut response = unstored((status, Json(wire::ErrorBody { error })));
        let headers = response.headers_mut();
        match self {
            Self::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Busy => {
                headers.insert(RETRY_AFTER, HeaderValue::from(1));
            }
            // Whole seconds, and one more rather than one less.
            Self::TooOften(wait) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            }
            _ => {}
        }
        response
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::TooLarge
        } else {
            Self::BadRequest
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Store(error) => Self::Store(error),
            IssueError::Full => Self::Full,
        }
    }
}

impl From<ActivateError> for ApiError {
    fn from(error: ActivateError) -> Self {
        match error {
            ActivateError::Store(error) => Self::Store(error),
            ActivateError::Refused(refusal) => Self::InvalidCode(refusal),
        }
    }
}

impl From<OwnerError> for ApiError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Store(error) => Self::Store(error),
            OwnerError::Refused => Self::Invalid,
        }
    }
}
