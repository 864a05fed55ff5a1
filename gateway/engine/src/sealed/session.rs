//! Session messages: what the two sides of an answered call send each other beside its media: confirm, hang-up, and the caller's new
//! relayed address.
//!
//! ChaCha20-Poly1305 under the keys of Noise `Split()`, one per direction. The counter is not written: it is
//! the one whose routing tag the envelope carries. Each counter opens once; a window lets messages overtake each
//! other. Associated data bind version, routing tag, decoy key, bucket, event key and the handshake's transcript.
//!
//! Not done here: hang-up over the data channel, which is the ordinary way (`call`), and retransmission.

use std::fmt;
use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use ringfence_book::Day;
use ringfence_media::description::{decode_address, encode_address};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::call::control::ConfirmProof;
use crate::sealed::contact_secret::ContactSecret;
use crate::sealed::envelope::noise::{self, SessionKeys};
use crate::sealed::envelope::payload::{self, LATER_PAYLOAD, PayloadKind};
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::routing_tag::{CallId, RoutingTag, SessionDirection};

/// What a session envelope says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionMessage {
    /// The caller holds the key: the callee may open the microphone.
    Confirm,
    /// The call is over.
    HangUp,
    /// The caller's relayed address is this one from now on. As [`Self::Confirm`], it proves that the caller holds the keys.
    Moved(SocketAddr),
}

/// Separates the proof from every other use of the session's keys.
const PROOF_DOMAIN: &[u8] = b"ringfence/2 confirm\0";

/// The sealed channel of one answered call. Its keys and call id are wiped when it is dropped.
pub struct CallSession {
    keys: SessionKeys,
    call: CallId,
    /// Of the ring that was answered: both sides know it.
    day: Day,
    own: SessionDirection,
    next_out: u64,
    window: CounterWindow,
}

impl CallSession {
    pub(crate) fn of_caller(keys: SessionKeys, call: CallId, day: Day) -> Self {
        Self::new(
            keys,
            (call, day),
            SessionDirection::FromCaller,
            SessionDirection::FromCallee,
        )
    }

    pub(crate) fn of_callee(keys: SessionKeys, call: CallId, day: Day) -> Self {
        Self::new(
            keys,
            (call, day),
            SessionDirection::FromCallee,
            SessionDirection::FromCaller,
        )
    }

    fn new(
        keys: SessionKeys,
        (call, day): (CallId, Day),
        own: SessionDirection,
        theirs: SessionDirection,
    ) -> Self {
        let window = CounterWindow::new(&call, theirs);
        Self {
            keys,
            call,
            day,
            own,
            next_out: FIRST_COUNTER,
            window,
        }
    }

