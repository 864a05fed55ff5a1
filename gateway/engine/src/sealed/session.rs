//! What the two sides of an answered call say to each other over the relay: confirm, hang-up.
//!
//! ChaCha20-Poly1305 under the keys of Noise `Split()`, one per direction. The counter is not written: it is
//! the one whose hint the envelope carries. Each counter opens once; a window lets messages overtake each
//! other. Associated data bind version, hint, decoy key, bucket, event key and the handshake's transcript.
//!
//! Not done here: hang-up over the data channel, which is the ordinary way (`call`), and retransmission.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::call::control::Proof;
use crate::sealed::envelope::noise::{self, SessionKeys};
use crate::sealed::envelope::payload::{self, Kind, LATER_PAYLOAD};
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::rejected::Rejected;
use crate::sealed::routing_tag::{CallId, Direction, Hint};

/// What a session envelope says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Say {
    /// The caller holds the key: the callee may open the microphone.
    Confirm,
    /// The call is over.
    HangUp,
}

/// Separates the proof from every other use of the session's keys.
const PROOF_DOMAIN: &[u8] = b"ringfence/1 confirm\0";

/// The sealed channel of one answered call. Its keys and call id are wiped when it is dropped.
pub struct Session {
    keys: SessionKeys,
    call: CallId,
    own: Direction,
    next_out: u64,
    window: Window,
}

impl Session {
    pub(crate) fn of_caller(keys: SessionKeys, call: CallId) -> Self {
        Self::new(keys, call, Direction::FromCaller, Direction::FromCallee)
    }

    pub(crate) fn of_callee(keys: SessionKeys, call: CallId) -> Self {
        Self::new(keys, call, Direction::FromCallee, Direction::FromCaller)
    }

    fn new(keys: SessionKeys, call: CallId, own: Direction, theirs: Direction) -> Self {
        let window = Window::new(&call, theirs);
        Self {
            keys,
            call,
            own,
            next_out: FIRST_COUNTER,
            window,
        }
    }

    /// Seals one message to the other side, for the event that `outside` describes.
    pub fn seal(&mut self, say: Say, outside: &Outside, rng: &mut impl CryptoRng) -> Envelope {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut secret[..]);
        self.seal_behind(say, outside, &noise::public_of(&secret))
    }

    /// As [`Self::seal`], with the decoy key given.
    pub(crate) fn seal_behind(
        &mut self,
        say: Say,
        outside: &Outside,
        decoy: &[u8; 32],
    ) -> Envelope {
        let counter = self.next_out;
        self.next_out += 1;
        let hint = self.call.hint(self.own, counter);
        let kind = match say {
            Say::Confirm => Kind::Confirm,
            Say::HangUp => Kind::HangUp,
        };
        let payload = payload::encode::<LATER_PAYLOAD>(kind, &[]).expect("an empty body fits");
        let data = outside.session_data(hint, decoy, &self.keys.transcript);
        let sealed = noise::write_session(self.key(self.own), counter, &data, decoy, &payload);
        Envelope::frame(hint, &sealed)
    }

    /// Opens one message of the other side. The session is unchanged when it is refused.
    ///
    /// # Errors
    /// [`Rejected::Hint`] for a counter that is used up or too far ahead, [`Rejected::NotOurs`] for anything
    /// altered or moved, [`Rejected::Kind`] and [`Rejected::Body`] for what a session may not say.
    pub fn open(&mut self, envelope: &Envelope, outside: &Outside) -> Result<Say, Rejected> {
        let hint = envelope.hint();
        let counter = self.window.counter_of(&hint).ok_or(Rejected::Hint)?;
        let data = outside.session_data(hint, &envelope.ephemeral(), &self.keys.transcript);
        let key = self.key(self.window.theirs);
        let payload =
            noise::read_session(key, counter, &data, envelope.sealed()).ok_or(Rejected::NotOurs)?;
        let (kind, body) = payload::decode(&payload[..])?;
        let say = match kind {
            Kind::Confirm => Say::Confirm,
            Kind::HangUp => Say::HangUp,
            Kind::Ring
            | Kind::Answer
            | Kind::Cancel
            | Kind::Text
            | Kind::Missed
            | Kind::Presence => {
                return Err(Rejected::Kind);
            }
        };
        if !body.is_empty() {
            return Err(Rejected::Body);
        }
        self.window.spend(&self.call, counter);
        Ok(say)
    }

    /// What the caller shows on the data channel to prove that it holds this session's keys:
    /// HMAC-SHA256 under the key of the caller's direction, over the domain and the transcript.
    #[must_use]
    pub fn proof(&self) -> Proof {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.keys.from_caller)
            .expect("HMAC takes keys of any length");
        mac.update(PROOF_DOMAIN);
        mac.update(&self.keys.transcript);
        Proof(mac.finalize().into_bytes().into())
    }

    /// The hints under which the next messages of the other side may come: at most [`WINDOW`], and they
    /// change with every message that opens.
    pub fn expected_hints(&self) -> impl Iterator<Item = Hint> + '_ {
        self.window.open.iter().map(|(_, hint)| *hint)
    }

    /// Whether an envelope with this hint is for this session.
    #[must_use]
    pub fn expects(&self, hint: &Hint) -> bool {
        self.window.counter_of(hint).is_some()
    }

    fn key(&self, direction: Direction) -> &[u8; 32] {
        match direction {
            Direction::FromCaller => &self.keys.from_caller,
            Direction::FromCallee => &self.keys.from_callee,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}

/// The counters that may still come, with their hints.
struct Window {
    theirs: Direction,
    /// Ascending, never more than [`WINDOW`].
    open: Vec<(u64, Hint)>,
    /// First counter above the window.
    next: u64,
}

impl Window {
    fn new(call: &CallId, theirs: Direction) -> Self {
        let mut window = Self {
            theirs,
            open: Vec::with_capacity(WINDOW),
            next: FIRST_COUNTER,
        };
        window.fill(call);
        window
    }

    fn counter_of(&self, hint: &Hint) -> Option<u64> {
        self.open
            .iter()
            .find(|(_, open)| open == hint)
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
                .push((self.next, call.hint(self.theirs, self.next)));
            self.next += 1;
        }
    }
}

