//! A word of presence as bytes: 185 of them. Table with who sees what: PROTOCOL.md section 4.9.

use std::fmt;

use rand_core::CryptoRng;
use ringfence_book::{IdentityKey, Number};
use zeroize::Zeroizing;

use crate::sealed::envelope::payload::Kind;
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::first_message::{Caller, Draw, SealError, first_payload, seal_first};
use crate::sealed::rejected::Rejected;
use crate::sealed::sender_proof::{INTRODUCTION_LEN, Introduction};
use crate::time::UnixTime;
use crate::trust::contacts::PeerIdentity;
use crate::trust::directory::CalleeKeys;

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
    pub(crate) number: Number,
    pub(crate) identity: IdentityKey,
    pub(crate) dated: UnixTime,
    pub(crate) presence: Presence,
}

impl Word {
    pub(crate) const fn sender(&self) -> PeerIdentity {
        PeerIdentity {
            number: self.number,
            identity: self.identity,
        }
    }

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

/// Who, and how the line stands.
pub(crate) struct PresenceBody {
    pub(crate) from: Introduction,
    pub(crate) presence: Presence,
}

impl PresenceBody {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(INTRODUCTION_LEN + 1));
        self.from.write(&mut out);
        out.push(match self.presence {
            Presence::Available => 1,
            Presence::OnThePhone => 2,
            Presence::Undisturbed => 3,
        });
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, Rejected> {
        let mut rest = body;
        let from = Introduction::read(&mut rest)?;
        let presence = match rest {
            [1] => Presence::Available,
            [2] => Presence::OnThePhone,
            [3] => Presence::Undisturbed,
            _ => return Err(Rejected::Body),
        };
        Ok(Self { from, presence })
    }
}
