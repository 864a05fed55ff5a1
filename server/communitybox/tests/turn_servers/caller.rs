//! A client that writes its own TURN messages (RFC 8656), so that no code under test judges itself.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermCredentials, Message, MessageClass, MessageType, MessageWriteVec,
    Method, TransactionId,
};
use stun_types::prelude::{MessageWrite, MessageWriteExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND};

/// Patience with an answer on loopback, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(5);

/// The way to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    Udp,
    Tcp,
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

pub(crate) struct Caller {
    socket: Socket,
    credentials: (String, String),
    realm: String,
    nonce: String,
}

/// Credentials as draft-uberti-behave-turn-rest-00 has them, good for so many seconds from now on.
pub(crate) fn credentials(secret: &str, user: &str, seconds: i64) -> (String, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = now.as_secs().checked_add_signed(seconds).unwrap();
    let username = format!("{end}:{user}");
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(username.as_bytes());
    (username, STANDARD.encode(mac.finalize().into_bytes()))
}

impl Caller {
    /// Connects and takes the server's challenge.
    pub(crate) async fn new(server: SocketAddr, wire: Wire, credentials: (String, String)) -> Self {
        let socket = match wire {
            Wire::Udp => {
                let socket = UdpSocket::bind((server.ip(), 0)).await.unwrap();
                socket.connect(server).await.unwrap();
                Socket::Udp(socket)
            }
            Wire::Tcp => Socket::Tcp(TcpStream::connect(server).await.unwrap()),
        };
        let mut caller = Self {
            socket,
            credentials,
            realm: String::new(),
            nonce: String::new(),
        };
        let mut bare = Message::builder_request(ALLOCATE, MessageWriteVec::new());
        let udp = RequestedTransport::new(RequestedTransport::UDP);
        bare.add_attribute(&udp).unwrap();
        let reply = caller.ask(&bare.finish()).await;
        let reply = Message::from_bytes(&reply).unwrap();
        assert_eq!(reply.attribute::<ErrorCode>().unwrap().code(), 401);
        caller.realm = reply.attribute::<Realm>().unwrap().realm().to_owned();
        caller.nonce = reply.attribute::<Nonce>().unwrap().nonce().to_owned();
        caller
    }

    /// A relayed address, or the code of the refusal.
    pub(crate) async fn allocate(&mut self) -> Result<SocketAddr, u16> {
        let udp = RequestedTransport::new(RequestedTransport::UDP);
        let id = TransactionId::generate();
        let request = self.signed(ALLOCATE, id, |message| {
            message.add_attribute(&udp).unwrap();
        });
        let reply = self.ask(&request).await;
        let reply = Message::from_bytes(&reply).unwrap();
        match reply.attribute::<ErrorCode>() {
            Ok(error) => Err(error.code()),
            Err(_) => Ok(reply.attribute::<XorRelayedAddress>().unwrap().addr(id)),
        }
    }

    /// Lets packets of a peer through.
    pub(crate) async fn permit(&mut self, peer: SocketAddr) -> Result<(), u16> {
        let id = TransactionId::generate();
        let peer = XorPeerAddress::new(peer, id);
        let request = self.signed(CREATE_PERMISSION, id, |message| {
            message.add_attribute(&peer).unwrap();
        });
        self.granted(&request).await
    }

    /// Binds the first channel to a peer.
    pub(crate) async fn bind_channel(&mut self, peer: SocketAddr) -> Result<(), u16> {
        let id = TransactionId::generate();
        let (peer, channel) = (XorPeerAddress::new(peer, id), ChannelNumber::new(0x4000));
        let request = self.signed(CHANNEL_BIND, id, |message| {
            message.add_attribute(&channel).unwrap();
            message.add_attribute(&peer).unwrap();
        });
        self.granted(&request).await
    }

    /// Gives the allocation back.
    pub(crate) async fn release(&mut self) -> Result<(), u16> {
        let end = Lifetime::new(0);
        let request = self.signed(REFRESH, TransactionId::generate(), |message| {
            message.add_attribute(&end).unwrap();
        });
        self.granted(&request).await
    }

    /// Sends a packet to a peer without waiting for anything.
    pub(crate) async fn send(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let id = TransactionId::generate();
        let kind = MessageType::from_class_method(MessageClass::Indication, SEND);
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        message
            .add_attribute(&XorPeerAddress::new(peer, id))
            .unwrap();
        message.add_attribute(&Data::new(bytes)).unwrap();
        self.tell(&message.finish()).await;
    }

    /// The next packet from a peer.
    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        let packet = self.hear().await;
        let message = Message::from_bytes(&packet).unwrap();
        assert!(message.has_method(DATA) && message.has_class(MessageClass::Indication));
        message.attribute::<Data<'_>>().unwrap().data().to_vec()
    }

    async fn granted(&mut self, request: &[u8]) -> Result<(), u16> {
        let reply = self.ask(request).await;
        let reply = Message::from_bytes(&reply).unwrap();
        reply
            .attribute::<ErrorCode>()
            .map_or(Ok(()), |error| Err(error.code()))
    }

    fn signed(
        &self,
        method: Method,
        id: TransactionId,
        fill: impl FnOnce(&mut MessageWriteVec),
    ) -> Vec<u8> {
        let kind = MessageType::from_class_method(MessageClass::Request, method);
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        fill(&mut message);
        let (username, password) = self.credentials.clone();
        message
            .add_attribute(&Username::new(&username).unwrap())
            .unwrap();
        message
            .add_attribute(&Realm::new(&self.realm).unwrap())
            .unwrap();
        message
            .add_attribute(&Nonce::new(&self.nonce).unwrap())
            .unwrap();
        let key = LongTermCredentials::new(username, password).to_key(self.realm.clone());
        message
            .add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1)
            .unwrap();
        message.finish()
    }

    async fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.tell(request).await;
        let reply = self.hear().await;
        assert_eq!(reply[4..20], request[4..20], "an answer to something else");
        reply
    }

    async fn tell(&mut self, bytes: &[u8]) {
        match &mut self.socket {
            Socket::Udp(socket) => assert_eq!(socket.send(bytes).await.unwrap(), bytes.len()),
            Socket::Tcp(stream) => stream.write_all(bytes).await.unwrap(),
        }
    }

    async fn hear(&mut self) -> Vec<u8> {
        let reading = async {
            let mut bytes = vec![0; 2048];
            match &mut self.socket {
                Socket::Udp(socket) => {
                    let length = socket.recv(&mut bytes).await.unwrap();
                    bytes.truncate(length);
                }
                Socket::Tcp(stream) => {
                    stream.read_exact(&mut bytes[..20]).await.unwrap();
                    let length = 20 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                    stream.read_exact(&mut bytes[20..length]).await.unwrap();
                    bytes.truncate(length);
                }
            }
            bytes
        };
        timeout(SOON, reading).await.unwrap()
    }
}