/// Counter of the first session message; 0 is the answer's place in the callee's hints.
const FIRST_COUNTER: u64 = 1;

/// How many counters may come next. A call needs two or three messages; sixteen survive a relay that loses
/// or reorders, and keep the hint table of many calls small.
pub const WINDOW: usize = 16;

/// How far a message may be overtaken before it counts as lost.
const BEHIND: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::envelope::EventKey;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn pair() -> (Session, Session) {
        let keys = || SessionKeys {
            from_caller: [1; 32],
            from_callee: [2; 32],
            transcript: [3; 32],
        };
        let call = || CallId::from_bytes([4; 16]);
        (
            Session::of_caller(keys(), call()),
            Session::of_callee(keys(), call()),
        )
    }

    fn outside(n: u8) -> Outside {
        Outside {
            bucket: 0,
            event_key: EventKey([n; 32]),
        }
    }

    #[test]
    fn both_directions_open_once_and_only_once() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        let confirm = caller.seal(Say::Confirm, &outside(1), &mut rng);
        assert!(callee.expects(&confirm.hint()));
        assert_eq!(callee.open(&confirm, &outside(1)), Ok(Say::Confirm));
        assert_eq!(callee.open(&confirm, &outside(1)), Err(Rejected::Hint));
        let over = callee.seal(Say::HangUp, &outside(2), &mut rng);
        assert_eq!(caller.open(&over, &outside(2)), Ok(Say::HangUp));
    }

    #[test]
    fn a_message_moved_to_another_event_or_bucket_is_refused_and_the_real_one_still_opens() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        let confirm = caller.seal(Say::Confirm, &outside(1), &mut rng);
        assert_eq!(callee.open(&confirm, &outside(2)), Err(Rejected::NotOurs));
        let other_bucket = Outside {
            bucket: 7,
            ..outside(1)
        };
        assert_eq!(callee.open(&confirm, &other_bucket), Err(Rejected::NotOurs));
        assert_eq!(callee.open(&confirm, &outside(1)), Ok(Say::Confirm));
    }

    #[test]
    fn a_side_cannot_be_sent_its_own_words() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, _) = pair();
        let confirm = caller.seal(Say::Confirm, &outside(1), &mut rng);
        assert_eq!(caller.open(&confirm, &outside(1)), Err(Rejected::Hint));
    }

    #[test]
    fn messages_may_overtake_each_other_but_not_for_ever() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        let said: Vec<_> = (0..40)
            .map(|_| caller.seal(Say::HangUp, &outside(1), &mut rng))
            .collect();
        assert_eq!(callee.open(&said[5], &outside(1)), Ok(Say::HangUp));
        assert_eq!(callee.open(&said[0], &outside(1)), Ok(Say::HangUp));
        assert_eq!(callee.open(&said[30], &outside(1)), Err(Rejected::Hint));
        assert_eq!(callee.open(&said[16], &outside(1)), Ok(Say::HangUp));
        assert_eq!(callee.open(&said[8], &outside(1)), Err(Rejected::Hint));
        assert_eq!(callee.open(&said[9], &outside(1)), Ok(Say::HangUp));
        assert_eq!(callee.expected_hints().count(), WINDOW);
    }

    #[test]
    fn losing_every_second_message_never_closes_the_window() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (mut caller, mut callee) = pair();
        for round in 0..200 {
            let said = caller.seal(Say::HangUp, &outside(1), &mut rng);
            if round % 2 == 0 {
                assert_eq!(callee.open(&said, &outside(1)), Ok(Say::HangUp));
            }
        }
    }
}
