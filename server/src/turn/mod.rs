//! A small TURN server (RFC 8656) for the demo, the tests and the box of a small community.
//!
//! [`TurnMachine`] is bytes and time: the shell gives it what its sockets hear, and opens, closes and writes to sockets as it
//! says. [`service`] is such a shell. Around turn-server-proto it adds time-limited credentials, a rule for peers, and
//! limits. It has no TLS, no TCP relays (RFC 6062), no reservations; the open internet wants coturn.

mod addresses;
mod client;
mod credentials;
mod frames;
mod guard;
#[cfg(feature = "service")]
pub mod service;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use self::client::{Client, REALM, Repetition, Work};
pub use self::credentials::{TurnSecret, rest_credentials};
use self::guard::{Kind, Proof, Request, Standing, Wish};

/// Clients at once. When full, the client without a relay that was silent longest is forgotten; if all have relays, the
/// new one is not heard.
pub const MAX_CLIENTS: usize = 1024;

/// Relays that one user name may hold: one engine's spare and running calls. More are refused with 486.
pub const MAX_RELAYS_PER_USER: usize = 8;

/// Outputs that may wait for [`TurnMachine::poll`]; when full, packets are dropped, as a network would.
const MAX_OUTPUTS: usize = 4096;

/// A client of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientFlow {
    /// How its bytes come.
    pub transport: ClientTransport,
    /// Where from.
    pub addr: SocketAddr,
}

/// How a client's bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientTransport {
    /// In datagrams.
    Datagram,
    /// In a TCP stream, in chunks of any size.
    Stream,
}

/// A relay socket, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(u64);

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnOutput {
    /// Bytes for a client.
    ToClient {
        /// Which one.
        client: ClientFlow,
        /// A datagram, or the next bytes of its stream.
        bytes: Vec<u8>,
    },
    /// A datagram from a relay socket.
    ToPeer {
        /// Which socket.
        relay: RelayId,
        /// Where to.
        peer: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Open a UDP socket on a free port, then call [`TurnMachine::handle_relay_opened`].
    OpenRelay {
        /// Its name from now on.
        relay: RelayId,
        /// Whether it must be an IPv6 socket.
        ipv6: bool,
    },
    /// Close a relay socket.
    CloseRelay {
        /// Which one.
        relay: RelayId,
    },
    /// Close a client's stream: it was idle or does not speak TURN.
    CloseClient {
        /// Which one.
        client: ClientFlow,
    },
}

/// What was refused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnCounters {
    /// Packets that were not TURN, or from nobody we know.
    pub dropped: u64,
    /// Requests refused: credentials over, too many relays, forbidden peers.
    pub refused: u64,
    /// Clients not heard because the server is full.
    pub full: u64,
}

/// What a server is like.
#[derive(Clone, Debug)]
pub struct TurnSettings {
    /// The address that clients send to.
    pub listen: SocketAddr,
    /// What proves credentials.
    pub secret: TurnSecret,
    /// Whether peers may have loopback and private addresses: in the demo and in tests only.
    pub allow_private: bool,
}

/// The TURN server, as bytes and time.
#[derive(Debug)]
pub struct TurnMachine {
    settings: TurnSettings,
    base: (Instant, u64),
    clients: BTreeMap<ClientFlow, Client>,
    relays: BTreeMap<RelayId, (ClientFlow, bool)>,
    next_relay: u64,
    alarms: BTreeSet<(Instant, ClientFlow)>,
    outputs: VecDeque<TurnOutput>,
    counters: TurnCounters,
}

impl TurnMachine {
    /// Makes a server; `unix` is the time in seconds since 1970 at `now`, for the end of credentials.
    pub fn new(settings: TurnSettings, now: Instant, unix: u64) -> Self {
        Self {
            settings,
            base: (now, unix),
            clients: BTreeMap::new(),
            relays: BTreeMap::new(),
            next_relay: 0,
            alarms: BTreeSet::new(),
            outputs: VecDeque::new(),
            counters: TurnCounters::default(),
        }
    }

