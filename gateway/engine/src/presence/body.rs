//! A word of presence as bytes: 185 of them. Table with who sees what: PROTOCOL.md section 4.9.

use zeroize::Zeroizing;

use super::Presence;
use crate::sealed::rejected::Rejected;
use crate::sealed::ring::introduction::{INTRODUCTION_LEN, Introduction};

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
