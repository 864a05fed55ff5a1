//! One TURN server of the simulated network: the community box's [`TurnMachine`], with addresses instead of sockets. It can die, come
//! back as an empty machine, and refuse.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::turn::{
    AllocationId, ClientFlow, ClientTransport, TurnLimits, TurnMachine, TurnMachineConfig,
    TurnOutput,
};

/// The first relayed port (RFC 8656 section 7.2: from 49152 on).
const FIRST_PORT: u16 = 49_152;

/// A server and its relayed addresses.
#[derive(Debug)]
pub struct SimulatedServer {
    /// Answers the requests of clients that it does not know, as coturn does after a restart: 438, then 437. Otherwise it drops them,
    /// as the embedded server does.
    pub answers_strangers: bool,
    settings: TurnMachineConfig,
    /// None while its process is dead.
    machine: Option<TurnMachine>,
    addresses: BTreeMap<AllocationId, SocketAddr>,
    next_port: u16,
    /// Clients that have asked this process for an allocation.
    met: BTreeSet<SocketAddr>,
    refuses_with: Option<u16>,
    refusals: Vec<SimulatedTurnOutput>,
}

/// What a server sends.
#[derive(Debug)]
pub(crate) enum SimulatedTurnOutput {
    ToClient {
        client: SocketAddr,
        bytes: Vec<u8>,
    },
    Relayed {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
}

impl SimulatedServer {
    pub(super) fn new(listen: SocketAddr, secret: TurnSecret, (now, unix): (Instant, u64)) -> Self {
        let settings = TurnMachineConfig {
            listen,
            secret,
            allow_private: false,
            limits: TurnLimits::DEFAULT,
        };
        Self {
            answers_strangers: false,
            machine: Some(TurnMachine::new(settings.clone(), now, unix)),
            settings,
            addresses: BTreeMap::new(),
            next_port: FIRST_PORT,
            met: BTreeSet::new(),
            refuses_with: None,
            refusals: Vec::new(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.settings.listen
    }

    /// Its address, which is that of its allocations too.
    pub fn ip(&self) -> IpAddr {
        self.settings.listen.ip()
    }

    /// Refuses each Allocate request with this error code from now on; `None`: none.
    pub fn refuse_with(&mut self, code: Option<u16>) {
        self.refuses_with = code;
    }

    /// Relayed addresses in use.
    pub fn relays(&self) -> usize {
        self.addresses.len()
    }

    /// Whether its process lives.
    pub fn is_alive(&self) -> bool {
        self.machine.is_some()
    }

    /// Gives the relayed ports of before out again, as a server may that has restarted.
    pub fn reuse_ports(&mut self) {
        self.next_port = FIRST_PORT;
    }

    pub(super) fn kill(&mut self) {
        self.machine = None;
        self.addresses.clear();
        self.met.clear();
        self.refusals.clear();
    }

    pub(super) fn restart(&mut self, now: Instant, unix: u64) {
        self.kill();
        self.machine = Some(TurnMachine::new(self.settings.clone(), now, unix));
    }

    pub(super) fn handle_client(&mut self, client: SocketAddr, bytes: &[u8], now: Instant) {
        let Some(machine) = &mut self.machine else {
            return;
        };
        let is_allocate = bytes.starts_with(&ALLOCATE);
        if let Some(code) = self.refuses_with.filter(|_| is_allocate) {
            let bytes = refusal(bytes, code);
            let refusal = SimulatedTurnOutput::ToClient { client, bytes };
            return self.refusals.push(refusal);
        }
        let is_request = bytes.first() == Some(&0);
        let is_met = is_allocate || (is_request && self.answers_strangers);
        let is_stranger = is_met && self.met.insert(client);
        if is_stranger && !is_allocate {
            // A request for an allocation makes the machine know the client; its challenge is not sent.
            machine.handle_client(flow(client), &CHALLENGE_REQUEST, now);
            while machine.poll().is_some() {}
        }
        machine.handle_client(flow(client), bytes, now);
    }

    /// Takes a packet from a peer to one of its relayed addresses.
    pub(super) fn handle_peer(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        now: Instant,
    ) {
        let relay = self.addresses.iter().find(|(_, address)| **address == to);
        // The other side may have released its allocation.
        if let (Some((relay, _)), Some(machine)) = (relay, &mut self.machine) {
            machine.handle_peer(*relay, from, bytes, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(machine) = &mut self.machine {
            machine.handle_timeout(now);
        }
    }

    pub(super) fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        self.machine.as_ref()?.next_timeout()
    }

    pub(super) fn drain(&mut self, now: Instant) -> Vec<SimulatedTurnOutput> {
        let mut out = std::mem::take(&mut self.refusals);
        let Some(machine) = &mut self.machine else {
            return out;
        };
        while let Some(output) = machine.poll() {
            match output {
                TurnOutput::ToClient { client, bytes } => out.push(SimulatedTurnOutput::ToClient {
                    client: client.addr,
                    bytes,
                }),
                TurnOutput::ToPeer {
                    allocation: relay,
                    peer,
                    bytes,
                } => {
                    if let Some(from) = self.addresses.get(&relay) {
                        out.push(SimulatedTurnOutput::Relayed {
                            from: *from,
                            to: peer,
                            bytes,
                        });
                    }
                }
                TurnOutput::OpenSocket {
                    allocation: relay,
                    ipv6,
                } => {
                    let address = SocketAddr::from((self.settings.listen.ip(), self.next_port));
                    let address = (!ipv6).then_some(address);
                    if let Some(address) = address {
                        self.next_port += 1;
                        self.addresses.insert(relay, address);
                    }
                    machine.handle_socket_opened(relay, address, now);
                }
                TurnOutput::CloseSocket { allocation: relay } => {
                    self.addresses.remove(&relay);
                }
                TurnOutput::CloseClient { .. } => {}
            }
        }
        out
    }
}

/// The first bytes of an Allocate request (RFC 8489 section 5).
const ALLOCATE: [u8; 2] = [0x00, 0x03];

/// An Allocate request without attributes, as a client sends it that has no realm and no nonce yet.
const CHALLENGE_REQUEST: [u8; 20] = [
    0x00, 0x03, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];

/// An error response to an Allocate request (RFC 8489 section 14.8).
fn refusal(request: &[u8], code: u16) -> Vec<u8> {
    let number = u8::try_from(code % 100).unwrap_or_default();
    let class = u8::try_from(code / 100).unwrap_or_default();
    let mut reply = vec![0x01, 0x13, 0, 8];
    reply.extend(request.get(4..20).unwrap_or_default());
    reply.extend([0x00, 0x09, 0, 4, 0, 0, class, number]);
    reply
}

fn flow(client: SocketAddr) -> ClientFlow {
    ClientFlow {
        transport: ClientTransport::Datagram,
        addr: client,
    }
}