    /// Takes a datagram, or the next bytes of a stream, from a client. Anything may come; what is not TURN is dropped.
    pub fn handle_client(&mut self, from: ClientFlow, bytes: &[u8], now: Instant) {
        if from.transport == ClientTransport::Datagram {
            self.handle_frame(from, bytes, now);
            return;
        }
        if !self.make_client(from, now) {
            return;
        }
        if let Some(client) = self.clients.get_mut(&from) {
            client.frames.push(bytes);
        }
        // A frame may end the client.
        while let Some(frame) = self
            .clients
            .get_mut(&from)
            .and_then(|client| client.frames.next())
        {
            match frame {
                Ok(frame) => self.handle_frame(from, &frame, now),
                Err(frames::NotTurn) => self.forget(from),
            }
        }
    }

    /// A client's stream ended: its relay goes with it.
    pub fn handle_client_closed(&mut self, from: ClientFlow, _now: Instant) {
        self.forget(from);
    }

    /// A relay socket is open at this address, or could not be opened.
    pub fn handle_relay_opened(&mut self, relay: RelayId, addr: Option<SocketAddr>, now: Instant) {
        let Some((flow, ipv6)) = self.relays.get(&relay).copied() else {
            return;
        };
        if addr.is_none() {
            self.relays.remove(&relay);
        }
        self.with_client(flow, |client, new_relay| {
            client.handle_opened(relay, addr, ipv6, now, new_relay)
        });
    }

    /// Takes a datagram from a relay socket.
    pub fn handle_peer(&mut self, relay: RelayId, peer: SocketAddr, bytes: &[u8], now: Instant) {
        let Some((flow, _)) = self.relays.get(&relay).copied() else {
            return;
        };
        let work = self
            .clients
            .get_mut(&flow)
            .map(|client| client.handle_peer(relay, peer, bytes, now));
        self.carry_out(flow, work.unwrap_or_default());
    }

