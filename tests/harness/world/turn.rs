//! The TURN server of the simulated network: the community box's [`TurnMachine`], with addresses instead of sockets.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand_core::CryptoRng;
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_box::turn::{
    AllocationId, ClientFlow, ClientTransport, TurnLimits, TurnMachine, TurnMachineConfig,
    TurnOutput,
};

/// A public address. Addresses for documentation are refused as relayed addresses by both the WebRTC leg and the server.
pub const TURN_IP: Ipv4Addr = Ipv4Addr::new(11, 22, 33, 44);

/// Where the server listens (RFC 8656 section 7).
pub const TURN_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(TURN_IP), 3478);

/// The first relayed port (RFC 8656 section 7.2: from 49152 on).
const FIRST_PORT: u16 = 49_152;

/// How long credentials are valid.
const CREDENTIALS: Duration = Duration::from_secs(3600);

/// The server and its relayed addresses.
#[derive(Debug)]
pub struct SimulatedTurn {
    machine: TurnMachine,
    secret: TurnSecret,
    addresses: BTreeMap<AllocationId, SocketAddr>,
    next_port: u16,
    misdirected: Vec<SocketAddr>,
    refuses_with: Option<u16>,
    refusals: Vec<SimulatedTurnOutput>,
}

/// What the server sends.
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

impl SimulatedTurn {
    pub(crate) fn new(now: Instant, unix: u64) -> Self {
        let secret = TurnSecret::new("lighthouse".into());
        let settings = TurnMachineConfig {
            listen: TURN_ADDRESS,
            secret: secret.clone(),
            allow_private: false,
            limits: TurnLimits::DEFAULT,
        };
        Self {
            machine: TurnMachine::new(settings, now, unix),
            secret,
            addresses: BTreeMap::new(),
            next_port: FIRST_PORT,
            misdirected: Vec::new(),
            refuses_with: None,
            refusals: Vec::new(),
        }
    }

    /// A user name and its password.
    pub(crate) fn credentials(&self, unix: u64, rng: &mut impl CryptoRng) -> (String, String) {
        rest_credentials(&self.secret, CREDENTIALS, unix, rng)
    }

    /// Issues credentials of another secret from now on, which the server refuses.
    pub fn forget_secret(&mut self) {
        self.secret = TurnSecret::new("another lighthouse".into());
    }

    /// Refuses each Allocate request with this error code from now on; `None`: none.
    pub fn refuse_with(&mut self, code: Option<u16>) {
        self.refuses_with = code;
    }

    /// Relayed addresses in use.
    pub fn relays(&self) -> usize {
        self.addresses.len()
    }

    /// Destinations of packets that are not addresses of this server.
    pub fn misdirected(&self) -> &[SocketAddr] {
        &self.misdirected
    }

    pub(crate) fn handle_client(&mut self, client: SocketAddr, bytes: &[u8], now: Instant) {
        match self.refuses_with {
            Some(code) if bytes.starts_with(&ALLOCATE) => {
                let bytes = refusal(bytes, code);
                let refusal = SimulatedTurnOutput::ToClient { client, bytes };
                self.refusals.push(refusal);
            }
            _ => self.machine.handle_client(flow(client), bytes, now),
        }
    }

    pub(crate) fn handle_relayed(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        now: Instant,
    ) {
        let relay = self.addresses.iter().find(|(_, address)| **address == to);
        match relay.map(|(relay, _)| *relay) {
            Some(relay) => self.machine.handle_peer(relay, from, bytes, now),
            // The other side has released its allocation.
            None if to.ip() == TURN_IP => {}
            None => self.misdirected.push(to),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    pub(crate) fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        self.machine.next_timeout()
    }

    pub(crate) fn drain(&mut self, now: Instant) -> Vec<SimulatedTurnOutput> {
        let mut out = std::mem::take(&mut self.refusals);
        while let Some(output) = self.machine.poll() {
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
                    let address = (!ipv6).then(|| self.open(relay));
                    self.machine.handle_socket_opened(relay, address, now);
                }
                TurnOutput::CloseSocket { allocation: relay } => {
                    self.addresses.remove(&relay);
                }
                TurnOutput::CloseClient { .. } => {}
            }
        }
        out
    }

    fn open(&mut self, relay: AllocationId) -> SocketAddr {
        let address = SocketAddr::from((TURN_IP, self.next_port));
        self.next_port += 1;
        self.addresses.insert(relay, address);
        address
    }
}

/// The first bytes of an Allocate request (RFC 8489 section 5).
const ALLOCATE: [u8; 2] = [0x00, 0x03];

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
