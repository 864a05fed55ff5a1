//! TURN credentials in bulk, long before the calls that use them, for a client with the members' token. It is the same for all
//! members: the book knows that a member asks, and not which. The user names are random and say nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use rand::TryRng;
use rand::rngs::SysRng;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_book::wire;
use ringfence_daemon::clock::unix_now;
use zeroize::Zeroizing;

use super::failure::ApiError;
use super::{Shared, read, unstored};
use crate::config::Config;

/// Credentials at a time: a day's calls of a person.
const CREDENTIALS: usize = 64;

/// How long they are good.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What credentials are made of.
pub(crate) struct TurnCredentialIssuer {
    secret: TurnSecret,
    urls: Vec<String>,
}

impl TurnCredentialIssuer {
    /// With a secret there are credentials.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let secret = config.turn_secret.clone()?;
        let urls = config.turn.clone();
        Some(Self { secret, urls })
    }

    fn draw(&self, now: u64) -> Result<wire::TurnCredentials, ApiError> {
        let mut seed = Zeroizing::new([0; 32]);
        SysRng
            .try_fill_bytes(seed.as_mut_slice())
            .map_err(|_| ApiError::Lost)?;
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let credentials = (0..CREDENTIALS).map(|_| {
            let (user, password) = rest_credentials(&self.secret, LIFE, now, &mut rng);
            wire::TurnCredential { user, password }
        });
        Ok(wire::TurnCredentials {
            credentials: credentials.collect(),
            expires: now.saturating_add(LIFE.as_secs()),
            urls: self.urls.clone(),
        })
    }
}

/// `POST /api/v1/turn-credentials`
pub(super) async fn credentials(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let form: wire::AskTurn = read(&body?)?;
    let issuer = shared.turn.as_ref().ok_or(ApiError::NotFound)?;
    let now = unix_now();
    if !shared.membership.accepts(&form.members, now) {
        return Err(ApiError::Invalid);
    }
    Ok(unstored(Json(issuer.draw(now)?)))
}