    /// Seals one message to the other side, for the event that `event` describes.
    pub fn seal(
        &mut self,
        say: SessionMessage,
        event: &EventContext,
        rng: &mut impl CryptoRng,
    ) -> Envelope {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut secret[..]);
        self.seal_behind(say, event, &noise::public_of(&secret))
    }

    /// As [`Self::seal`], with the decoy key given.
    pub(crate) fn seal_behind(
        &mut self,
        say: SessionMessage,
        event: &EventContext,
        decoy: &[u8; 32],
    ) -> Envelope {
        let counter = self.next_out;
        self.next_out += 1;
        let routing_tag = self.call.routing_tag(self.own, counter);
        let (kind, body) = match say {
            SessionMessage::Confirm => (PayloadKind::Confirm, Vec::new()),
            SessionMessage::HangUp => (PayloadKind::HangUp, Vec::new()),
            SessionMessage::Moved(address) => (PayloadKind::Moved, encode_address(&address)),
        };
        let payload = payload::encode::<LATER_PAYLOAD>(kind, &body).expect("19 bytes fit");
        let data = event.session_data(routing_tag, decoy, &self.keys.transcript);
        let sealed = noise::write_session(self.key(self.own), counter, &data, decoy, &payload);
        Envelope::frame(routing_tag, &sealed)
    }

    /// Opens one message of the other side. The session is unchanged when it is refused.
    ///
    /// # Errors
    /// [`EnvelopeError::Hint`] for a counter that is used up or too far ahead, [`EnvelopeError::NotOurs`] for anything
    /// altered or moved, [`EnvelopeError::Kind`] and [`EnvelopeError::Body`] for what a session may not say.
    pub fn open(
        &mut self,
        envelope: &Envelope,
        event: &EventContext,
    ) -> Result<SessionMessage, EnvelopeError> {
        let routing_tag = envelope.routing_tag();
        let counter = self
            .window
            .counter_of(&routing_tag)
            .ok_or(EnvelopeError::Hint)?;
        let data = event.session_data(routing_tag, &envelope.ephemeral(), &self.keys.transcript);
        let key = self.key(self.window.theirs);
        let payload = noise::read_session(key, counter, &data, envelope.sealed())
            .ok_or(EnvelopeError::NotOurs)?;
        let (kind, body) = payload::decode(&payload[..])?;
        let say = match (kind, body) {
            (PayloadKind::Confirm, []) => SessionMessage::Confirm,
            (PayloadKind::HangUp, []) => SessionMessage::HangUp,
            (PayloadKind::Moved, body) if self.window.theirs == SessionDirection::FromCaller => {
                let address = decode_address(body).map_err(|_| EnvelopeError::Body)?;
                SessionMessage::Moved(address)
            }
            (PayloadKind::Confirm | PayloadKind::HangUp, _) => return Err(EnvelopeError::Body),
            (
                PayloadKind::Moved
                | PayloadKind::Ring
                | PayloadKind::Answer
                | PayloadKind::Cancel
                | PayloadKind::Text
                | PayloadKind::Missed
                | PayloadKind::Presence,
                _,
            ) => {
                return Err(EnvelopeError::Kind);
            }
        };
        self.window.spend(&self.call, counter);
        Ok(say)
    }

    /// What the caller shows on the data channel to prove that it holds this session's keys:
    /// HMAC-SHA256 under the key of the caller's direction, over the domain and the transcript.
    #[must_use]
    pub fn proof(&self) -> ConfirmProof {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.keys.from_caller)
            .expect("HMAC takes keys of any length");
        mac.update(PROOF_DOMAIN);
        mac.update(&self.keys.transcript);
        ConfirmProof(mac.finalize().into_bytes().into())
    }

    /// What the two share from now on, once the call is confirmed.
    #[must_use]
    pub fn contact_secret(&self) -> ContactSecret {
        ContactSecret::of_call(&self.keys, self.day)
    }

    /// The routing tags under which the next messages of the other side may come: at most [`WINDOW`], and they
    /// change with every message that opens.
    pub fn expected_tags(&self) -> impl Iterator<Item = RoutingTag> + '_ {
        self.window.open.iter().map(|(_, routing_tag)| *routing_tag)
    }

    /// Whether an envelope with this routing tag is for this session.
    #[must_use]
    pub fn expects(&self, routing_tag: &RoutingTag) -> bool {
        self.window.counter_of(routing_tag).is_some()
    }

    fn key(&self, direction: SessionDirection) -> &[u8; 32] {
        match direction {
            SessionDirection::FromCaller => &self.keys.from_caller,
            SessionDirection::FromCallee => &self.keys.from_callee,
        }
    }
}

impl fmt::Debug for CallSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallSession(..)")
    }
}

/// The counters that may still come, with their routing tags.
struct CounterWindow {
    theirs: SessionDirection,
    /// Ascending, never more than [`WINDOW`].
    open: Vec<(u64, RoutingTag)>,
    /// First counter above the window.
    next: u64,
}

impl CounterWindow {
    fn new(call: &CallId, theirs: SessionDirection) -> Self {
        let mut window = Self {
            theirs,
            open: Vec::with_capacity(WINDOW),
            next: FIRST_COUNTER,
        };
        window.fill(call);
        window
    }

    fn counter_of(&self, routing_tag: &RoutingTag) -> Option<u64> {
        self.open
            .iter()
            .find(|(_, open)| open == routing_tag)
            .map(|(counter, _)| *counter)
    }

    /// Takes a counter out for good, and whatever lies [`BEHIND`] or more below it, then looks further ahead.
    fn spend(&mut self, call: &CallId, counter: u64) {
        self.open
            .retain(|(open, _)| *open != counter && open.saturating_add(BEHIND) > counter);
        self.fill(call);
    }

    fn fill(&mut self, call: &CallId) {
        while self.open.len() < WINDOW {
            self.open
                .push((self.next, call.routing_tag(self.theirs, self.next)));
            self.next += 1;
        }
    }
}

/// Counter of the first session message; 0 is the answer's place among the callee's tags.
const FIRST_COUNTER: u64 = 1;

