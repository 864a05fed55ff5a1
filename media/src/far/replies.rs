//! Reads the TURN server's replies: the error code of an Allocate request and our reflexive address (RFC 8656 sections 7.2 to 7.4,
//! RFC 8489 section 9.2), and whether the server still knows the allocation.
//!
//! The TURN client reports none of it: it reports that an allocation failed, not why, after a second 401 (a wrong password) it
//! waits for half a minute, and a 437 to a Refresh (section 7.3) it takes for a success. Only replies to requests that really left are
//! read.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::attribute::{ErrorCode, XorMappedAddress};
use stun_types::message::{Message, MessageClass};
use turn_types::message::ALLOCATE;

/// Allocate requests that are remembered. One without and one with credentials are normal; each stale nonce adds one.
const MAX_REQUESTS: usize = 16;

/// Other requests that are remembered: those of one round of refreshes, for the allocation, its permissions and channels. The oldest
/// is forgotten.
const MAX_LATER: usize = 32;

/// What a reply says against us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnRefusal {
    /// There is no allocation; the code.
    Allocate(u16),
    /// The server has no allocation of ours (437, 400), or one of other credentials (441).
    Unknown,
    /// The login is over (401): the allocation lasts to the end of its lifetime, and no longer.
    LoginOver,
}

/// The requests that left, and what the replies said.
#[derive(Debug, Default)]
pub(super) struct TurnReplies {
    requests: Vec<([u8; 12], Instant)>,
    later: VecDeque<([u8; 12], Instant)>,
    granted: bool,
    round_trip: Option<Duration>,
    mapped: Option<SocketAddr>,
}

impl TurnReplies {
    /// Remembers `bytes` if they are a request.
    pub(super) fn sent(&mut self, bytes: &[u8], now: Instant) {
        let (Some(id), [first, second, ..]) = (transaction(bytes), bytes) else {
            return;
        };
        // The class of a message is in these two bits (RFC 8489 section 5).
        if first & 0x01 != 0 || second & 0x10 != 0 {
            return;
        }
        if [*first, *second] == [0x00, 0x03] {
            if self.requests.len() < MAX_REQUESTS
                && !self.requests.iter().any(|(one, _)| *one == id)
            {
                self.requests.push((id, now));
            }
        } else {
            self.answered(id);
            if self.later.len() == MAX_LATER {
                self.later.pop_front();
            }
            self.later.push_back((id, now));
        }
    }

