//! What the TURN server says to our Allocate requests: the error code, and the address that it sees us under
//! (RFC 8656 sections 7.2 to 7.4, RFC 8489 section 9.2).
//!
//! The TURN client tells neither: it says that an allocation failed, not why, and answers a second 401 (a wrong password)
//! with silence for half a minute. Only replies to requests that really left are read.

use std::net::SocketAddr;

use stun_types::attribute::{ErrorCode, XorMappedAddress};
use stun_types::message::{Message, MessageClass};
use turn_types::message::ALLOCATE;

/// Allocate requests remembered. One without and one with credentials are normal; each stale nonce adds one.
const MAX_ASKED: usize = 16;

/// The Allocate requests that left, and what came back.
#[derive(Debug, Default)]
pub(super) struct Replies {
    asked: Vec<[u8; 12]>,
    granted: bool,
    mapped: Option<SocketAddr>,
}

impl Replies {
    /// Remembers `bytes` if they are an Allocate request.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let Some((id, true)) = transaction(bytes).map(|id| (id, bytes.starts_with(&[0x00, 0x03])))
        else {
            return;
        };
        if self.asked.len() < MAX_ASKED && !self.asked.contains(&id) {
            self.asked.push(id);
        }
    }

    /// Reads a reply; the code if it is a final refusal.
    pub(super) fn heard(&mut self, bytes: &[u8]) -> Option<u16> {
        let id = transaction(bytes)?;
        let position = self.asked.iter().position(|asked| *asked == id)?;
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
        // A request that was repeated on a slow path may be refused (437) because its first copy was granted.
        if self.granted || !message.has_class(MessageClass::Error) {
            return None;
        }
        match message.attribute::<ErrorCode>().ok()?.code() {
            // The first request carries no credentials: its 401 is the challenge.
            ErrorCode::UNAUTHORIZED if position == 0 => None,
            ErrorCode::STALE_NONCE => None,
            code => Some(code),
        }
    }

    /// Our own address as the server sees it, from the successful reply. It must go nowhere.
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
        let mut replies = Replies::default();
        replies.sent(&first);
        assert_eq!(replies.heard(&refusal(&first, 401)), None);
        replies.sent(&second);
        // The first request may have been answered twice.
        assert_eq!(replies.heard(&refusal(&first, 401)), None);
        assert_eq!(replies.heard(&refusal(&second, 438)), None);
        assert_eq!(replies.heard(&refusal(&second, 401)), Some(401));
        assert_eq!(replies.heard(&refusal(&second, 486)), Some(486));
    }

    #[test]
    fn a_refusal_after_the_grant_is_about_a_repetition() {
        let (first, second) = (request(), request());
        let mut replies = Replies::default();
        replies.sent(&first);
        replies.sent(&second);
        let grant = Message::builder_success(
            &Message::from_bytes(&second).unwrap(),
            MessageWriteVec::new(),
        )
        .finish();
        assert_eq!(replies.heard(&grant), None);
        assert_eq!(replies.heard(&refusal(&second, 437)), None);
    }

    #[test]
    fn a_reply_to_nothing_is_not_read() {
        let mut replies = Replies::default();
        replies.sent(&request());
        assert_eq!(replies.heard(&refusal(&request(), 403)), None);
    }
}
