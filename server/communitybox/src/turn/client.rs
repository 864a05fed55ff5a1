//! One client of the TURN server: its own instance of turn-server-proto, its users, allocations and peers.
//!
//! One instance per client, because turn-server-proto searches all its clients for every packet, and can add users but
//! not remove them: here the users go with their client.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ringfence_turn_framing::{TurnFramer, pad};
use turn_server_proto::api::{
    SocketAllocateError, TcpConnectError, Transmit, TurnServerApi, TurnServerPollRet,
};
use turn_server_proto::server::TurnServer;
use turn_types::{AddressFamily, Instant as TurnInstant, TransportType};

use super::client_packet::ProvedUser;
use super::quota::ByteBucket;
use super::repetition::{Asked, Repetition};
use super::{AllocationId, ClientFlow, ClientTransport, TurnMachineConfig};

/// The name that the server's users belong to (RFC 8489 section 9.2). It is the same for every server of this kind.
pub(super) const REALM: &str = "turn";

/// User names that one client may use: its credentials may end and be replaced while its allocation lives.
const MAX_USERS: usize = 4;

/// Peers that one client may exchange packets with, in its whole life. A call needs one to four.
const MAX_PEERS: usize = 32;

/// Longest frame that a client may send over a stream. Media, checks and requests stay far below; a client that announces
/// more does not speak TURN for a call.
const MAX_FRAME: usize = 4096;

/// How long a client without an allocation is remembered: time to answer the challenge.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// Turns of the loop after one input.
const MAX_TURNS: usize = 32;

/// Time that turn-server-proto asks for again at the very instant at which it must have passed.
const TICK: Duration = Duration::from_millis(1);

/// What a client's server wants done.
#[derive(Debug)]
pub(super) enum Work {
    ToClient(Vec<u8>),
    ToPeer {
        allocation: AllocationId,
        peer: SocketAddr,
        bytes: Vec<u8>,
    },
    Open {
        allocation: AllocationId,
        ipv6: bool,
    },
    Close {
        allocation: AllocationId,
    },
}

pub(super) struct TurnClient {
    flow: ClientFlow,
    listen: SocketAddr,
    base: Instant,
    server: TurnServer,
    pub(super) framer: TurnFramer,
    users: BTreeSet<String>,
    peers: BTreeSet<IpAddr>,
    allocations: BTreeMap<AllocationId, Option<SocketAddr>>,
    asked: Asked,
    pub(super) to_peers: ByteBucket,
    pub(super) from_peers: ByteBucket,
    seen: Instant,
    pub(super) wake: Instant,
}

impl TurnClient {
    pub(super) fn new(flow: ClientFlow, settings: &TurnMachineConfig, now: Instant) -> Self {
        let (listen, rate) = (settings.listen, settings.limits.bytes_per_second);
        Self {
            flow,
            listen,
            base: now,
            server: TurnServer::new(flow.transport.ip_protocol(), listen, REALM.to_owned()),
            framer: TurnFramer::new(MAX_FRAME),
            users: BTreeSet::new(),
            peers: BTreeSet::new(),
            allocations: BTreeMap::new(),
            asked: Asked::default(),
            to_peers: ByteBucket::new(rate, now),
            from_peers: ByteBucket::new(rate, now),
            seen: now,
            wake: now + IDLE_LIMIT,
        }
    }

