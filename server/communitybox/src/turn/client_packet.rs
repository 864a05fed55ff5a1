//! Reads the packets of clients before turn-server-proto sees them, which knows neither time-limited credentials nor forbidden peers,
//! nor a limit on what one user may hold.
//!
//! Reads requests (RFC 8489 section 9.2, RFC 8656 sections 7 and 9); never trusts a user name before its integrity is checked.

use std::net::IpAddr;

use ringfence_book::turn_credentials::{TurnSecret, expiry, password_for};
use stun_types::attribute::{ErrorCode, MessageIntegrity, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageWriteVec,
};
use stun_types::prelude::{AttributeStaticType, MessageWrite, MessageWriteExt};
use turn_types::attribute::XorPeerAddress;
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};

/// Peer addresses looked at in one request; CreatePermission may carry several.
const MAX_PEERS_IN_REQUEST: usize = 8;

/// What a packet from a client is.
pub(super) enum ClientPacket<'a> {
    /// ChannelData or a Send indication: passed on unchanged.
    Data,
    /// A TURN request.
    Request(TurnRequest<'a>),
    /// Anything else: no engine sends it.
    Other,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnMethod {
    /// A new allocation.
    Allocate,
    /// Keeping or ending an allocation.
    Refresh,
    /// Peers to exchange packets with.
    Peers,
}

/// A request and what its credentials say.
pub(super) struct TurnRequest<'a> {
    message: Message<'a>,
    pub(super) method: TurnMethod,
    pub(super) credentials: CredentialState,
}

/// What the credentials of a request prove.
#[derive(Debug)]
pub(super) enum CredentialState {
    /// No credentials, or wrong ones: turn-server-proto answers with its challenge.
    Missing,
    /// The password fits, but the time is over.
    Expired(ProvedUser),
    /// A user whose password fits.
    User(ProvedUser),
}

/// A user name whose password was used in the request.
pub(super) struct ProvedUser {
    pub(super) username: String,
    pub(super) password: String,
    credentials: MessageIntegrityCredentials,
}

impl std::fmt::Debug for ProvedUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProvedUser(..)")
    }
}

/// Reads a packet from a client.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    secret: &TurnSecret,
    realm: &str,
    unix: u64,
) -> ClientPacket<'a> {
    if bytes.first().is_some_and(|byte| byte >> 6 == 1) {
        return ClientPacket::Data;
    }
    let Ok(message) = Message::from_bytes(bytes) else {
        return ClientPacket::Other;
    };
    let method = match (message.class(), message.method()) {
        (MessageClass::Indication, SEND) => return ClientPacket::Data,
        (MessageClass::Request, ALLOCATE) => TurnMethod::Allocate,
        (MessageClass::Request, REFRESH) => TurnMethod::Refresh,
        (MessageClass::Request, CREATE_PERMISSION | CHANNEL_BIND) => TurnMethod::Peers,
        _ => return ClientPacket::Other,
    };
    let credentials = read_credentials(&message, secret, realm, unix);
    ClientPacket::Request(TurnRequest {
        message,
        method,
        credentials,
    })
}

fn read_credentials(
    message: &Message<'_>,
    secret: &TurnSecret,
    realm: &str,
    unix: u64,
) -> CredentialState {
    let Ok(username) = message.attribute::<Username>() else {
        return CredentialState::Missing;
    };
    let username = username.username().to_owned();
    let Some(end) = expiry(&username) else {
        return CredentialState::Missing;
    };
    if !message.has_attribute(MessageIntegrity::TYPE) {
        return CredentialState::Missing;
    }
    let password = password_for(secret, &username);
    let key = LongTermCredentials::new(username.clone(), password.clone()).to_key(realm.to_owned());
    let credentials = MessageIntegrityCredentials::LongTerm(key);
    if message.validate_integrity(&credentials).is_err() {
        return CredentialState::Missing;
    }
    let proof = ProvedUser {
        username,
        password,
        credentials,
    };
    if end < unix {
        CredentialState::Expired(proof)
    } else {
        CredentialState::User(proof)
    }
}

impl TurnRequest<'_> {
    /// The request's own number; a repetition has the same.
    pub(super) fn transaction(&self) -> u128 {
        self.message.transaction_id().into()
    }

    /// The peers that the request names; `None` if it names too many.
    pub(super) fn peers(&self) -> Option<Vec<IpAddr>> {
        let id = self.message.transaction_id();
        let peers: Vec<IpAddr> = (0..=MAX_PEERS_IN_REQUEST)
            .map_while(|index| self.message.nth_attribute::<XorPeerAddress>(index).ok())
            .map(|peer| peer.addr(id).ip())
            .collect();
        (peers.len() <= MAX_PEERS_IN_REQUEST).then_some(peers)
    }

    /// The refusal of this request, signed for `proof`.
    pub(super) fn refuse(&self, code: u16, proof: &ProvedUser) -> Option<Vec<u8>> {
        let mut reply = Message::builder_error(&self.message, MessageWriteVec::new());
        reply
            .add_attribute(&ErrorCode::builder(code).build().ok()?)
            .ok()?;
        reply
            .add_message_integrity(&proof.credentials, IntegrityAlgorithm::Sha1)
            .ok()?;
        Some(reply.finish())
    }
}
