//! Who sends a message 1, and what proves it: number, keys, the caller's own signature and the phone book's.
//!
//! 184 bytes that stand alike in a ring, a text and a missed-call note, so that the receiver needs no look-up. Noise proves the ring
//! key; this says whose it is.

use ringfence_book::{Binding, BindingError, BookKey, Day, IdentityKey, Listing, Number, RingKey};
use zeroize::Zeroizing;

use crate::sealed::envelope::fields::{put_time, take, take_time};
use crate::sealed::first_message::SealingKeys;
use crate::sealed::rejected::EnvelopeError;
use crate::time::UnixTime;

/// Bytes of a sender proof.
pub(crate) const SENDER_PROOF_LEN: usize = 184;

/// The sender, as it says itself until [`Self::verify`] agrees.
#[derive(Clone)]
pub(crate) struct SenderProof {
    pub(crate) dated: UnixTime,
    pub(crate) number: Number,
    pub(crate) identity: IdentityKey,
    pub(crate) ring_key_id: [u8; 4],
    pub(crate) valid_until: Day,
    pub(crate) listing_signature: [u8; 64],
    pub(crate) binding_expires: Day,
    pub(crate) binding_signature: [u8; 64],
}

#[cfg(test)]
impl SenderProof {
    /// One whose fields can be told apart; its signatures prove nothing.
    pub(crate) fn sample() -> Self {
        use ed25519_dalek::SigningKey;

        Self {
            dated: UnixTime::from_millis(2),
            number: Number::new(3),
            identity: IdentityKey::from(&SigningKey::from_bytes(&[4; 32])),
            ring_key_id: [5; 4],
            valid_until: Day::new(6),
            listing_signature: [7; 64],
            binding_expires: Day::new(8),
            binding_signature: [9; 64],
        }
    }
}

impl SenderProof {
    /// The proof for one of our lines.
    pub(crate) fn of(caller: &SealingKeys<'_>, dated: UnixTime) -> Self {
        let listing = caller.identity.listing();
        Self {
            dated,
            number: caller.binding.number(),
            identity: caller.identity.key(),
            ring_key_id: listing.ring_key_id(),
            valid_until: listing.valid_until(),
            listing_signature: *listing.signature(),
            binding_expires: caller.binding.expires(),
            binding_signature: *caller.binding.signature(),
        }
    }

    pub(crate) fn write(&self, out: &mut Zeroizing<Vec<u8>>) {
        put_time(out, self.dated);
        out.extend_from_slice(&self.number.value().to_be_bytes());
        out.extend_from_slice(self.identity.as_bytes());
        out.extend_from_slice(&self.ring_key_id);
        out.extend_from_slice(&self.valid_until.count().to_be_bytes());
        out.extend_from_slice(&self.listing_signature);
        out.extend_from_slice(&self.binding_expires.count().to_be_bytes());
        out.extend_from_slice(&self.binding_signature);
    }

    pub(crate) fn read(rest: &mut &[u8]) -> Result<Self, EnvelopeError> {
        Ok(Self {
            dated: take_time(rest)?,
            number: Number::new(u32::from_be_bytes(*take(rest)?)),
            identity: IdentityKey::from_bytes(take(rest)?).map_err(|_| EnvelopeError::Body)?,
            ring_key_id: *take(rest)?,
            valid_until: Day::new(u32::from_be_bytes(*take(rest)?)),
            listing_signature: *take(rest)?,
            binding_expires: Day::new(u32::from_be_bytes(*take(rest)?)),
            binding_signature: *take(rest)?,
        })
    }

    /// The sender's listing around the key that Noise proved, then the phone book's word, both as of `day`.
    pub(crate) fn verify(
        &self,
        proved: &[u8; 32],
        book_key: &BookKey,
        day: Day,
    ) -> Result<(), EnvelopeError> {
        let ring_key = RingKey::from_bytes(proved).map_err(|_| EnvelopeError::CallerSignature)?;
        if ring_key.id() != self.ring_key_id {
            return Err(EnvelopeError::CallerSignature);
        }
        let listing = Listing::from_parts(
            self.identity,
            ring_key,
            self.valid_until,
            self.listing_signature,
        )
        .map_err(|_| EnvelopeError::CallerSignature)?;
        if !listing.is_current(day) {
            return Err(EnvelopeError::CallerExpired);
        }
        self.binding()
            .verify(book_key, day)
            .map_err(|error| match error {
                BindingError::Expired => EnvelopeError::BindingExpired,
                _ => EnvelopeError::Binding,
            })
    }

    /// The binding that these parts claim. Not verified yet.
    fn binding(&self) -> Binding {
        Binding::from_parts(
            self.number,
            self.identity,
            self.binding_expires,
            self.binding_signature,
        )
    }
}
