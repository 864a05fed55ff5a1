//! The TURN servers of an engine and its logins: dials the first server that answers, in the order that the engine has drawn.
//!
//! Logins are made from a secret shared with the server (draft-uberti-behave-turn-rest) or taken from the pool that the phone book
//! filled ([`super::credentials`]). No login is requested because of a call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use ringfence_book::bounds::MAX_SERVERS;
use ringfence_media::far::{FarConfig, TurnAccess, TurnPassword, TurnTransport};

use super::credentials::{CredentialPool, LoginLease, LoginStock, TurnLogin};
use super::probe::TurnProbeError;
use super::{TurnSocket, TurnTarget, Wire};
use crate::clock;
use crate::net::audit::{AuditEntry, ConnectionAudit};
use crate::state::secret::Secret;

/// The TURN servers of an engine and how it logs in to them.
#[derive(Clone, Debug)]
pub struct TurnServers {
    servers: Arc<[TurnTarget]>,
    login: TurnLogin,
    secrets: BTreeMap<String, Secret>,
    pool: CredentialPool,
    works: Arc<AtomicUsize>,
    allow_private: bool,
    audit: ConnectionAudit,
}

/// Servers at which a pool allocates.
pub(crate) trait DialTurn: Clone + Send + Sync + 'static {
    /// The place of the entry with which a slot of the pool begins: two slots have different servers, if there are two.
    fn first_of(&self, slot: usize) -> usize;

    /// Notes the entry that works, with which calls begin that dial.
    fn prefer(&self, choice: &ServerChoice);

    /// Dials the first server that accepts a connection; over UDP that is any. Begins with the entry at `first`, counted around, and
    /// leaves servers with an address in `avoid` to the last. Only relayed paths are used, so without one there is no call.
    ///
    /// # Errors
    /// [`TurnProbeError::NoLogin`], [`TurnProbeError::Unreachable`].
    fn dial(
        &self,
        first: usize,
        avoid: &[IpAddr],
    ) -> impl Future<Output = Result<DialledTurn, TurnProbeError>> + Send;
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

impl ServerChoice {
    /// An attempt before this one failed, at the server that comes first.
    pub(crate) fn note_failure(&mut self, error: Option<TurnProbeError>) {
        if let (None, Some(error)) = (&self.passed_over, error) {
            self.passed_over = Some(error.unnamed());
        }
    }
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
        let pool = match &login {
            TurnLogin::Book(pool) => pool.clone(),
            _ => CredentialPool::default(),
        };
        Self {
            servers: servers.into(),
            login,
            secrets: BTreeMap::new(),
            pool,
            works: Arc::default(),
            allow_private,
            audit: ConnectionAudit::default(),
        }
    }

    /// The same, with the secrets of some servers, by host, in place of the common login.
    #[must_use]
    pub fn with_secrets(self, secrets: BTreeMap<String, Secret>) -> Self {
        Self { secrets, ..self }
    }

    /// The same, in the order that `pool` remembers or draws, which also has the logins.
    #[must_use]
    pub fn remembered(self, pool: CredentialPool) -> Self {
        let mut hosts: Vec<String> = Vec::new();
        for host in self.servers.iter().map(TurnTarget::host) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let order = pool.order(&hosts);
        let mut servers = self.servers.to_vec();
        servers.sort_by_key(|target| order.iter().position(|host| *host == target.host()));
        Self {
            servers: servers.into(),
            pool,
            ..self
        }
    }

    /// The same, with an audit that notes which servers are dialled.
    #[must_use]
    pub fn audited(self, audit: ConnectionAudit) -> Self {
        Self { audit, ..self }
    }

    /// Dials for a call that found no allocation ready: another server than that of these relayed addresses, if possible.
    ///
    /// # Errors
    /// As [`Self::dial`].
    pub(crate) async fn dial_for_call(
        &self,
        avoid: &[IpAddr],
    ) -> Result<DialledTurn, TurnProbeError> {
        self.dial(self.works.load(Relaxed), avoid).await
    }

    /// How long logins of the phone book last; `None` if logins come from the settings.
    pub(crate) fn stock(&self) -> Option<LoginStock> {
        match &self.login {
            TurnLogin::Book(pool) => Some(pool.stock(clock::unix_seconds())),
            TurnLogin::None | TurnLogin::Shared(_) | TurnLogin::Fixed { .. } => None,
        }
    }

    /// The addresses of the servers, which are those of their allocations too (behind a one-to-one NAT both are the public one): the
    /// other side's answer comes from there, and whose it is is not known before. Alike for all allocations, and from the start. Each
    /// costs a request when the allocation is made and whenever it is checked.
    fn permitted(&self) -> Vec<IpAddr> {
        let addresses = self.servers.iter().map(|target| target.addr().ip());
        let distinct: BTreeSet<IpAddr> = addresses.collect();
        distinct.into_iter().take(MAX_SERVERS).collect()
    }

    /// The login for one more allocation at the server `host`, reached from `network`; with what says that it is in use.
    fn login(&self, host: &str, network: IpAddr) -> Option<(String, Secret, Option<LoginLease>)> {
        let own = self.secrets.get(host);
        let secret = match (&self.login, own) {
            (_, Some(own)) => Some(own),
            (TurnLogin::Shared(common), None) => Some(common),
            (TurnLogin::Book(_), None) => None,
            (TurnLogin::Fixed { user, password }, None) => {
                return Some((user.clone(), password.clone(), None));
            }
            (TurnLogin::None, None) => return None,
        };
        let taken = self.pool.take(host, network, clock::unix_seconds(), secret);
        taken.map(|(user, password, lease)| (user, password, Some(lease)))
    }
}