    /// Whether it can be forgotten.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.allocations.is_empty() && self.seen + IDLE_LIMIT <= now
    }

    /// Whether it holds an allocation.
    pub(super) fn has_allocation(&self) -> bool {
        !self.allocations.is_empty()
    }

    /// When it was last heard.
    pub(super) fn seen(&self) -> Instant {
        self.seen
    }

    /// Whether `username` is one of its users.
    pub(super) fn knows(&self, username: &str) -> bool {
        self.users.contains(username)
    }

    /// Lets a user with proven credentials in; false if there are too many.
    pub(super) fn admit(&mut self, proof: &ProvedUser) -> bool {
        if self.knows(&proof.username) {
            return true;
        }
        if self.users.len() >= MAX_USERS {
            return false;
        }
        self.users.insert(proof.username.clone());
        self.server
            .add_user(proof.username.clone(), proof.password.clone());
        true
    }

    /// Counts new peers; false if there are too many.
    pub(super) fn admit_peers(&mut self, peers: &[IpAddr]) -> bool {
        self.peers.extend(peers);
        self.peers.len() <= MAX_PEERS
    }

    /// Looks whether an Allocate request is a repetition, and remembers it if not.
    pub(super) fn asks(&mut self, id: u128) -> Repetition {
        self.asked.handle(id)
    }

    /// The Allocate request was refused: its repetition is asked anew.
    pub(super) fn forget_request(&mut self) {
        self.asked = Asked::Nothing;
    }

    /// One frame from the client.
    pub(super) fn handle_frame(
        &mut self,
        frame: &[u8],
        now: Instant,
        new_allocation: &mut dyn FnMut() -> AllocationId,
    ) -> Vec<Work> {
        self.seen = now;
        let mut work = Vec::new();
        let transmit = Transmit::new(
            frame,
            self.flow.transport.ip_protocol(),
            self.flow.addr,
            self.listen,
        );
        if let Some(reply) = self.server.recv(transmit, self.at(now)) {
            let reply = reply.build();
            self.route(reply.from, reply.to, reply.data, &mut work);
        }
        // ChannelData changes nothing.
        if frame.first().is_some_and(|byte| byte >> 6 == 0) {
            self.turn(now, new_allocation, &mut work);
        }
        work
    }

    /// One datagram from a peer to an allocation.
    pub(super) fn handle_peer(
        &mut self,
        allocation: AllocationId,
        peer: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Vec<Work> {
        let mut work = Vec::new();
        let Some(Some(at)) = self.allocations.get(&allocation) else {
            return work;
        };
        let transmit = Transmit::new(bytes, TransportType::Udp, peer, *at);
        if let Some(forward) = self.server.recv(transmit, self.at(now)) {
            let forward = forward.build();
            self.route(forward.from, forward.to, forward.data, &mut work);
        }
        work
    }

    /// The shell opened the socket of an allocation, or could not.
    pub(super) fn handle_opened(
        &mut self,
        allocation: AllocationId,
        addr: Option<SocketAddr>,
        ipv6: bool,
        now: Instant,
        new_allocation: &mut dyn FnMut() -> AllocationId,
    ) -> Vec<Work> {
        let mut work = Vec::new();
        match addr {
            Some(_) => self.allocations.insert(allocation, addr),
            None => self.allocations.remove(&allocation),
        };
        self.opened(
            addr.ok_or(SocketAllocateError::InsufficientCapacity),
            ipv6,
            TransportType::Udp,
            now,
        );
        self.turn(now, new_allocation, &mut work);
        work
    }

    /// Time has passed.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        new_allocation: &mut dyn FnMut() -> AllocationId,
    ) -> Vec<Work> {
        let mut work = Vec::new();
        self.turn(now, new_allocation, &mut work);
        work
    }

    /// The allocations whose sockets must be closed when the client goes.
    pub(super) fn into_allocations(self) -> impl Iterator<Item = AllocationId> {
        self.allocations.into_keys()
    }

    fn turn(
        &mut self,
        now: Instant,
        new_allocation: &mut dyn FnMut() -> AllocationId,
        work: &mut Vec<Work>,
    ) {
        let at = self.at(now);
        let mut wake = now + TICK;
        for _ in 0..MAX_TURNS {
            while let Some(transmit) = self.server.poll_transmit(at) {
                self.route(transmit.from, transmit.to, transmit.data, work);
            }
            match self.server.poll(at) {
                TurnServerPollRet::WaitUntil(until) => {
                    wake = now + until.duration_since(at).max(TICK);
                    break;
                }
                TurnServerPollRet::AllocateSocket {
                    allocation_transport,
                    family,
                    ..
                } => {
                    let ipv6 = family == AddressFamily::IPV6;
                    // RFC 8656 section 7.2: the client asks again for the other family.
                    if ipv6 != self.listen.is_ipv6() {
                        let refusal = Err(SocketAllocateError::AddressFamilyNotSupported);
                        self.opened(refusal, ipv6, allocation_transport, now);
                    // One allocation per client, for datagrams.
                    } else if allocation_transport == TransportType::Udp
                        && self.allocations.is_empty()
                    {
                        let allocation = new_allocation();
                        self.allocations.insert(allocation, None);
                        work.push(Work::Open { allocation, ipv6 });
                    } else {
                        self.opened(
                            Err(SocketAllocateError::InsufficientCapacity),
                            ipv6,
                            allocation_transport,
                            now,
                        );
                    }
                }
                TurnServerPollRet::SocketClose { listen_addr, .. } => self.close(listen_addr, work),
                TurnServerPollRet::TcpConnect {
                    relayed_addr,
                    peer_addr,
                    listen_addr,
                    client_addr,
                } => {
                    let refusal = Err(TcpConnectError::Forbidden);
                    self.server.tcp_connected(
                        relayed_addr,
                        peer_addr,
                        listen_addr,
                        client_addr,
                        refusal,
                        at,
                    );
                }
                TurnServerPollRet::TcpClose { .. } => {}
            }
        }
        self.wake = if self.allocations.is_empty() {
            wake.min(self.seen + IDLE_LIMIT).max(now + TICK)
        } else {
            wake
        };
    }

    fn opened(
        &mut self,
        addr: Result<SocketAddr, SocketAllocateError>,
        ipv6: bool,
        kind: TransportType,
        now: Instant,
    ) {
        let family = if ipv6 {
            AddressFamily::IPV6
        } else {
            AddressFamily::IPV4
        };
        let at = self.at(now);
        self.server.allocated_socket(
            self.flow.transport.ip_protocol(),
            self.listen,
            self.flow.addr,
            kind,
            family,
            addr,
            at,
        );
    }

    fn close(&mut self, addr: SocketAddr, work: &mut Vec<Work>) {
        let closed = self
            .allocations
            .iter()
            .find(|(_, at)| **at == Some(addr))
            .map(|(allocation, _)| *allocation);
        if let Some(allocation) = closed {
            self.allocations.remove(&allocation);
            self.asked = Asked::Nothing;
            work.push(Work::Close { allocation });
        }
    }

    fn route(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        mut bytes: Vec<u8>,
        work: &mut Vec<Work>,
    ) {
        if from == self.listen && to == self.flow.addr {
            self.asked.remember(&bytes);
            if self.flow.transport == ClientTransport::Stream {
                pad(&mut bytes);
            }
            work.push(Work::ToClient(bytes));
        } else if let Some((allocation, _)) =
            self.allocations.iter().find(|(_, at)| **at == Some(from))
        {
            work.push(Work::ToPeer {
                allocation: *allocation,
                peer: to,
                bytes,
            });
        }
    }

    fn at(&self, now: Instant) -> TurnInstant {
        TurnInstant::ZERO + now.saturating_duration_since(self.base)
    }
}

impl std::fmt::Debug for TurnClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnClient")
            .field("allocations", &self.allocations.len())
            .finish_non_exhaustive()
    }
}
