//! TURN credentials in bulk, long before the calls that use them, for a client with the members' token. It is the same for all
//! members: the book knows that a member asks, and not which. The user names are random, and tell the day on which they were made.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use rand::TryRng;
use rand::rngs::SysRng;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::turn_credentials::{TurnSecret, daily_credentials, daily_end, turn_host};
use ringfence_book::wire;
use ringfence_daemon::clock::unix_now;
use zeroize::Zeroizing;

use super::failure::ApiError;
use super::{Shared, read, unstored};
use crate::config::Config;

/// Credentials for each server at a time. An engine uses one on each network and day, and one more for every six calls at once: this
/// many last for a week without the book, with two networks a day.
const CREDENTIALS: usize = 32;

/// Servers for which there are credentials, so that an answer stays small.
const MOST_SERVERS: usize = 16;

/// What credentials are made of: each server's host and secret, in the order of the settings.
pub(crate) struct TurnCredentialIssuer(Vec<(String, TurnSecret)>);

impl TurnCredentialIssuer {
    /// For the servers whose secret is known; `None` without any.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let mut servers: Vec<(String, TurnSecret)> = Vec::new();
        for host in config.turn.iter().filter_map(|uri| turn_host(uri)) {
            let secret = config.turn_secret_of(&host);
            if let Some(secret) = secret.filter(|_| servers.iter().all(|(known, _)| *known != host))
            {
                servers.push((host, secret.clone()));
            }
        }
        servers.truncate(MOST_SERVERS);
        (!servers.is_empty()).then_some(Self(servers))
    }

    fn draw(&self, now: u64) -> Result<wire::TurnCredentials, ApiError> {
        let mut seed = Zeroizing::new([0; 32]);
        SysRng
            .try_fill_bytes(seed.as_mut_slice())
            .map_err(|_| ApiError::Lost)?;
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let servers = self.0.iter().map(|(host, secret)| {
            let credentials = (0..CREDENTIALS).map(|_| {
                let (user, password) = daily_credentials(secret, now, &mut rng);
                wire::TurnCredential { user, password }
            });
            wire::TurnServerCredentials {
                host: host.clone(),
                credentials: credentials.collect(),
            }
        });
        Ok(wire::TurnCredentials {
            expires: daily_end(now),
            servers: servers.collect(),
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
