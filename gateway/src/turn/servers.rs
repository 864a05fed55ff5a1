//! The TURN servers of an engine and its logins: dials the first server that answers.
//!
//! Every allocation logs in under another random name, which is made from a secret shared with the server
//! (draft-uberti-behave-turn-rest) or taken from the pool that the phone book filled: the server cannot tell from the name which
//! calls belong together. No login is requested because of a call.

use std::sync::Arc;
use std::time::Duration;

use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_media::far::{FarConfig, TurnAccess, TurnPassword, TurnTransport};

use super::credentials::TurnLogin;
use super::{TurnSocket, TurnTarget, Wire};
use crate::clock;
use crate::net::audit::{AuditEntry, ConnectionAudit};

/// How long a login is good for: the longest call plus the time for which the pool keeps an allocation. A server that checks the
/// expiry at each refresh must not end a call.
const LOGIN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The TURN servers of an engine and how it logs in to them.
#[derive(Clone, Debug)]
pub struct TurnServers {
    servers: Arc<[TurnTarget]>,
    login: TurnLogin,
    allow_private: bool,
    audit: ConnectionAudit,
}

impl TurnServers {
    /// Servers in the order in which they are tried. `allow_private` accepts relayed addresses on loopback and private networks:
    /// for demo and tests.
    #[must_use]
    pub fn new(servers: Vec<TurnTarget>, login: TurnLogin, allow_private: bool) -> Self {
        Self {
            servers: servers.into(),
            login,
            allow_private,
            audit: ConnectionAudit::default(),
        }
    }

    /// The same, with an audit that notes which servers are dialled.
    #[must_use]
    pub fn audited(self, audit: ConnectionAudit) -> Self {
        Self { audit, ..self }
    }

    /// Dials the first server that answers. `None` when none does: then there is no call, because only relayed paths are used.
    pub(crate) async fn dial(&self) -> Option<(TurnSocket, FarConfig)> {
        for (position, target) in (1_usize..).zip(self.servers.iter()) {
            let (username, password) = self.credentials()?;
            self.audit.note(|| AuditEntry::Turn(target.addr()));
            match TurnSocket::dial(target).await {
                Ok(socket) => {
                    let config = FarConfig {
                        turn: TurnAccess {
                            addr: target.addr(),
                            transport: match target.wire() {
                                Wire::Udp => TurnTransport::Udp,
                                Wire::Tcp | Wire::Tls => TurnTransport::Stream,
                            },
                            username,
                            password,
                        },
                        local: socket.local_addr(),
                        allow_private_addresses: self.allow_private,
                    };
                    return Some((socket, config));
                }
                Err(error) => {
                    tracing::debug!(%error, "a TURN server cannot be reached");
                    let (all, why) = (self.servers.len(), error.unnamed());
                    tracing::warn!("TURN server {position} of {all} cannot be reached: {why}");
                }
            }
        }
        None
    }

    fn credentials(&self) -> Option<(String, TurnPassword)> {
        match &self.login {
            TurnLogin::None => None,
            TurnLogin::Book(pool) => {
                let (user, password) = pool.take(clock::unix_seconds())?;
                Some((user, TurnPassword::new(password.expose().to_owned())))
            }
            TurnLogin::Fixed { user, password } => Some((
                user.clone(),
                TurnPassword::new(password.expose().to_owned()),
            )),
            TurnLogin::Shared(secret) => {
                let secret = TurnSecret::new(secret.expose().to_owned());
                let now = clock::unix_seconds();
                let (username, password) =
                    rest_credentials(&secret, LOGIN_LIFE, now, &mut rand::rng());
                Some((username, TurnPassword::new(password)))
            }
        }
    }
}
