//! Reads the TURN server's replies to Allocate requests: the error code, and our reflexive address (RFC 8656 sections 7.2
//! to 7.4, RFC 8489 section 9.2).
//!
//! The TURN client reports neither: it reports that an allocation failed, not why, and after a second 401 (a wrong
//! password) it waits for half a minute. Only replies to requests that really left are read.

use std::net::SocketAddr;

use stun_types::attribute::{ErrorCode, XorMappedAddress};
use stun_types::message::{Message, MessageClass};
use turn_types::message::ALLOCATE;

/// Allocate requests that are remembered. One without and one with credentials are normal; each stale nonce adds one.
const MAX_REQUESTS: usize = 16;

/// The Allocate requests that left, and what the replies said.
#[derive(Debug, Default)]
pub(super) struct AllocateReplies {
    requests: Vec<[u8; 12]>,
    granted: bool,
    mapped: Option<SocketAddr>,
}

impl AllocateReplies {
    /// Remembers `bytes` if they are an Allocate request.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let Some((id, true)) = transaction(bytes).map(|id| (id, bytes.starts_with(&[0x00, 0x03])))
        else {
            return;
        };
        if self.requests.len() < MAX_REQUESTS && !self.requests.contains(&id) {
            self.requests.push(id);
        }
    }

    /// Reads a reply, and returns the code of a final refusal.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<u16> {
        let id = transaction(bytes)?;
        let position = self.requests.iter().position(|request| *request == id)?;
        let message = Message::from_bytes(bytes).ok()?;
        if message.method() != ALLOCATE {
            return None;
        }
        if message.has_class(MessageClass::Success) {
            let mapped = message.attribute::<XorMappedAddress>().ok();
            self.granted = true;
            self.mapped = mapped.map(|mapped| mapped.addr(message.transaction_id()));
            return None;
        }
        // A retransmission on a slow path may be refused (437) because its first copy was granted.
        if self.granted || !message.has_class(MessageClass::Error) {
            return None;
        }
        match message.attribute::<ErrorCode>().ok()?.code() {
            // The first request has no credentials: its 401 is the challenge.
            ErrorCode::UNAUTHORIZED if position == 0 => None,
            ErrorCode::STALE_NONCE => None,
            code => Some(code),
        }
    }

    /// Our own address as the server sees it, from the successful reply. It must not be disclosed.
    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }
}

/// Whether `bytes` begin like a STUN success response (RFC 8489 section 5).
pub(super) fn is_success(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..] if first & 0xc1 == 0x01 && second & 0x10 == 0)
}

/// The transaction id of a STUN message.
fn transaction(bytes: &[u8]) -> Option<[u8; 12]> {
    if bytes.first()? >> 6 != 0 {
        return None;
    }
    bytes.get(8..20)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use stun_types::message::MessageWriteVec;
    use stun_types::prelude::{MessageWrite, MessageWriteExt};

    use super::*;

    fn request() -> Vec<u8> {
        Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish()
    }

    fn refusal(request: &[u8], code: u16) -> Vec<u8> {
        let request = Message::from_bytes(request).unwrap();
        let mut reply = Message::builder_error(&request, MessageWriteVec::new());
        reply
            .add_attribute(&ErrorCode::builder(code).build().unwrap())
            .unwrap();
        reply.finish()
    }

    #[test]
    fn only_a_success_response_is_one() {
        let request = request();
        let asked = Message::from_bytes(&request).unwrap();
        let granted = Message::builder_success(&asked, MessageWriteVec::new()).finish();
        assert!(is_success(&granted));
        assert!(!is_success(&refusal(&request, 437)) && !is_success(&request));
        assert!(!is_success(&[0x41, 0x08]) && !is_success(&[0x01]) && !is_success(&[]));
    }

    #[test]
    fn the_first_401_is_a_challenge_and_the_second_a_refusal() {
        let (first, second) = (request(), request());
        let mut replies = AllocateReplies::default();
        replies.sent(&first);
        assert_eq!(replies.read(&refusal(&first, 401)), None);
        replies.sent(&second);
        // The first request may be answered twice.
        assert_eq!(replies.read(&refusal(&first, 401)), None);
        assert_eq!(replies.read(&refusal(&second, 438)), None);
        assert_eq!(replies.read(&refusal(&second, 401)), Some(401));
        assert_eq!(replies.read(&refusal(&second, 486)), Some(486));
    }

    #[test]
    fn a_refusal_after_the_grant_is_about_a_repetition() {
        let (first, second) = (request(), request());
        let mut replies = AllocateReplies::default();
        replies.sent(&first);
        replies.sent(&second);
        let grant = Message::builder_success(
            &Message::from_bytes(&second).unwrap(),
            MessageWriteVec::new(),
        )
        .finish();
        assert_eq!(replies.read(&grant), None);
        assert_eq!(replies.read(&refusal(&second, 437)), None);
    }

    #[test]
    fn a_reply_to_nothing_is_not_read() {
        let mut replies = AllocateReplies::default();
        replies.sent(&request());
        assert_eq!(replies.read(&refusal(&request(), 403)), None);
    }
}
