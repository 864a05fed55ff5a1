//! The TURN servers of an engine and its logins: in which order a race asks them, and how one is dialled.
//!
//! Logins are made from a secret shared with the server (draft-uberti-behave-turn-rest) or taken from the pool that the phone book
//! filled ([`super::credentials`]). No login is requested because of a call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ringfence_book::bounds::MAX_SERVERS;
use ringfence_media::far::{FarConfig, FarLegError, TurnAccess, TurnPassword, TurnTransport};

use super::credentials::{CredentialPool, LoginLease, LoginStock, TurnLogin};
use super::losses::RaceLosses;
use super::probe::TurnProbeError;
use super::{TurnDialError, TurnSocket, TurnTarget, Wire};
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
    losses: RaceLosses,
    allow_private: bool,
    audit: ConnectionAudit,
}

/// An entry that did not win its race, and why; `None` if it has not answered.
pub(crate) type Beaten = (usize, Option<TurnProbeError>);

/// Servers at which races allocate. An entry is a server's place, counted from 0.
pub(crate) trait DialTurn: Clone + Send + Sync + 'static {
    /// The entries in the order in which a race asks them. Two slots of a pool begin with different servers, if there are two; servers
    /// with an address in `avoid` come later, and those that lost a race lately last.
    fn order(&self, slot: usize, avoid: &[IpAddr]) -> Vec<usize>;

    /// Whether an entry's server has one of these addresses.
    fn is_at(&self, entry: usize, addresses: &[IpAddr]) -> bool;

    /// Connects to the server of an entry. Only relayed paths are used, so without one there is no call.
    ///
    /// # Errors
    /// [`TurnProbeError::NoLogin`], [`TurnProbeError::Unreachable`].
    fn dial(
        &self,
        entry: usize,
    ) -> impl Future<Output = Result<DialledTurn, TurnProbeError>> + Send;

    /// Notes how a race went.
    fn note_won(&self, entry: usize, beaten: Vec<Beaten>) -> ServerChoice;
}

/// Which server gave an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerChoice {
    /// Its place among the servers in use, counted from 1.
    pub position: usize,
    /// How many servers are in use.
    pub all: usize,
    /// Why the first server gave none, without its name; `None` if that is not known.
    pub passed_over: Option<String>,
}

/// A socket that is connected to a TURN server, and what the far leg must know of it.
#[derive(Debug)]
pub(crate) struct DialledTurn {
    pub(crate) socket: TurnSocket,
    pub(crate) config: FarConfig,
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
            losses: RaceLosses::default(),
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

    /// How long logins of the phone book last; `None` if logins come from the settings.
    pub(crate) fn stock(&self) -> Option<LoginStock> {
        match &self.login {
            TurnLogin::Book(pool) => Some(pool.stock(clock::unix_seconds())),
            TurnLogin::None | TurnLogin::Shared(_) | TurnLogin::Fixed { .. } => None,
        }
    }

    /// The addresses of the servers, which are those of their allocations too (behind a one-to-one NAT both are the public one): the
    /// other side's answer comes from there, and whose it is is not known before. Alike for all allocations, and from the start. Each
    /// of the relayed address's family costs a request when the allocation is made and whenever it is checked.
    fn permitted(&self) -> Vec<IpAddr> {
        let (four, six): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) =
            self.addresses().into_iter().partition(IpAddr::is_ipv4);
        let few = |all: BTreeSet<IpAddr>| all.into_iter().take(MAX_SERVERS);
        few(four).chain(few(six)).collect()
    }

    /// All addresses of the servers.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let addrs = self.servers.iter().flat_map(TurnTarget::addrs);
        addrs.map(|addr| addr.ip()).collect()
    }

    /// Whether there is a server at another address than this.
    pub(crate) fn is_elsewhere(&self, than: IpAddr) -> bool {
        (0..self.servers.len()).any(|entry| !self.is_at(entry, &[than]))
    }

    /// Looks the servers' names up again, for all clones: another network may have other answers.
    pub(crate) async fn look_up_again(&self) {
        for target in self.servers.iter().filter(|target| target.has_name()) {
            self.audit.note(|| AuditEntry::Name(target.host()));
            target.look_up_again().await;
        }
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

impl TurnServers {
    /// The address from which the servers are reached now: the memory of losers is that of a network.
    fn network(&self) -> Option<IpAddr> {
        self.servers.iter().find_map(TurnTarget::network)
    }

    /// The entry with which a slot of the pool begins.
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

    fn unreachable(&self, error: &TurnDialError) -> TurnProbeError {
        tracing::debug!(%error, "a TURN server cannot be reached");
        TurnProbeError::Unreachable {
            all: self.servers.len(),
            why: error.unnamed(),
        }
    }
}

impl DialTurn for TurnServers {
    fn order(&self, slot: usize, avoid: &[IpAddr]) -> Vec<usize> {
        let (network, now) = (self.network(), clock::now());
        let lost = |entry| network.and_then(|network| self.losses.why(network, entry, now));
        let mut entries: Vec<usize> = (0..self.servers.len()).collect();
        entries.rotate_left(self.first_of(slot));
        entries.sort_by_key(|entry| (lost(*entry).is_some(), self.is_at(*entry, avoid)));
        entries
    }

    fn is_at(&self, entry: usize, addresses: &[IpAddr]) -> bool {
        self.servers.get(entry).is_some_and(|target| {
            let mut own = target.addrs().into_iter();
            own.any(|addr| addresses.contains(&addr.ip()))
        })
    }

    async fn dial(&self, entry: usize) -> Result<DialledTurn, TurnProbeError> {
        let target = self.servers.get(entry).ok_or(TurnProbeError::NoLogin)?;
        let dialled = TurnSocket::dial(target).await;
        // The audit knows servers by their addresses; without a socket it may have been any of them.
        let to = dialled
            .as_ref()
            .map_or_else(|_| target.addr(), TurnSocket::peer_addr);
        self.audit.note(|| AuditEntry::Turn(to));
        let mut socket = dialled.map_err(|error| self.unreachable(&error))?;
        let network = socket.local_addr().ip();
        let login = self.login(&target.host(), network);
        let (username, password, lease) = login.ok_or(TurnProbeError::NoLogin)?;
        if let Some(lease) = lease {
            socket.hold(lease);
        }
        let config = FarConfig {
            turn: TurnAccess {
                addr: socket.peer_addr(),
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
            relays_ipv6: false,
        };
        Ok(DialledTurn { socket, config })
    }

    fn note_won(&self, entry: usize, beaten: Vec<Beaten>) -> ServerChoice {
        let why = |(beaten, error): Beaten| {
            let error = error.unwrap_or(TurnProbeError::Refused(FarLegError::Timeout));
            (beaten, error.unnamed())
        };
        let beaten: Vec<(usize, String)> = beaten.into_iter().map(why).collect();
        let (network, now) = (self.network(), clock::now());
        let passed_over = network.and_then(|network| {
            self.losses.note(network, entry, beaten, now);
            self.losses.why(network, 0, now)
        });
        ServerChoice {
            position: entry + 1,
            all: self.servers.len(),
            passed_over,
        }
    }
}