/// How many counters may come next. A call needs two or three messages, and eight for each time that both ways were lost; relays lose
/// and reorder them. The tag table of many calls stays small.
pub const WINDOW: usize = 32;

/// How far a message may be overtaken before it counts as lost. The hang-up that is sealed in advance is overtaken by those of one outage.
const BEHIND: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::envelope::EventKey;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn pair() -> (CallSession, CallSession) {
        let keys = || SessionKeys {
            from_caller: [1; 32],
            from_callee: [2; 32],
            transcript: [3; 32],
        };
        let call = || CallId::from_bytes([4; 16]);
        (
            CallSession::of_caller(keys(), call(), Day::new(1)),
            CallSession::of_callee(keys(), call(), Day::new(1)),
        )
    }

    fn event(n: u8) -> EventContext {
        EventContext {
            bucket: 0,
            event_key: EventKey([n; 32]),
        }
    }

    #[test]
    fn both_directions_open_once_and_only_once() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        let confirm = caller.seal(SessionMessage::Confirm, &event(1), &mut rng);
        assert!(callee.expects(&confirm.routing_tag()));
        assert_eq!(
            callee.open(&confirm, &event(1)),
            Ok(SessionMessage::Confirm)
        );
        assert_eq!(callee.open(&confirm, &event(1)), Err(EnvelopeError::Hint));
        let over = callee.seal(SessionMessage::HangUp, &event(2), &mut rng);
        assert_eq!(caller.open(&over, &event(2)), Ok(SessionMessage::HangUp));
    }

    #[test]
    fn a_message_moved_to_another_event_or_bucket_is_refused_and_the_real_one_still_opens() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        let confirm = caller.seal(SessionMessage::Confirm, &event(1), &mut rng);
        assert_eq!(
            callee.open(&confirm, &event(2)),
            Err(EnvelopeError::NotOurs)
        );
        let other_bucket = EventContext {
            bucket: 7,
            ..event(1)
        };
        assert_eq!(
            callee.open(&confirm, &other_bucket),
            Err(EnvelopeError::NotOurs)
        );
        assert_eq!(
            callee.open(&confirm, &event(1)),
            Ok(SessionMessage::Confirm)
        );
    }

    #[test]
    fn the_caller_alone_says_where_it_is_now() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        for address in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
            let moved = SessionMessage::Moved(address.parse().unwrap());
            let said = caller.seal(moved, &event(1), &mut rng);
            assert_eq!(callee.open(&said, &event(1)), Ok(moved));
            let said = callee.seal(moved, &event(1), &mut rng);
            assert_eq!(caller.open(&said, &event(1)), Err(EnvelopeError::Kind));
        }
        let nowhere = SessionMessage::Moved("0.0.0.0:4000".parse().unwrap());
        let said = caller.seal(nowhere, &event(1), &mut rng);
        assert_eq!(callee.open(&said, &event(1)), Err(EnvelopeError::Body));
    }

    #[test]
    fn a_side_does_not_accept_its_own_messages() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, _) = pair();
        let confirm = caller.seal(SessionMessage::Confirm, &event(1), &mut rng);
        assert_eq!(caller.open(&confirm, &event(1)), Err(EnvelopeError::Hint));
    }

    #[test]
    fn messages_may_overtake_each_other_but_not_for_ever() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        let said: Vec<_> = (0..40)
            .map(|_| caller.seal(SessionMessage::HangUp, &event(1), &mut rng))
            .collect();
        assert_eq!(callee.open(&said[5], &event(1)), Ok(SessionMessage::HangUp));
        assert_eq!(callee.open(&said[0], &event(1)), Ok(SessionMessage::HangUp));
        assert_eq!(callee.open(&said[39], &event(1)), Err(EnvelopeError::Hint));
        assert_eq!(
            callee.open(&said[32], &event(1)),
            Ok(SessionMessage::HangUp)
        );
        assert_eq!(callee.open(&said[16], &event(1)), Err(EnvelopeError::Hint));
        assert_eq!(
            callee.open(&said[17], &event(1)),
            Ok(SessionMessage::HangUp)
        );
        assert_eq!(callee.expected_tags().count(), WINDOW);
    }

    #[test]
    fn losing_every_second_message_never_closes_the_window() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        for round in 0..200 {
            let said = caller.seal(SessionMessage::HangUp, &event(1), &mut rng);
            if round % 2 == 0 {
                assert_eq!(callee.open(&said, &event(1)), Ok(SessionMessage::HangUp));
            }
        }
    }
}
