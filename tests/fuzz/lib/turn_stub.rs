//! A TURN server with one client and no sockets (RFC 8656): it grants what it is asked, and its caller may alter every reply before
//! it is signed, so that a hostile server's lies pass the client's check of integrity.
//!
//! Not here: limits, credentials that end, lifetimes. The server that users run is `ringfence_box::turn`, and has a target of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::{
    IntegrityAlgorithm, LongTermCredentials, Message, MessageClass, MessageType, MessageWriteVec, Method, TransactionId,
};
use stun_types::prelude::{MessageWrite, MessageWriteExt};
use turn_types::attribute::{ChannelNumber, Data, Lifetime, XorPeerAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND};

pub const USER: &str = "1800000000:fuzz";
pub const PASSWORD: &str = "the password of the fuzzed leg";
const REALM: &str = "turn";

/// The relayed address of the client's allocation.
pub const RELAYED: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, 9), 50_001));

const XOR_PEER_ADDRESS: u16 = 0x0012;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const LIFETIME: u16 = 0x000d;
const ERROR_CODE: u16 = 0x0009;
const REALM_TYPE: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const DATA_TYPE: u16 = 0x0013;

/// Attributes that are written with their own functions alone: MESSAGE-INTEGRITY (both), FINGERPRINT.
const COMPUTED: [u16; 3] = [0x0008, 0x001c, 0x8028];

/// A message to the client before it is signed.
pub struct Reply {
    pub class: MessageClass,
    pub method: Method,
    pub transaction: TransactionId,
    pub attributes: Vec<(u16, Vec<u8>)>,
    pub is_signed: bool,
}

impl Reply {
    fn new(class: MessageClass, request: &Message<'_>, attributes: Vec<(u16, Vec<u8>)>) -> Self {
        Self {
            class,
            method: request.method(),
            transaction: request.transaction_id(),
            attributes,
            is_signed: true,
        }
    }

    /// The message's bytes.
    pub fn write(&self) -> Vec<u8> {
        let kind = MessageType::from_class_method(self.class, self.method);
        let mut message = Message::builder(kind, self.transaction, MessageWriteVec::new());
        for (kind, value) in &self.attributes {
            if !COMPUTED.contains(kind) {
                // An attribute that the library refuses to write is left out.
                let _ = message.add_attribute(&RawAttribute::new(AttributeType::new(*kind), value));
            }
        }
        if self.is_signed {
            let key = LongTermCredentials::new(USER.to_owned(), PASSWORD.to_owned()).to_key(REALM.to_owned());
            let _ = message.add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1);
        }
        message.finish()
    }
}

/// What a frame of the client means.
pub enum Heard {
    /// A request, and the reply that it deserves.
    Request(Reply),
    /// Data for a peer.
    ToPeer(SocketAddr, Vec<u8>),
    Nothing,
}

/// The server.
#[derive(Default)]
pub struct TurnStub {
    channels: BTreeMap<u16, SocketAddr>,
    /// Of the newest request, for messages that the caller writes by hand.
    pub last_request: Option<TransactionId>,
}

impl TurnStub {
    /// Reads one frame of the client.
    pub fn handle(&mut self, frame: &[u8]) -> Heard {
        if let [0x40..=0x7f, ..] = frame {
            return self.channel_data(frame);
        }
        let Ok(message) = Message::from_bytes(frame) else {
            return Heard::Nothing;
        };
        let peer = message.attribute::<XorPeerAddress>();
        let peer = peer.map(|peer| peer.addr(message.transaction_id())).ok();
        match message.class() {
            MessageClass::Request => {
                self.last_request = Some(message.transaction_id());
                Heard::Request(self.answer(&message, peer))
            }
            MessageClass::Indication if message.method() == SEND => match (peer, message.attribute::<Data<'_>>()) {
                (Some(peer), Ok(data)) => Heard::ToPeer(peer, data.data().to_vec()),
                _ => Heard::Nothing,
            },
            _ => Heard::Nothing,
        }
    }

    fn channel_data(&self, frame: &[u8]) -> Heard {
        let [a, b, c, d, data @ ..] = frame else {
            return Heard::Nothing;
        };
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        match (self.channels.get(&u16::from_be_bytes([*a, *b])), data.get(..length)) {
            (Some(peer), Some(data)) => Heard::ToPeer(*peer, data.to_vec()),
            _ => Heard::Nothing,
        }
    }

    fn answer(&mut self, request: &Message<'_>, peer: Option<SocketAddr>) -> Reply {
        let integrity = AttributeType::new(COMPUTED[0]);
        if !request.has_attribute(integrity) {
            let challenge = vec![
                (ERROR_CODE, vec![0, 0, 4, 1]),
                (REALM_TYPE, REALM.into()),
                (NONCE, b"a nonce".to_vec()),
            ];
            return Reply {
                is_signed: false,
                ..Reply::new(MessageClass::Error, request, challenge)
            };
        }
        let attributes = match request.method() {
            ALLOCATE => vec![
                (XOR_RELAYED_ADDRESS, xored(RELAYED)),
                (XOR_MAPPED_ADDRESS, xored(SocketAddr::from(([203, 0, 113, 7], 999)))),
                (LIFETIME, 600u32.to_be_bytes().to_vec()),
            ],
            REFRESH => {
                let wanted = request.attribute::<Lifetime>().map_or(600, |lifetime| lifetime.seconds());
                vec![(LIFETIME, wanted.to_be_bytes().to_vec())]
            }
            CHANNEL_BIND => {
                if let (Ok(channel), Some(peer)) = (request.attribute::<ChannelNumber>(), peer) {
                    self.channels.insert(channel.channel(), peer);
                }
                Vec::new()
            }
            CREATE_PERMISSION => Vec::new(),
            _ => return Reply::new(MessageClass::Error, request, vec![(ERROR_CODE, vec![0, 0, 4, 0])]),
        };
        Reply::new(MessageClass::Success, request, attributes)
    }

    /// The frame that carries a peer's data to the client: in a channel if one is bound.
    pub fn wrap(&self, from: SocketAddr, data: &[u8]) -> Vec<u8> {
        if let Some((channel, _)) = self.channels.iter().find(|(_, peer)| **peer == from) {
            let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
            return [&channel.to_be_bytes()[..], &length.to_be_bytes(), data].concat();
        }
        Reply {
            class: MessageClass::Indication,
            method: DATA,
            transaction: TransactionId::from(1),
            attributes: vec![(XOR_PEER_ADDRESS, xored(from)), (DATA_TYPE, data.to_vec())],
            is_signed: false,
        }
        .write()
    }
}

/// An IPv4 address as XOR-MAPPED-ADDRESS and its relatives write it (RFC 8489 section 14.2).
fn xored(addr: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(addr) = addr else {
        unreachable!("the stub has IPv4 alone");
    };
    let port = (addr.port() ^ 0x2112).to_be_bytes();
    let ip = (addr.ip().to_bits() ^ 0x2112_a442).to_be_bytes();
    [&[0, 1][..], &port, &ip].concat()
}
