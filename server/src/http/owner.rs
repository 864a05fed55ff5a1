//! What the owner of a number asks: a challenge, and with its answer a proof, the members' token, another ring key, or an end. Every
//! failure of an answer is one, whatever the number; its challenge is used up.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use ringfence_book::challenge::Challenge;
use ringfence_book::listing::Listing;
use ringfence_book::number::Number;
use ringfence_book::wire;
use ringfence_daemon::clock::{now, unix_now};

use super::failure::ApiError;
use super::{Shared, read, unstored};
use crate::book::challenge_store::ChallengeId;
use crate::book::owner_forms::{Deactivation, Rotation};
use crate::book::published::DialledNumber;

/// `POST /api/auth/challenge`
pub(super) async fn challenge(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body?;
    if !body.is_empty() {
        let _: wire::AskChallenge = read(&body)?;
    }
    let (id, challenge) = shared.challenges().challenge(now());
    let told = wire::Challenged {
        challenge_id: wire::Hex(id.0),
        challenge: wire::Hex(challenge.digest()),
        nonce: wire::Hex(*challenge.nonce()),
    };
    Ok(unstored(Json(told)))
}

/// `POST /api/auth/verify`
pub(super) async fn verify(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let number = prove(&shared, &read(&body?)?)?;
    let told = wire::Verified {
        verified: true,
        number: number.to_string(),
    };
    Ok(unstored(Json(told)))
}

/// `POST /api/v1/members`
pub(super) async fn members(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    prove(&shared, &read(&body?)?)?;
    let told = wire::Members {
        members: shared.membership.token(unix_now()).text().to_owned(),
    };
    Ok(unstored(Json(told)))
}

fn prove(shared: &Shared, answer: &wire::Verify) -> Result<Number, ApiError> {
    let dialled = DialledNumber::read(&answer.number).ok_or(ApiError::Invalid)?;
    let published = shared.published();
    let verified = shared.challenges().verify(
        ChallengeId(answer.challenge_id.0),
        &dialled,
        &answer.signature.0,
        &published,
        now(),
    );
    verified.ok_or(ApiError::Invalid)
}

/// `POST /api/v1/keys/rotate`
pub(super) async fn rotate(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let form: wire::Rotate = read(&body?)?;
    let rotation = Rotation {
        challenge: answered(&shared, form.challenge_id)?,
        number: number(&form.number)?,
        listing: Listing::decode(&form.listing.0).map_err(|_| ApiError::Invalid)?,
        proof: form.proof(),
    };
    let epochs = shared.write(move |book| book.rotate(&rotation)).await?;
    Ok(unstored(Json(wire::Rotated { epochs })))
}

/// `POST /api/v1/numbers/deactivate`
pub(super) async fn deactivate(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let form: wire::Deactivate = read(&body?)?;
    let deactivation = Deactivation {
        challenge: answered(&shared, form.challenge_id)?,
        number: number(&form.number)?,
        signature: form.signature.0,
    };
    shared
        .write(move |book| book.deactivate(&deactivation, unix_now()))
        .await?;
    Ok(unstored(Json(wire::Done {})))
}

/// The challenge of this name, which is used up now.
fn answered(shared: &Shared, id: wire::Hex<16>) -> Result<Challenge, ApiError> {
    let taken = shared.challenges().take(ChallengeId(id.0), now());
    taken.ok_or(ApiError::Invalid)
}

fn number(text: &str) -> Result<Number, ApiError> {
    text.parse().map_err(|_| ApiError::Invalid)
}
