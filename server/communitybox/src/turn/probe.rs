//! One real allocation at a TURN server over UDP (RFC 8656 section 7): the proof that it lets engines in. The allocation is given back
//! at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{IntegrityAlgorithm, LongTermCredentials, Message, MessageWriteVec};
use stun_types::prelude::{MessageWrite, MessageWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn_types::AddressFamily;
use turn_types::attribute::{
    Lifetime, RequestedAddressFamily, RequestedTransport, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, REFRESH};

/// How long one answer is awaited, and how often a request is sent.
const PATIENCE: Duration = Duration::from_millis(700);
const ATTEMPTS: usize = 3;

/// Longest answer.
const DATAGRAM: usize = 1500;

/// Why there was no allocation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeFault {
    /// No socket, or no way to the server.
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// Three requests, no answer.
    #[error("it does not answer")]
    Silent,
    /// It answers what no TURN server would.
    #[error("it does not speak TURN")]
    NotTurn,
    /// It says no.
    #[error("it refuses an allocation with {0}")]
    Refused(u16),
}

/// Gets an allocation with these credentials and gives it back; its address.
///
/// # Errors
/// [`ProbeFault`].
pub async fn probe(
    server: SocketAddr,
    (username, password): &(String, String),
) -> Result<SocketAddr, ProbeFault> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let mut first = Message::builder_request(ALLOCATE, MessageWriteVec::new());
    let udp = RequestedTransport::new(RequestedTransport::UDP);
    first.add_attribute(&udp).map_err(|_| ProbeFault::NotTurn)?;
    let challenge = ask(&socket, &first.finish()).await?;
    let challenge = Message::from_bytes(&challenge).map_err(|_| ProbeFault::NotTurn)?;
    let login = Login::answer(&challenge, username, password).ok_or(ProbeFault::NotTurn)?;
    let second = login.allocate(server).ok_or(ProbeFault::NotTurn)?;
    let reply = ask(&socket, &second).await?;
    let reply = Message::from_bytes(&reply).map_err(|_| ProbeFault::NotTurn)?;
    if let Ok(error) = reply.attribute::<ErrorCode>() {
        return Err(ProbeFault::Refused(error.code()));
    }
    let relayed = reply
        .attribute::<XorRelayedAddress>()
        .map_err(|_| ProbeFault::NotTurn)?
        .addr(reply.transaction_id());
    // It ends by itself otherwise.
    if let Some(farewell) = login.give_back() {
        let _ = ask(&socket, &farewell).await;
    }
    Ok(relayed)
}

/// What a signed request needs.
struct Login {
    credentials: LongTermCredentials,
    username: String,
    realm: String,
    nonce: String,
}

impl Login {
    /// Takes realm and nonce from a 401.
    fn answer(challenge: &Message<'_>, username: &str, password: &str) -> Option<Self> {
        Some(Self {
            credentials: LongTermCredentials::new(username.to_owned(), password.to_owned()),
            username: username.to_owned(),
            realm: challenge.attribute::<Realm>().ok()?.realm().to_owned(),
            nonce: challenge.attribute::<Nonce>().ok()?.nonce().to_owned(),
        })
    }

    /// An allocation in the address family of the server: without a word on it, servers give one of IPv4 (RFC 8656 section 7.1).
    fn allocate(&self, server: SocketAddr) -> Option<Vec<u8>> {
        let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
        let udp = RequestedTransport::new(RequestedTransport::UDP);
        request.add_attribute(&udp).ok()?;
        if server.is_ipv6() {
            let family = RequestedAddressFamily::new(AddressFamily::IPV6);
            request.add_attribute(&family).ok()?;
        }
        self.sign(request)
    }

    fn give_back(&self) -> Option<Vec<u8>> {
        let mut request = Message::builder_request(REFRESH, MessageWriteVec::new());
        request.add_attribute(&Lifetime::new(0)).ok()?;
        self.sign(request)
    }

    fn sign(&self, mut request: MessageWriteVec) -> Option<Vec<u8>> {
        request
            .add_attribute(&Username::new(&self.username).ok()?)
            .ok()?;
        request.add_attribute(&Realm::new(&self.realm).ok()?).ok()?;
        request.add_attribute(&Nonce::new(&self.nonce).ok()?).ok()?;
        let key = self.credentials.to_key(self.realm.clone());
        request
            .add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1)
            .ok()?;
        Some(request.finish())
    }
}

async fn ask(socket: &UdpSocket, request: &[u8]) -> Result<Vec<u8>, ProbeFault> {
    let mut buffer = [0; DATAGRAM];
    let mut refusal = None;
    for _ in 0..ATTEMPTS {
        socket.send(request).await?;
        match timeout(PATIENCE, socket.recv(&mut buffer)).await {
            // The number of the transaction (RFC 8489 section 5).
            Ok(Ok(length)) if length >= 20 && buffer.get(4..20) == request.get(4..20) => {
                return Ok(buffer.get(..length).unwrap_or_default().to_vec());
            }
            // No server listens on this port of this machine yet.
            Ok(Err(error)) => {
                refusal = Some(error);
                tokio::time::sleep(PATIENCE / 7).await;
            }
            Ok(Ok(_)) | Err(_) => {}
        }
    }
    Err(refusal.map_or(ProbeFault::Silent, ProbeFault::Unreachable))
}
