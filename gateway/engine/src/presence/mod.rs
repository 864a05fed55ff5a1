//! Presence of consenting contacts (RFC 3856): what a line shows to those whom its owner has named, and what others show it.
//!
//! Off until the owner says so, contact by contact and line by line. Then the engine makes **rounds** of [`PLACES`] places: every minute
//! or three, at a random moment, one envelope leaves for the contact in the next place, or, where there is none or nothing to say,
//! one that nobody can open, into the same bucket as ever. So neither the moment nor the number of envelopes tells when something
//! changed, how many contacts there are, or whether a phone is on. The price is that a contact sees what was so up to
//! a round ago ([`GOOD_FOR`] after the last word: offline).
//!
//! `body` is the bytes, `rounds` the sender's half, `heard` the receiver's, `document` what phones are shown. Nobody is asked
//! for presence over the wire, and nothing is answered: a contact who may not see, a number that nobody has, and an engine that
//! is off are alike.

pub(crate) mod body;
pub(crate) mod document;
pub(crate) mod heard;
pub(crate) mod rounds;

use std::fmt;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;
use ringfence_phonebook::{IdentityKey, Number};

use crate::sealed::envelope::payload::Kind;
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::ring::SealError;
use crate::sealed::ring::introduction::Introduction;
use crate::sealed::ring::outgoing::{Caller, Draw, first_payload, seal_first};
use crate::time::UnixTime;
use crate::trust::contacts::MOST_SHARED;
use crate::trust::directory::CalleeKeys;
use body::PresenceBody;
use heard::Heard;
use rounds::Rounds;

/// Places of a round.
pub const PLACES: usize = MOST_SHARED;

/// From one envelope to the next: drawn evenly between these.
pub const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
/// See [`SHORTEST_PAUSE`].
pub const LONGEST_PAUSE: Duration = Duration::from_secs(180);

/// How long a word is believed: the longest round and two thirds of one more, so that mostly one may be lost.
pub const GOOD_FOR: Duration = Duration::from_secs(2_400);

/// How a line stands, for those who may see it. There is no word for "offline": it is silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A phone is on.
    Available,
    /// Somebody of the line is talking.
    OnThePhone,
    /// The line wants silence.
    Undisturbed,
}

/// What somebody said of a line of theirs, verified as a ring is.
#[derive(Clone, Copy)]
pub struct Word {
    number: Number,
    identity: IdentityKey,
    dated: UnixTime,
    presence: Presence,
}

impl Word {
    pub(crate) fn of(body: &PresenceBody) -> Self {
        Self {
            number: body.from.number,
            identity: body.from.identity,
            dated: body.from.dated,
            presence: body.presence,
        }
    }
}

/// Seals a word for a contact.
///
/// # Errors
/// [`SealError::CalleeKey`].
pub fn seal(
    caller: &Caller<'_>,
    contact: &CalleeKeys,
    presence: Presence,
    outside: &Outside,
    now: UnixTime,
    rng: &mut impl CryptoRng,
) -> Result<Envelope, SealError> {
    let body = PresenceBody {
        from: Introduction::of(caller, now),
        presence,
    };
    let payload = first_payload(Kind::Presence, &body.encode())?;
    let own = caller.identity.ring_secret().clone();
    let key = *contact.ring_key.as_bytes();
    let sealed = seal_first(
        own,
        key,
        &contact.identity,
        payload,
        outside,
        Draw::new(rng),
    );
    sealed.map(|(_, envelope)| envelope)
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Word(..)")
    }
}

/// All that an engine says and has heard of presence.
#[derive(Debug, Default)]
pub(crate) struct Presences {
    rounds: Rounds,
    heard: Heard,
}

impl Presences {
    pub(crate) fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let round = self.rounds.next().map(|at| (at, "a word of presence"));
        let expiry = self.heard.next_expiry();
        let expiry = expiry.map(|at| (at, "presence was not heard of again"));
        round.into_iter().chain(expiry).min_by_key(|(at, _)| *at)
    }
}
