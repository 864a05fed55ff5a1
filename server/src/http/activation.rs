//! Activation over HTTP: a code and two public keys in, a number and the members' token out. All refusals are one.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use ringfence_book::code::ActivationCode;
use ringfence_book::wire;
use ringfence_daemon::clock::unix_now;

use super::failure::ApiError;
use super::{Shared, read, unstored};
use crate::book::activation::Activation;

/// `POST /api/activate`
pub(super) async fn activate(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let form: wire::Activate = read(&body?)?;
    // A text that is no code is refused below, without a look at the store.
    if let Ok(code) = form.code.parse::<ActivationCode>() {
        shared.pace.try_code(code.prefix())?;
    }
    let form = Activation::try_from(&form).map_err(ApiError::InvalidCode)?;
    let now = unix_now();
    let members = shared.membership.token(now);
    let number = shared.write(move |book| book.activate(&form, now)).await?;
    let told = wire::Activated {
        number: number.to_string(),
        members: members.text().to_owned(),
    };
    Ok(unstored(Json(told)))
}
