//! A presence report as bytes: 81 of them. Table with who sees what: PROTOCOL.md section 4.9.

use std::fmt;

use rand_core::CryptoRng;
use ringfence_book::{IdentityKey, Number};
use zeroize::Zeroizing;

use crate::sealed::envelope::Envelope;
use crate::sealed::envelope::payload::PayloadKind;
use crate::sealed::first_message::{
    FirstMessageDraw, Outside, SealError, SealingKeys, first_payload, seal_first,
};
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::sender_proof::{SENDER_PROOF_LEN, SenderProof};
use crate::time::UnixTime;
use crate::trust::contacts::PeerIdentity;
use crate::trust::directory::CalleeKeys;

/// The state of a line, for the contacts that may see it. There is no "offline": it is silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceStatus {
    /// A phone is on.
    Available,
    /// A call of the line was picked up.
    OnThePhone,
    /// Do not disturb is on.
    DoNotDisturb,
}

/// The presence of another line as its engine reported it, verified as a ring is.
#[derive(Clone, Copy)]
pub struct PresenceReport {
    pub(crate) number: Number,
    pub(crate) identity: IdentityKey,
    pub(crate) dated: UnixTime,
    pub(crate) presence: PresenceStatus,
}

impl PresenceReport {
    pub(crate) const fn sender(&self) -> PeerIdentity {
        PeerIdentity {
            number: self.number,
            identity: self.identity,
        }
    }

    pub(crate) fn of(sender: PeerIdentity, body: &PresenceBody) -> Self {
        Self {
            number: sender.number,
            identity: sender.identity,
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
    caller: &SealingKeys<'_>,
    contact: &CalleeKeys,
    presence: PresenceStatus,
    outside: impl Into<Outside>,
    now: UnixTime,
    rng: &mut impl CryptoRng,
) -> Result<Envelope, SealError> {
    let body = PresenceBody {
        from: SenderProof::of(caller, now),
        presence,
    };
    let payload = first_payload(PayloadKind::Presence, &body.encode())?;
    let own = caller.identity.ring_secret().clone();
    let key = *contact.ring_key.as_bytes();
    let sealed = seal_first(
        own,
        key,
        &contact.identity,
        payload,
        FirstMessageDraw::new(outside.into(), rng),
    );
    sealed.map(|(_, envelope)| envelope)
}

impl fmt::Debug for PresenceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresenceReport(..)")
    }
}

/// Who, and how the line stands.
pub(crate) struct PresenceBody {
    pub(crate) from: SenderProof,
    pub(crate) presence: PresenceStatus,
}

impl PresenceBody {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(SENDER_PROOF_LEN + 1));
        self.from.write(&mut out);
        out.push(match self.presence {
            PresenceStatus::Available => 1,
            PresenceStatus::OnThePhone => 2,
            PresenceStatus::DoNotDisturb => 3,
        });
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, EnvelopeError> {
        let mut rest = body;
        let from = SenderProof::read(&mut rest)?;
        let presence = match rest {
            [1] => PresenceStatus::Available,
            [2] => PresenceStatus::OnThePhone,
            [3] => PresenceStatus::DoNotDisturb,
            _ => return Err(EnvelopeError::Body),
        };
        Ok(Self { from, presence })
    }
}
