//! A path that counts as good before it was checked. Each engine learns the other's one relayed address from a sealed message, and the
//! TURN servers let packets between the two pass; so the DTLS handshake begins at once, with the answer to the call, and does not wait for
//! a connectivity check to come and go (RFC 8445 section 7), which costs a round trip of both wires.
//!
//! What leaves before the other side has answered is DTLS alone, beside an answer that is larger; sound waits for the handshake, which only
//! the other side can finish. Checks go on as they would, and are what tells a dead path later.

use std::net::SocketAddr;

use stun_types::attribute::XorMappedAddress;
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageClass, MessageWriteVec, ShortTermCredentials,
};
use stun_types::prelude::{MessageWrite, MessageWriteExt};
use zeroize::Zeroizing;

/// The other side, as its description has it.
pub(super) struct PresumedPath {
    to: SocketAddr,
    password: Zeroizing<String>,
}

impl PresumedPath {
    /// The path to the only address of a description; with more than one, checks decide.
    pub(super) fn new(addresses: &[SocketAddr], password: &str) -> Option<Self> {
        let [to] = addresses else {
            return None;
        };
        Some(Self {
            to: *to,
            password: Zeroizing::new(password.to_owned()),
        })
    }

    /// The answer to a check of ours, as the other side would give it.
    pub(super) fn answer(&self, from: SocketAddr, to: SocketAddr, check: &[u8]) -> Option<Vec<u8>> {
        if to != self.to || !matches!(check.first(), Some(0..=3)) {
            return None;
        }
        let check = Message::from_bytes(check).ok()?;
        if check.method() != BINDING || !check.has_class(MessageClass::Request) {
            return None;
        }
        let mut answer = Message::builder_success(&check, MessageWriteVec::new());
        let mapped = XorMappedAddress::new(from, check.transaction_id());
        answer.add_attribute(&mapped).ok()?;
        let key = ShortTermCredentials::new(self.password.to_string());
        answer
            .add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1)
            .ok()?;
        answer.add_fingerprint().ok()?;
        Some(answer.finish())
    }
}

impl std::fmt::Debug for PresumedPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PresumedPath(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_to_the_one_address_are_answered() {
        let [ours, theirs, other] =
            [1, 2, 3].map(|port| SocketAddr::from(([203, 0, 113, 1], port)));
        assert!(PresumedPath::new(&[theirs, other], "password").is_none());
        let path = PresumedPath::new(&[theirs], "password").unwrap();
        let check = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
        let answer = path.answer(ours, theirs, &check).unwrap();
        let answer = Message::from_bytes(&answer).unwrap();
        assert!(answer.has_class(MessageClass::Success));
        let key = ShortTermCredentials::new("password".to_owned()).into();
        assert!(answer.validate_integrity(&key).is_ok());
        assert_eq!(path.answer(ours, other, &check), None);
        assert_eq!(path.answer(ours, theirs, &[22; 30]), None);
        assert_eq!(path.answer(ours, theirs, answer.as_bytes()), None);
    }
}