impl DialTurn for TurnServers {
    fn first_of(&self, slot: usize) -> usize {
        let hosts: Vec<String> = self.servers.iter().map(TurnTarget::host).collect();
        let begins = |at: &usize| {
            hosts
                .get(..*at)
                .is_some_and(|before| !before.contains(&hosts[*at]))
        };
        let first: Vec<usize> = (0..hosts.len()).filter(begins).collect();
        first
            .get(slot % first.len().max(1))
            .copied()
            .unwrap_or_default()
    }

    fn prefer(&self, choice: &ServerChoice) {
        self.works.store(choice.position.saturating_sub(1), Relaxed);
    }

    async fn dial(&self, first: usize, avoid: &[IpAddr]) -> Result<DialledTurn, TurnProbeError> {
        let (all, mut passed_over, mut has_login) = (self.servers.len(), None, false);
        let mut entries: Vec<(usize, &TurnTarget)> = (1..).zip(self.servers.iter()).collect();
        entries.rotate_left(first % all.max(1));
        entries.sort_by_key(|(_, target)| avoid.contains(&target.addr().ip()));
        for (position, target) in entries {
            self.audit.note(|| AuditEntry::Turn(target.addr()));
            let mut socket = match TurnSocket::dial(target).await {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::debug!(%error, "a TURN server cannot be reached");
                    passed_over.get_or_insert_with(|| error.unnamed());
                    has_login = true;
                    continue;
                }
            };
            let Some((username, password, lease)) =
                self.login(&target.host(), socket.local_addr().ip())
            else {
                passed_over.get_or_insert_with(|| "no login for it is left".to_owned());
                continue;
            };
            if let Some(lease) = lease {
                socket.hold(lease);
            }
            let config = FarConfig {
                turn: TurnAccess {
                    addr: target.addr(),
                    transport: match target.wire() {
                        Wire::Udp => TurnTransport::Udp,
                        Wire::Tcp | Wire::Tls => TurnTransport::Stream,
                    },
                    username,
                    password: TurnPassword::new(password.expose().to_owned()),
                },
                local: socket.local_addr(),
                allow_private_addresses: self.allow_private,
                permitted: self.permitted(),
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
        if !has_login {
            return Err(TurnProbeError::NoLogin);
        }
        let why = passed_over.unwrap_or_default();
        Err(TurnProbeError::Unreachable { all, why })
    }
}
