//! A small TURN server (RFC 8656) for the demo, the tests and the box of a small community.
//!
//! [`TurnMachine`] is bytes and time: the shell gives it what its sockets hear, and opens, closes and writes to sockets as it
//! says. [`service`] is such a shell. Around turn-server-proto it adds time-limited credentials, a rule for peers, and
//! limits. It has no TLS, no TCP allocations (RFC 6062), no reservations; the open internet wants [`coturn`], which [`coturn`] supervises.

mod addresses;
#[cfg(feature = "server")]
mod allocation_sockets;
mod client;
mod client_packet;
#[cfg(all(feature = "server", unix))]
pub mod coturn;
mod interface;
#[cfg(feature = "server")]
mod plan;
#[cfg(feature = "server")]
pub mod probe;
mod quota;
mod repetition;
mod requests;
#[cfg(feature = "server")]
pub mod service;
#[cfg(feature = "server")]
mod streams;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use self::client::{REALM, TurnClient, Work};
use self::client_packet::ClientPacket;
pub use self::interface::{
    AllocationId, ClientFlow, ClientTransport, TurnCounters, TurnMachineConfig, TurnOutput,
};
#[cfg(feature = "server")]
pub use self::plan::{TurnPlan, TurnTls};
pub use self::quota::TurnLimits;

/// Clients at once. When full, the client without an allocation that was silent longest is forgotten; if all have allocations, the
/// new one is not heard.
pub const MAX_CLIENTS: usize = 1024;

/// Outputs that may wait for [`TurnMachine::poll`]; when full, packets are dropped, as a network would.
const MAX_OUTPUTS: usize = 4096;

/// The TURN server, as bytes and time.
#[derive(Debug)]
pub struct TurnMachine {
    settings: TurnMachineConfig,
    base: (Instant, u64),
    clients: BTreeMap<ClientFlow, TurnClient>,
    allocations: BTreeMap<AllocationId, (ClientFlow, bool)>,
    next_allocation: u64,
    alarms: BTreeSet<(Instant, ClientFlow)>,
    outputs: VecDeque<TurnOutput>,
    counters: TurnCounters,
}

impl TurnMachine {
    /// Makes a server; `unix` is the time in seconds since 1970 at `now`, for the end of credentials.
    pub fn new(settings: TurnMachineConfig, now: Instant, unix: u64) -> Self {
        Self {
            settings,
            base: (now, unix),
            clients: BTreeMap::new(),
            allocations: BTreeMap::new(),
            next_allocation: 0,
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
            client.framer.push(bytes);
        }
        // A frame may end the client.
        while let Some(frame) = self
            .clients
            .get_mut(&from)
            .and_then(|client| client.framer.next_frame())
        {
            match frame {
                Ok(frame) => self.handle_frame(from, &frame, now),
                Err(ringfence_turn_framing::NotTurn) => self.forget(from),
            }
        }
    }

    /// A client's stream ended: its allocation goes with it.
    pub fn handle_client_closed(&mut self, from: ClientFlow, _now: Instant) {
        self.forget(from);
    }

    /// An allocation socket is open at this address, or could not be opened.
    pub fn handle_socket_opened(
        &mut self,
        allocation: AllocationId,
        addr: Option<SocketAddr>,
        now: Instant,
    ) {
        let Some((flow, ipv6)) = self.allocations.get(&allocation).copied() else {
            return;
        };
        if addr.is_none() {
            self.allocations.remove(&allocation);
        }
        self.with_client(flow, |client, new_allocation| {
            client.handle_opened(allocation, addr, ipv6, now, new_allocation)
        });
    }

    /// Takes a datagram from an allocation socket.
    pub fn handle_peer(
        &mut self,
        allocation: AllocationId,
        peer: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) {
        let Some((flow, _)) = self.allocations.get(&allocation).copied() else {
            return;
        };
        let rate = self.settings.limits.bytes_per_second;
        let Some(client) = self.clients.get_mut(&flow) else {
            return;
        };
        if client.from_peers.admit(bytes.len(), rate, now) {
            let work = client.handle_peer(allocation, peer, bytes, now);
            self.carry_out(flow, work);
        } else {
            self.counters.cut += 1;
        }
    }

