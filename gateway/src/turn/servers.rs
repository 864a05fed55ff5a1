//! Where calls get their way out: a dialled TURN server and a login for it.
//!
//! Every call logs in under another random name, made from a secret shared with the server
//! (draft-uberti-behave-turn-rest) or taken from a purse that the phone book filled: the server
//! cannot tell from the name whose calls belong together. Nobody is asked for a login at call time.

use std::sync::Arc;
use std::time::Duration;

use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_media::far::{FarConfig, Secret, TurnServer, TurnTransport};

use super::credentials::TurnLogin;
use super::{TurnSocket, TurnTarget, Wire};
use crate::clock;
use crate::net::audit::{AuditEntry, ConnectionAudit};

/// How long a login is good for. The longest call plus the time a spare allocation may wait:
/// a server that checks the expiry on every refresh must not end a call.
const LOGIN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The TURN servers of an engine and how it logs in to them.
#[derive(Clone, Debug)]
pub struct TurnServers {
    servers: Arc<[TurnTarget]>,
    login: TurnLogin,
    private_relays: bool,
    watch: ConnectionAudit,
}

impl TurnServers {
    /// Servers in the order in which they are tried. `private_relays` accepts relayed
    /// addresses on loopback and private networks: for demo and tests.
    #[must_use]
    pub fn new(servers: Vec<TurnTarget>, login: TurnLogin, private_relays: bool) -> Self {
        Self {
            servers: servers.into(),
            login,
            private_relays,
            watch: ConnectionAudit::default(),
        }
    }

    /// The same, with somebody who sees which servers are dialled.
    #[must_use]
    pub fn watched(self, watch: ConnectionAudit) -> Self {
        Self { watch, ..self }
    }

    /// Dials the first server that answers. `None` when none does: then there is no call,
    /// because there is no other path than a relayed one.
    pub(crate) async fn enter(&self) -> Option<(TurnSocket, FarConfig)> {
        for (position, target) in (1_usize..).zip(self.servers.iter()) {
            let (username, password) = self.credentials()?;
            self.watch.note(|| AuditEntry::Turn(target.addr()));
            match TurnSocket::dial(target).await {
                Ok(socket) => {
                    let config = FarConfig {
                        turn: TurnServer {
                            addr: target.addr(),
                            transport: match target.wire() {
                                Wire::Udp => TurnTransport::Udp,
                                Wire::Tcp | Wire::Tls => TurnTransport::Stream,
                            },
                            username,
                            password,
                        },
                        local: socket.local_addr(),
                        private_relays: self.private_relays,
                    };
                    return Some((socket, config));
                }
                Err(fault) => {
                    tracing::debug!(%fault, "a TURN server cannot be reached");
                    let (all, why) = (self.servers.len(), fault.unnamed());
                    tracing::warn!("TURN server {position} of {all} gives no way out: {why}");
                }
            }
        }
        None
    }

    fn credentials(&self) -> Option<(String, Secret<String>)> {
        match &self.login {
            TurnLogin::None => None,
            TurnLogin::Book(purse) => {
                let (user, password) = purse.take(clock::unix_seconds())?;
                Some((user, Secret::new(password.expose().to_owned())))
            }
            TurnLogin::Fixed { user, password } => {
                Some((user.clone(), Secret::new(password.expose().to_owned())))
            }
            TurnLogin::Shared(secret) => {
                let secret = TurnSecret::new(secret.expose().to_owned());
                let now = clock::unix_seconds();
                let (username, password) =
                    rest_credentials(&secret, LOGIN_LIFE, now, &mut rand::rng());
                Some((username, Secret::new(password)))
            }
        }
    }
}