    /// Reads a reply, and returns what it says against us for good.
    pub(super) fn read(&mut self, bytes: &[u8], now: Instant) -> Option<TurnRefusal> {
        let id = transaction(bytes)?;
        if self.answered(id) {
            let message = Message::from_bytes(bytes).ok()?;
            if !message.has_class(MessageClass::Error) {
                return None;
            }
            let code = message.attribute::<ErrorCode>().ok()?.code();
            if code == ErrorCode::UNAUTHORIZED {
                return Some(TurnRefusal::LoginOver);
            }
            // coturn says 400 where section 5 asks for 437: to permissions and channels of a client of before its restart.
            let unknown = [
                ErrorCode::ALLOCATION_MISMATCH,
                ErrorCode::WRONG_CREDENTIALS,
                ErrorCode::BAD_REQUEST,
            ];
            return unknown.contains(&code).then_some(TurnRefusal::Unknown);
        }
        let position = self
            .requests
            .iter()
            .position(|(request, _)| *request == id)?;
        let took = now.saturating_duration_since(self.requests[position].1);
        self.round_trip = self.round_trip.into_iter().chain([took]).min();
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
            code => Some(TurnRefusal::Allocate(code)),
        }
    }

    /// Whether a request of an allocation that stands, sent since then, has no answer yet.
    pub(super) fn is_awaited(&self, since: Duration, now: Instant) -> bool {
        let mut later = self.later.iter();
        later.any(|(_, at)| now < *at + since)
    }

    /// The shortest time in which a request for the allocation was answered. A repetition of a request does not shorten it.
    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip.unwrap_or_default()
    }

    /// Forgets a later request; false if there was none.
    fn answered(&mut self, id: [u8; 12]) -> bool {
        let before = self.later.len();
        self.later.retain(|(later, _)| *later != id);
        self.later.len() < before
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
pub(super) fn transaction(bytes: &[u8]) -> Option<[u8; 12]> {
    if bytes.first()? >> 6 != 0 {
        return None;
    }
    bytes.get(8..20)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use stun_types::message::MessageWriteVec;
    use stun_types::prelude::{MessageWrite, MessageWriteExt};

    use turn_types::message::REFRESH;

    use super::*;
    use crate::some_time;

    fn request() -> Vec<u8> {
        Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish()
    }

    #[test]
    fn what_a_refused_refresh_says_of_the_allocation() {
        let refresh = || Message::builder_request(REFRESH, MessageWriteVec::new()).finish();
        for (code, said) in [
            (401, Some(TurnRefusal::LoginOver)),
            (437, Some(TurnRefusal::Unknown)),
            (438, None),
            (500, None),
        ] {
            let (mut replies, asked) = (TurnReplies::default(), refresh());
            replies.sent(&asked, some_time());
            assert_eq!(replies.read(&refusal(&asked, code), some_time()), said);
            assert_eq!(replies.read(&refusal(&asked, code), some_time()), None);
        }
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
        let mut replies = TurnReplies::default();
        replies.sent(&first, some_time());
        assert_eq!(replies.read(&refusal(&first, 401), some_time()), None);
        replies.sent(&second, some_time());
        // The first request may be answered twice.
        assert_eq!(replies.read(&refusal(&first, 401), some_time()), None);
        assert_eq!(replies.read(&refusal(&second, 438), some_time()), None);
        assert_eq!(
            replies.read(&refusal(&second, 401), some_time()),
            Some(TurnRefusal::Allocate(401))
        );
        assert_eq!(
            replies.read(&refusal(&second, 486), some_time()),
            Some(TurnRefusal::Allocate(486))
        );
    }

    #[test]
    fn a_refusal_after_the_grant_is_about_a_repetition() {
        let (first, second) = (request(), request());
        let mut replies = TurnReplies::default();
        replies.sent(&first, some_time());
        replies.sent(&second, some_time());
        let grant = Message::builder_success(
            &Message::from_bytes(&second).unwrap(),
            MessageWriteVec::new(),
        )
        .finish();
        assert_eq!(replies.read(&grant, some_time()), None);
        assert_eq!(replies.read(&refusal(&second, 437), some_time()), None);
    }

    #[test]
    fn a_server_that_no_longer_knows_the_allocation_is_understood() {
        let refresh = Message::builder_request(REFRESH, MessageWriteVec::new()).finish();
        let other = Message::builder_request(REFRESH, MessageWriteVec::new()).finish();
        let (mut replies, now) = (TurnReplies::default(), some_time());
        assert_eq!(
            replies.read(&refusal(&other, 437), some_time()),
            None,
            "never sent"
        );
        for (code, means) in [
            (438, None),
            (437, Some(TurnRefusal::Unknown)),
            (441, Some(TurnRefusal::Unknown)),
            (400, Some(TurnRefusal::Unknown)),
            (403, None),
        ] {
            replies.sent(&refresh, now);
            replies.sent(&refresh, now);
            let since = Duration::from_secs(1);
            assert!(replies.is_awaited(since, now) && !replies.is_awaited(since, now + since));
            assert_eq!(replies.read(&refusal(&refresh, code), some_time()), means);
            assert!(!replies.is_awaited(since, now));
        }
        replies.sent(&refresh, now);
        for _ in 0..MAX_LATER {
            let next = Message::builder_request(REFRESH, MessageWriteVec::new()).finish();
            replies.sent(&next, now);
        }
        assert_eq!(
            replies.read(&refusal(&refresh, 437), some_time()),
            None,
            "forgotten"
        );
    }

    #[test]
    fn a_reply_to_nothing_is_not_read() {
        let mut replies = TurnReplies::default();
        replies.sent(&request(), some_time());
        assert_eq!(replies.read(&refusal(&request(), 403), some_time()), None);
    }
}