    /// Time has passed: call at the latest at [`next_timeout`](Self::next_timeout).
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
                self.with_client(flow, |client, new_allocation| {
                    client.handle_timeout(now, new_allocation)
                });
            }
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<TurnOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn next_timeout(&self) -> Option<(Instant, &'static str)> {
        self.alarms
            .first()
            .map(|(at, _)| (*at, "TURN client's permissions and lifetime"))
    }

    /// What was refused so far.
    pub fn counters(&self) -> TurnCounters {
        self.counters
    }

    /// Allocations open at the moment.
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    fn handle_frame(&mut self, from: ClientFlow, frame: &[u8], now: Instant) {
        let (start, unix) = self.base;
        let unix = unix.saturating_add(now.saturating_duration_since(start).as_secs());
        let secret = self.settings.secret.clone();
        match client_packet::read(frame, &secret, REALM, unix) {
            ClientPacket::Data => self.handle_data(from, frame, now),
            ClientPacket::Request(request) => self.handle_request(from, &request, frame, now),
            ClientPacket::Other => self.counters.dropped += 1,
        }
    }

    fn handle_data(&mut self, from: ClientFlow, frame: &[u8], now: Instant) {
        let rate = self.settings.limits.bytes_per_second;
        let Some(client) = self.clients.get_mut(&from) else {
            self.counters.dropped += 1;
            return;
        };
        if client.to_peers.admit(frame.len(), rate, now) {
            self.serve(from, frame, now);
        } else {
            self.counters.cut += 1;
        }
    }

    fn serve(&mut self, from: ClientFlow, frame: &[u8], now: Instant) {
        self.with_client(from, |client, new_allocation| {
            client.handle_frame(frame, now, new_allocation)
        });
    }

    /// Lets a client work, carries out what it wants, and notes when it wants to be woken.
    fn with_client(
        &mut self,
        flow: ClientFlow,
        work: impl FnOnce(&mut TurnClient, &mut dyn FnMut() -> AllocationId) -> Vec<Work>,
    ) {
        let Some(client) = self.clients.get_mut(&flow) else {
            return;
        };
        let before = client.wake;
        let next = &mut self.next_allocation;
        let mut new_allocation = || {
            *next += 1;
            AllocationId(*next)
        };
        let done = work(client, &mut new_allocation);
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
                Work::ToPeer {
                    allocation,
                    peer,
                    bytes,
                } => self.say(TurnOutput::ToPeer {
                    allocation,
                    peer,
                    bytes,
                }),
                Work::Open { allocation, ipv6 } => {
                    self.allocations.insert(allocation, (flow, ipv6));
                    self.outputs
                        .push_back(TurnOutput::OpenSocket { allocation, ipv6 });
                }
                Work::Close { allocation } => {
                    self.allocations.remove(&allocation);
                    self.outputs
                        .push_back(TurnOutput::CloseSocket { allocation });
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
                .filter(|(_, client)| !client.has_allocation());
            let Some(oldest) = idle
                .min_by_key(|(_, client)| client.seen())
                .map(|(flow, _)| *flow)
            else {
                self.counters.full += 1;
                return false;
            };
            self.forget(oldest);
        }
        let client = TurnClient::new(from, &self.settings, now);
        self.alarms.insert((client.wake, from));
        self.clients.insert(from, client);
        true
    }

    fn forget(&mut self, flow: ClientFlow) {
        let Some(client) = self.clients.remove(&flow) else {
            return;
        };
        self.alarms.remove(&(client.wake, flow));
        for allocation in client.into_allocations() {
            self.allocations.remove(&allocation);
            self.outputs
                .push_back(TurnOutput::CloseSocket { allocation });
        }
        if flow.transport == ClientTransport::Stream {
            self.outputs
                .push_back(TurnOutput::CloseClient { client: flow });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
    use std::time::Duration;
    use stun_types::attribute::{AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username};
    use stun_types::message::{
        IntegrityAlgorithm, LongTermCredentials, Message, MessageClass, MessageType,
        MessageWriteVec, Method, TransactionId,
    };
    use stun_types::prelude::{MessageWrite, MessageWriteExt};
    use turn_types::attribute::{
        Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
    };
    use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};

    use super::*;

    const UNIX: u64 = 1_700_000_000;

    /// A client that writes its own messages, as wrong as a test wants.
    struct Caller {
        machine: TurnMachine,
        now: Instant,
        flow: ClientFlow,
        credentials: (String, String),
        nonce: String,
        allocation: Option<AllocationId>,
    }

    impl Caller {
        fn new(transport: ClientTransport, allow_private: bool) -> Self {
            let secret = TurnSecret::new("secret".into());
            let credentials = rest_credentials(
                &secret,
                Duration::from_secs(60),
                UNIX,
                &mut ChaCha20Rng::from_seed([9; 32]),
            );
            let now = Instant::now();
            let settings = TurnMachineConfig {
                listen: "198.51.100.1:3478".parse().unwrap(),
                secret,
                allow_private,
                limits: TurnLimits::DEFAULT,
            };
            let flow = ClientFlow {
                transport,
                addr: "203.0.113.7:999".parse().unwrap(),
            };
            let machine = TurnMachine::new(settings, now, UNIX);
            let mut caller = Self {
                machine,
                now,
                flow,
                credentials,
                nonce: String::new(),
                allocation: None,
            };
            let challenge = caller
                .exchange(&Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish());
            let challenge = Message::from_bytes(&challenge).unwrap();
            caller.nonce = challenge.attribute::<Nonce>().unwrap().nonce().to_owned();
            assert_eq!(challenge.attribute::<Realm>().unwrap().realm(), REALM);
            caller
        }

        fn allocated(transport: ClientTransport, allow_private: bool) -> Self {
            let mut caller = Self::new(transport, allow_private);
            let (udp, lifetime) = (
                RequestedTransport::new(RequestedTransport::UDP),
                Lifetime::new(600),
            );
            let request = caller.signed(ALLOCATE, |message| {
                message.add_attribute(&udp).unwrap();
                message.add_attribute(&lifetime).unwrap();
            });
            let reply = caller.exchange(&request);
            assert!(
                Message::from_bytes(&reply)
                    .unwrap()
                    .attribute::<XorRelayedAddress>()
                    .is_ok()
            );
            // Its answer was lost: the repetition gets the same one.
            assert_eq!(caller.exchange(&request), reply);
            assert_eq!(caller.machine.allocations(), 1);
            caller
        }

        fn signed(&self, method: Method, fill: impl FnOnce(&mut MessageWriteVec)) -> Vec<u8> {
            let kind = MessageType::from_class_method(MessageClass::Request, method);
            let mut message =
                Message::builder(kind, TransactionId::generate(), MessageWriteVec::new());
            fill(&mut message);
            let (username, password) = self.credentials.clone();
            // A message may already hold these, in which case it is a wrong one.
            let _ = message.add_attribute(&Username::new(&username).unwrap());
            let _ = message.add_attribute(&Realm::new(REALM).unwrap());
            let _ = message.add_attribute(&Nonce::new(&self.nonce).unwrap());
            let key = LongTermCredentials::new(username, password).to_key(REALM.into());
            let _ = message.add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1);
            message.finish()
        }

        fn peer_request(&self, method: Method, peer: &str) -> Vec<u8> {
            let peer: SocketAddr = peer.parse().unwrap();
            let id = TransactionId::generate();
            let kind = MessageType::from_class_method(MessageClass::Request, method);
            let mut message = Message::builder(kind, id, MessageWriteVec::new());
            message
                .add_attribute(&XorPeerAddress::new(peer, id))
                .unwrap();
            let (username, password) = self.credentials.clone();
            message
                .add_attribute(&Username::new(&username).unwrap())
                .unwrap();
            message.add_attribute(&Realm::new(REALM).unwrap()).unwrap();
            message
                .add_attribute(&Nonce::new(&self.nonce).unwrap())
                .unwrap();
            let key = LongTermCredentials::new(username, password).to_key(REALM.into());
            message
                .add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1)
                .unwrap();
            message.finish()
        }

        /// Sends a frame; the last answer.
        fn exchange(&mut self, frame: &[u8]) -> Vec<u8> {
            self.machine.handle_client(self.flow, frame, self.now);
            let mut answer = Vec::new();
            while let Some(output) = self.machine.poll() {
                match output {
                    TurnOutput::ToClient { bytes, .. } => answer = bytes,
                    TurnOutput::OpenSocket { allocation, .. } => {
                        self.allocation = Some(allocation);
                        self.machine.handle_socket_opened(
                            allocation,
                            Some("198.51.100.1:50000".parse().unwrap()),
                            self.now,
                        );
                    }
                    _ => {}
                }
            }
            answer
        }

        fn code(&mut self, frame: &[u8]) -> Option<u16> {
            let answer = self.exchange(frame);
            Message::from_bytes(&answer)
                .ok()?
                .attribute::<ErrorCode>()
                .ok()
                .map(|error| error.code())
        }
    }

    #[test]
    fn peers_in_the_operators_network_are_forbidden() {
        let mut caller = Caller::allocated(ClientTransport::Datagram, false);
        for peer in [
            "127.0.0.1:80",
            "10.0.0.1:80",
            "169.254.169.254:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            for method in [CREATE_PERMISSION, CHANNEL_BIND] {
                let request = caller.peer_request(method, peer);
                assert_eq!(caller.code(&request), Some(403), "{peer}");
            }
        }
        let request = caller.peer_request(CREATE_PERMISSION, "1.1.1.1:80");
        assert_eq!(caller.code(&request), None);
        assert_eq!(caller.machine.counters().refused, 10);
        let mut demo = Caller::allocated(ClientTransport::Datagram, true);
        let request = demo.peer_request(CREATE_PERMISSION, "127.0.0.1:80");
        assert_eq!(demo.code(&request), None);
    }

    #[test]
    fn one_client_has_a_bounded_number_of_peers() {
        let mut caller = Caller::allocated(ClientTransport::Datagram, false);
        let mut codes = Vec::new();
        for index in 0..40 {
            let request = caller.peer_request(CREATE_PERMISSION, &format!("1.1.1.{index}:80"));
            codes.push(caller.code(&request));
        }
        assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 32);
        assert_eq!(codes.last(), Some(&Some(508)));
    }

    #[test]
    fn wrong_and_foreign_passwords_get_the_challenge_again() {
        let mut caller = Caller::new(ClientTransport::Datagram, false);
        caller.credentials.1 = "wrong".into();
        let request = caller.signed(ALLOCATE, |_| {});
        assert_eq!(caller.code(&request), Some(401));
        caller.credentials = ("alice".into(), "secret1".into());
        let request = caller.signed(ALLOCATE, |_| {});
        assert_eq!(caller.code(&request), Some(401));
        assert_eq!(caller.machine.allocations(), 0);
    }

    #[test]
    fn a_flood_from_either_side_is_cut_to_the_rate() {
        let mut caller = Caller::allocated(ClientTransport::Datagram, false);
        let peer: SocketAddr = "1.1.1.1:80".parse().unwrap();
        let request = caller.peer_request(CREATE_PERMISSION, "1.1.1.1:80");
        assert_eq!(caller.code(&request), None);
        let id = TransactionId::generate();
        let kind = MessageType::from_class_method(MessageClass::Indication, SEND);
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        message
            .add_attribute(&XorPeerAddress::new(peer, id))
            .unwrap();
        let sound = Data::new(&[7; 1000]);
        message.add_attribute(&sound).unwrap();
        let (frame, allocation) = (message.finish(), caller.allocation.unwrap());
        let (mut out, mut back) = (0, 0);
        for _ in 0..500 {
            caller
                .machine
                .handle_client(caller.flow, &frame, caller.now);
            caller
                .machine
                .handle_peer(allocation, peer, &[8; 1000], caller.now);
            while let Some(output) = caller.machine.poll() {
                match output {
                    TurnOutput::ToPeer { .. } => out += 1,
                    TurnOutput::ToClient { .. } => back += 1,
                    _ => {}
                }
            }
        }
        let rate = TurnLimits::DEFAULT.bytes_per_second as usize;
        assert_eq!((out, back), (rate / frame.len(), rate / 1000));
        let cut = caller.machine.counters().cut;
        assert_eq!(cut, (1_000 - out - back) as u64);
    }

    #[test]
    fn a_closed_stream_takes_its_allocation_with_it() {
        let mut caller = Caller::allocated(ClientTransport::Stream, false);
        caller.machine.handle_client_closed(caller.flow, caller.now);
        let outputs: Vec<TurnOutput> = std::iter::from_fn(|| caller.machine.poll()).collect();
        assert!(
            matches!(
                outputs[..],
                [
                    TurnOutput::CloseSocket { .. },
                    TurnOutput::CloseClient { .. }
                ]
            ),
            "{outputs:?}"
        );
        assert_eq!(caller.machine.allocations(), 0);
    }

    #[test]
    fn a_stream_that_is_not_turn_is_closed() {
        let mut caller = Caller::allocated(ClientTransport::Stream, false);
        caller
            .machine
            .handle_client(caller.flow, b"\x80GET / HTTP/1.1\r\n", caller.now);
        assert_eq!(caller.machine.allocations(), 0);
    }

    #[test]
    fn clients_without_an_allocation_are_forgotten_and_never_push_one_out() {
        let mut caller = Caller::allocated(ClientTransport::Datagram, false);
        let request = Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish();
        for index in 0..2 * MAX_CLIENTS {
            let addr =
                SocketAddr::new([100, 1, (index / 256) as u8, (index % 256) as u8].into(), 9);
            caller.machine.handle_client(
                ClientFlow {
                    transport: ClientTransport::Datagram,
                    addr,
                },
                &request,
                caller.now,
            );
            while caller.machine.poll().is_some() {}
        }
        assert_eq!(caller.machine.clients.len(), MAX_CLIENTS);
        assert_eq!(caller.machine.allocations(), 1);
        caller.now += Duration::from_secs(61);
        caller.machine.handle_timeout(caller.now);
        assert_eq!(caller.machine.clients.len(), 1);
        assert_eq!(caller.machine.alarms.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn a_user_cannot_break_the_server_with_any_attributes(
            methods in prop::collection::vec(0usize..4, 1..6),
            attributes in prop::collection::vec((prop::sample::select(vec![
                0x0006u16, 0x000c, 0x000d, 0x0012, 0x0013, 0x0014, 0x0015, 0x0017, 0x0018, 0x0019, 0x001a, 0x001e, 0x0022, 0x0024,
                0x002a, 0x8000, 0x8002, 0x8022, 0x8028, 0x7fff,
            ]), prop::collection::vec(any::<u8>(), 0..24)), 0..6),
            stream: bool,
        ) {
            let transport = if stream { ClientTransport::Stream } else { ClientTransport::Datagram };
            let mut caller = Caller::allocated(transport, true);
            for method in methods {
                let method = [ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND][method];
                let request = caller.signed(method, |message| {
                    for (kind, value) in &attributes {
                        if *kind != 0x8028 {
                            let _ = message.add_attribute(&RawAttribute::new(AttributeType::new(*kind), value));
                        }
                    }
                });
                caller.exchange(&request);
            }
            for _ in 0..3 {
                caller.now += Duration::from_secs(700);
                caller.machine.handle_timeout(caller.now);
            }
        }

        #[test]
        fn no_bytes_break_the_server(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..8), stream: bool) {
            let transport = if stream { ClientTransport::Stream } else { ClientTransport::Datagram };
            let mut caller = Caller::allocated(transport, true);
            let allocation = caller.allocation.unwrap();
            for frame in frames {
                caller.machine.handle_peer(allocation, "1.1.1.1:1".parse().unwrap(), &frame, caller.now);
                caller.exchange(&frame);
                // The same with a plausible beginning.
                for first in [[0, 3], [0, 4], [0, 8], [0, 9], [0, 0x16], [0x40, 0], [0, 1], [1, 3]] {
                    let mut frame = frame.clone();
                    frame.splice(..frame.len().min(2), first);
                    if let Some(cookie) = frame.get_mut(4..8) {
                        cookie.copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
                    }
                    caller.exchange(&frame);
                }
            }
        }
    }
}
