//! The TURN servers of an engine and its logins: dials the first server that answers.
//!
//! Every allocation logs in under another random name, which is made from a secret shared with the server
//! (draft-uberti-behave-turn-rest) or taken from the pool that the phone book filled: the server cannot tell from the name which
//! calls belong together. No login is requested because of a call.

use std::sync::Arc;
use std::time::Duration;

use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_media::far::{FarConfig, TurnAccess, TurnPassword, TurnTransport};

use super::credentials::{LoginStock, TurnLogin};
use super::probe::TurnProbeError;
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

/// Which server was dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerChoice {
    /// Its place among the servers in use, counted from 1.
    pub position: usize,
    /// How many servers are in use.
    pub all: usize,
    /// Why the first server was not dialled, without its name; `None` if it was.
    pub passed_over: Option<String>,
}

/// A socket that is connected to a TURN server, and what the far leg must know of it.
#[derive(Debug)]
pub(crate) struct DialledTurn {
    pub(crate) socket: TurnSocket,
    pub(crate) config: FarConfig,
    pub(crate) choice: ServerChoice,
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

    /// Dials the first server that accepts a connection; over UDP that is any. Only relayed paths are used, so without one there is
    /// no call.
    ///
    /// # Errors
    /// [`TurnProbeError::NoLogin`], [`TurnProbeError::Unreachable`].
    pub(crate) async fn dial(&self) -> Result<DialledTurn, TurnProbeError> {
        let (all, mut passed_over) = (self.servers.len(), None);
        for (position, target) in (1_usize..).zip(self.servers.iter()) {
            let (username, password) = self.credentials().ok_or(TurnProbeError::NoLogin)?;
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
                    let choice = ServerChoice {
                        position,
                        all,
                        passed_over,
                    };
                    return Ok(DialledTurn {
                        socket,
                        config,
                        choice,
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a TURN server cannot be reached");
                    passed_over.get_or_insert_with(|| error.unnamed());
                }
            }
        }
        let why = passed_over.unwrap_or_default();
        Err(TurnProbeError::Unreachable { all, why })
    }

    /// How long logins of the phone book last; `None` if logins come from the settings.
    pub(crate) fn stock(&self) -> Option<LoginStock> {
        match &self.login {
            TurnLogin::Book(pool) => Some(pool.stock(clock::unix_seconds())),
            TurnLogin::None | TurnLogin::Shared(_) | TurnLogin::Fixed { .. } => None,
        }
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