    /// Time has passed: call at the latest at [`next_alarm`](Self::next_alarm).
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, flow)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, flow));
            if self
                .clients
                .get(&flow)
                .is_some_and(|client| client.is_idle(now))
            {
                self.forget(flow);
            } else {
                self.with_client(flow, |client, new_relay| {
                    client.handle_timeout(now, new_relay)
                });
            }
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<TurnOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        self.alarms
            .first()
            .map(|(at, _)| (*at, "TURN client's permissions and lifetime"))
    }

    /// What was refused so far.
    pub fn counters(&self) -> TurnCounters {
        self.counters
    }

    /// Relays open at the moment.
    pub fn relays(&self) -> usize {
        self.relays.len()
    }

    fn handle_frame(&mut self, from: ClientFlow, frame: &[u8], now: Instant) {
        let (start, unix) = self.base;
        let unix = unix.saturating_add(now.saturating_duration_since(start).as_secs());
        let secret = self.settings.secret.clone();
        match guard::read(frame, &secret, REALM, unix) {
            Kind::Data if self.clients.contains_key(&from) => self.serve(from, frame, now),
            Kind::Request(request) => self.handle_request(from, &request, frame, now),
            Kind::Data | Kind::Other => self.counters.dropped += 1,
        }
    }

    fn handle_request(
        &mut self,
        from: ClientFlow,
        request: &Request<'_>,
        frame: &[u8],
        now: Instant,
    ) {
        if request.wish != Wish::Allocate && !self.clients.contains_key(&from) {
            self.counters.dropped += 1;
            return;
        }
        if !self.make_client(from, now) {
            return;
        }
        let refusal = match &request.standing {
            Standing::Stranger => None,
            Standing::Expired(proof)
                if request.wish == Wish::Allocate || !self.knows(from, proof) =>
            {
                Some((401, proof))
            }
            Standing::Expired(proof) | Standing::User(proof) => {
                match self.judge(from, request, proof) {
                    Judgement::Serve => None,
                    Judgement::Refuse(code) => Some((code, proof)),
                    Judgement::Repeat(reply) => {
                        self.carry_out(from, vec![Work::ToClient(reply)]);
                        return;
                    }
                    Judgement::Wait => return,
                }
            }
        };
        match refusal {
            None => self.serve(from, frame, now),
            Some((code, proof)) => {
                self.counters.refused += 1;
                let reply = request.refuse(code, proof);
                self.carry_out(from, reply.into_iter().map(Work::ToClient).collect());
            }
        }
    }

    fn judge(&mut self, from: ClientFlow, request: &Request<'_>, proof: &Proof) -> Judgement {
        let relays = self
            .clients
            .values()
            .filter(|client| client.has_relay() && client.knows(&proof.username))
            .count();
        let Some(client) = self.clients.get_mut(&from) else {
            return Judgement::Wait;
        };
        if !client.admit(proof) {
            return Judgement::Refuse(486);
        }
        match request.wish {
            Wish::Refresh => Judgement::Serve,
            Wish::Peers => match request.peers() {
                None => Judgement::Refuse(400),
                Some(peers)
                    if !peers
                        .iter()
                        .all(|ip| addresses::is_allowed(*ip, self.settings.allow_private)) =>
                {
                    Judgement::Refuse(403)
                }
                Some(peers) if !client.admit_peers(&peers) => Judgement::Refuse(508),
                Some(_) => Judgement::Serve,
            },
            Wish::Allocate => match client.asks(request.transaction()) {
                Repetition::Answered(reply) => Judgement::Repeat(reply),
                Repetition::Pending => Judgement::Wait,
                Repetition::New if relays >= MAX_RELAYS_PER_USER => Judgement::Refuse(486),
                Repetition::New => Judgement::Serve,
            },
        }
    }

    fn knows(&self, from: ClientFlow, proof: &Proof) -> bool {
        self.clients
            .get(&from)
            .is_some_and(|client| client.knows(&proof.username))
    }

    fn serve(&mut self, from: ClientFlow, frame: &[u8], now: Instant) {
        self.with_client(from, |client, new_relay| {
            client.handle_frame(frame, now, new_relay)
        });
    }

    /// Lets a client work, carries out what it wants, and notes when it wants to be woken.
    fn with_client(
        &mut self,
        flow: ClientFlow,
        work: impl FnOnce(&mut Client, &mut dyn FnMut() -> RelayId) -> Vec<Work>,
    ) {
        let Some(client) = self.clients.get_mut(&flow) else {
            return;
        };
        let before = client.wake;
        let next = &mut self.next_relay;
        let mut new_relay = || {
            *next += 1;
            RelayId(*next)
        };
        let done = work(client, &mut new_relay);
        let after = client.wake;
        self.alarms.remove(&(before, flow));
        self.alarms.insert((after, flow));
        self.carry_out(flow, done);
    }

    fn carry_out(&mut self, flow: ClientFlow, work: Vec<Work>) {
        for work in work {
            match work {
                Work::ToClient(bytes) => self.say(TurnOutput::ToClient {
                    client: flow,
                    bytes,
                }),
                Work::ToPeer { relay, peer, bytes } => {
                    self.say(TurnOutput::ToPeer { relay, peer, bytes })
                }
                Work::Open { relay, ipv6 } => {
                    self.relays.insert(relay, (flow, ipv6));
                    self.outputs
                        .push_back(TurnOutput::OpenRelay { relay, ipv6 });
                }
                Work::Close { relay } => {
                    self.relays.remove(&relay);
                    self.outputs.push_back(TurnOutput::CloseRelay { relay });
                }
            }
        }
    }

    /// Queues a packet.
    fn say(&mut self, output: TurnOutput) {
        if self.outputs.len() < MAX_OUTPUTS {
            self.outputs.push_back(output);
        } else {
            self.counters.dropped += 1;
        }
    }

    /// Makes sure that `from` is a client; false if there is no room.
    fn make_client(&mut self, from: ClientFlow, now: Instant) -> bool {
        if self.clients.contains_key(&from) {
            return true;
        }
        if self.clients.len() >= MAX_CLIENTS {
            let idle = self
                .clients
                .iter()
                .filter(|(_, client)| !client.has_relay());
            let Some(oldest) = idle
                .min_by_key(|(_, client)| client.seen())
                .map(|(flow, _)| *flow)
            else {
                self.counters.full += 1;
                return false;
            };
            self.forget(oldest);
        }
        let client = Client::new(from, self.settings.listen, now);
        self.alarms.insert((client.wake, from));
        self.clients.insert(from, client);
        true
    }

    fn forget(&mut self, flow: ClientFlow) {
        let Some(client) = self.clients.remove(&flow) else {
            return;
        };
        self.alarms.remove(&(client.wake, flow));
        for relay in client.into_relays() {
            self.relays.remove(&relay);
            self.outputs.push_back(TurnOutput::CloseRelay { relay });
        }
        if flow.transport == ClientTransport::Stream {
            self.outputs
                .push_back(TurnOutput::CloseClient { client: flow });
        }
    }
}

/// What to do with a request of a proven user.
enum Judgement {
    Serve,
    Refuse(u16),
    Repeat(Vec<u8>),
    Wait,
}
