//! Anything that clients and peers send to the embedded TURN server (RFC 8656): frames of any bytes, and requests with a right password
//! and wrong attributes, over UDP and over streams, while sockets open and fail to. It never panics and keeps its limits.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_box::turn::{
    AllocationId, ClientFlow, ClientTransport, MAX_CLIENTS, TurnLimits, TurnMachine, TurnMachineConfig, TurnOutput,
};
use ringfence_fuzz::start;
use stun_types::attribute::{AttributeType, Nonce, RawAttribute, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermCredentials, Message, MessageClass, MessageType, MessageWriteVec, Method, TransactionId,
};
use stun_types::prelude::{MessageWrite, MessageWriteExt};

const UNIX: u64 = 1_800_000_000;

/// Answers to one frame.
const MAX_ANSWERS: usize = 64;

struct Server {
    machine: TurnMachine,
    now: Instant,
    credentials: (String, String),
    challenge: Option<(String, String)>,
    sockets: Vec<AllocationId>,
    next_port: u16,
    transactions: u128,
    has_sockets: bool,
}

impl Server {
    fn new() -> Self {
        let secret = TurnSecret::new("secret".into());
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let credentials = rest_credentials(&secret, Duration::from_secs(7_200), UNIX, &mut rng);
        let config = TurnMachineConfig {
            listen: ([198, 51, 100, 1], 3478).into(),
            secret,
            allow_private: false,
            limits: TurnLimits::DEFAULT,
        };
        Self {
            machine: TurnMachine::new(config, start(), UNIX),
            now: start(),
            credentials,
            challenge: None,
            sockets: Vec::new(),
            next_port: 50_000,
            transactions: 0,
            has_sockets: true,
        }
    }

    fn handle(&mut self, flow: ClientFlow, bytes: &[u8]) {
        self.machine.handle_client(flow, bytes, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        let mut answers = 0;
        while let Some(output) = self.machine.poll() {
            answers += 1;
            assert!(answers < MAX_ANSWERS, "one input leads to {answers} outputs");
            match output {
                TurnOutput::ToClient { bytes, .. } => self.read_challenge(&bytes),
                TurnOutput::OpenSocket { allocation, .. } => {
                    self.next_port = self.next_port.wrapping_add(1);
                    let addr = self.has_sockets.then(|| ([198, 51, 100, 1], self.next_port).into());
                    self.sockets.push(allocation);
                    self.machine.handle_socket_opened(allocation, addr, self.now);
                }
                TurnOutput::CloseSocket { allocation } => self.sockets.retain(|open| *open != allocation),
                TurnOutput::ToPeer { .. } | TurnOutput::CloseClient { .. } => {}
            }
        }
        assert!(self.machine.allocations() <= MAX_CLIENTS);
    }

    fn read_challenge(&mut self, bytes: &[u8]) {
        let Ok(message) = Message::from_bytes(bytes) else {
            return;
        };
        if let (Ok(realm), Ok(nonce)) = (message.attribute::<Realm>(), message.attribute::<Nonce>()) {
            self.challenge = Some((realm.realm().to_owned(), nonce.nonce().to_owned()));
        }
    }

    /// A request with the attributes that `bytes` spell: type, length, value, one after the other.
    fn request(&mut self, method: u8, mut bytes: &[u8]) -> Vec<u8> {
        self.transactions += 1;
        let kind = MessageType::from_class_method(MessageClass::Request, Method::new(u16::from(method % 12)));
        let mut message = Message::builder(kind, TransactionId::from(self.transactions), MessageWriteVec::new());
        while let [high, low, length, rest @ ..] = bytes {
            let value;
            (value, bytes) = rest.split_at(usize::from(*length).min(rest.len()));
            let kind = u16::from_be_bytes([high & 0x80, *low]);
            // These are computed, not written.
            if ![0x0008, 0x001c, 0x8028].contains(&kind) {
                let _ = message.add_attribute(&RawAttribute::new(AttributeType::new(kind), value));
            }
        }
        if let Some((realm, nonce)) = &self.challenge {
            let (user, password) = self.credentials.clone();
            // A request that has one of these already is a wrong one, which is what is wanted.
            let _ = Username::new(&user).map(|user| message.add_attribute(&user).is_ok());
            let _ = Realm::new(realm).map(|realm| message.add_attribute(&realm).is_ok());
            let _ = Nonce::new(nonce).map(|nonce| message.add_attribute(&nonce).is_ok());
            let key = LongTermCredentials::new(user, password).to_key(realm.clone());
            let _ = message.add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1);
        }
        message.finish()
    }
}

fuzz_target!(|script: Vec<(u8, u8, Vec<u8>)>| {
    let mut server = Server::new();
    for (act, number, bytes) in script.iter().take(64) {
        let bytes = bytes.get(..bytes.len().min(1_500)).unwrap_or_default();
        let flow = ClientFlow {
            transport: if number & 1 == 0 { ClientTransport::Datagram } else { ClientTransport::Stream },
            addr: ([203, 0, 113, number >> 5], 999).into(),
        };
        match act % 8 {
            0 => server.handle(flow, bytes),
            // The same with the beginning of a message of TURN.
            1 => server.handle(flow, &[&[0, number % 12][..], bytes].concat()),
            2 | 3 => {
                let request = server.request(number >> 1, bytes);
                server.handle(flow, &request);
            }
            4 => {
                if let Some(allocation) = server.sockets.get(usize::from(*number) % server.sockets.len().max(1)) {
                    server.machine.handle_peer(*allocation, ([1, 1, 1, number % 4], 80).into(), bytes, server.now);
                    server.drain();
                }
            }
            5 => {
                server.now += Duration::from_secs(u64::from(*number) * 4);
                server.machine.handle_timeout(server.now);
                let due = server.machine.next_timeout().filter(|(at, _)| *at <= server.now);
                assert!(due.is_none(), "due for ever: {due:?}");
                server.drain();
            }
            6 => server.machine.handle_client_closed(flow, server.now),
            _ => server.has_sockets = number & 1 == 0,
        }
    }
});
