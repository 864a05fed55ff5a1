//! Who sends a message 1: its number, and its own signature over the ring key that Noise proves.
//!
//! 80 bytes that stand alike in a ring, a text, a missed-call note and a presence report. Whose number it is says the receiver's own copy
//! of the phone book ([`crate::trust::callers`]).

use ringfence_book::Number;
use zeroize::Zeroizing;

use crate::sealed::envelope::fields::{put_time, take, take_time};
use crate::sealed::first_message::SealingKeys;
use crate::sealed::rejected::EnvelopeError;
use crate::time::UnixTime;

/// Bytes of a sender proof.
pub(crate) const SENDER_PROOF_LEN: usize = 80;

/// The sender, as it says itself.
#[derive(Clone)]
pub(crate) struct SenderProof {
    pub(crate) dated: UnixTime,
    pub(crate) number: Number,
    /// The serial of the sender's listing.
    pub(crate) serial: u32,
    pub(crate) listing_signature: [u8; 64],
}

#[cfg(test)]
impl SenderProof {
    /// One whose fields can be told apart; its signature proves nothing.
    pub(crate) fn sample() -> Self {
        Self {
            dated: UnixTime::from_millis(2),
            number: Number::new(3),
            serial: 4,
            listing_signature: [5; 64],
        }
    }
}

impl SenderProof {
    /// The proof for one of our lines.
    pub(crate) fn of(caller: &SealingKeys<'_>, dated: UnixTime) -> Self {
        let listing = caller.identity.listing();
        Self {
            dated,
            number: caller.number,
            serial: listing.serial(),
            listing_signature: *listing.signature(),
        }
    }

    pub(crate) fn write(&self, out: &mut Zeroizing<Vec<u8>>) {
        put_time(out, self.dated);
        out.extend_from_slice(&self.number.value().to_be_bytes());
        out.extend_from_slice(&self.serial.to_be_bytes());
        out.extend_from_slice(&self.listing_signature);
    }

    pub(crate) fn read(rest: &mut &[u8]) -> Result<Self, EnvelopeError> {
        Ok(Self {
            dated: take_time(rest)?,
            number: Number::new(u32::from_be_bytes(*take(rest)?)),
            serial: u32::from_be_bytes(*take(rest)?),
            listing_signature: *take(rest)?,
        })
    }
}
