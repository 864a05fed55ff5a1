//! The TURN servers of the simulated network, each at an address of its own, with one secret for all of them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand_core::CryptoRng;
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};

pub use super::turn_server::SimulatedServer;
use super::turn_server::SimulatedTurnOutput;

/// The first server's public address; the next ones follow it. Addresses for documentation are refused as relayed addresses by both the
/// WebRTC leg and the server.
pub const TURN_IP: Ipv4Addr = Ipv4Addr::new(11, 22, 33, 44);

/// Where a server listens (RFC 8656 section 7).
const PORT: u16 = 3478;

/// How long credentials are valid.
const CREDENTIALS: Duration = Duration::from_secs(3600);

/// All servers.
#[derive(Debug)]
pub struct SimulatedTurn {
    servers: Vec<SimulatedServer>,
    /// Of the credentials that are issued.
    secret: TurnSecret,
    /// Of the servers.
    true_secret: TurnSecret,
    misdirected: Vec<SocketAddr>,
}

impl SimulatedTurn {
    /// One server.
    pub(crate) fn new(moment: (Instant, u64)) -> Self {
        let secret = TurnSecret::new("lighthouse".into());
        let mut turn = Self {
            servers: Vec::new(),
            true_secret: secret.clone(),
            secret,
            misdirected: Vec::new(),
        };
        turn.add(moment);
        turn
    }

    /// Adds a server and returns its number.
    pub(crate) fn add(&mut self, moment: (Instant, u64)) -> usize {
        let number = self.servers.len();
        let last = TURN_IP.octets()[3] + u8::try_from(number).expect("a world has few servers");
        let [a, b, c, _] = TURN_IP.octets();
        let listen = SocketAddr::from((Ipv4Addr::new(a, b, c, last), PORT));
        let server = SimulatedServer::new(listen, self.true_secret.clone(), moment);
        self.servers.push(server);
        number
    }

    /// How many servers there are, living or dead.
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// A server.
    pub fn server(&self, number: usize) -> &SimulatedServer {
        &self.servers[number]
    }

    /// A server, to change how it answers.
    pub fn server_mut(&mut self, number: usize) -> &mut SimulatedServer {
        &mut self.servers[number]
    }

    /// The number of the server with this address.
    pub fn at(&self, ip: IpAddr) -> Option<usize> {
        self.servers.iter().position(|server| server.ip() == ip)
    }

    /// A user name and its password.
    pub(crate) fn credentials(&self, unix: u64, rng: &mut impl CryptoRng) -> (String, String) {
        rest_credentials(&self.secret, CREDENTIALS, unix, rng)
    }

    /// Issues credentials of another secret from now on, which the servers refuse.
    pub fn forget_secret(&mut self) {
        self.secret = TurnSecret::new("another lighthouse".into());
    }

    /// All servers refuse each Allocate request with this error code from now on; `None`: none.
    pub fn refuse_with(&mut self, code: Option<u16>) {
        for server in &mut self.servers {
            server.refuse_with(code);
        }
    }

    /// Relayed addresses in use, of all servers.
    pub fn relays(&self) -> usize {
        self.servers.iter().map(SimulatedServer::relays).sum()
    }

    /// Destinations of packets that are not addresses of these servers.
    pub fn misdirected(&self) -> &[SocketAddr] {
        &self.misdirected
    }

    pub(crate) fn handle_relayed(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        now: Instant,
    ) {
        match self.at(to.ip()) {
            Some(number) => self.servers[number].handle_peer((from, to), bytes, now),
            None => self.misdirected.push(to),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for server in &mut self.servers {
            server.handle_timeout(now);
        }
    }

    pub(crate) fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let alarms = self.servers.iter().filter_map(SimulatedServer::next_alarm);
        alarms.min_by_key(|(at, _)| *at)
    }

    /// What each server sends.
    pub(crate) fn drain(&mut self, now: Instant) -> Vec<(usize, SimulatedTurnOutput)> {
        let servers = self.servers.iter_mut().enumerate();
        servers
            .flat_map(|(number, server)| {
                server.drain(now).into_iter().map(move |out| (number, out))
            })
            .collect()
    }
}
