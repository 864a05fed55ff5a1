//! The sender's half of a text: cut it, and seal one piece for one event. The missed-call note is sealed by the ring that it tells
//! of ([`crate::sealed::ring::outgoing::OutgoingRing::seal_missed`]).

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::PIECE;
use super::body::TextBody;
use crate::sealed::envelope::Envelope;
use crate::sealed::envelope::payload::PayloadKind;
use crate::sealed::first_message::SealError;
use crate::sealed::first_message::{
    FirstMessageDraw, Outside, SealingKeys, first_payload, seal_first,
};
use crate::sealed::sender_proof::SenderProof;
use crate::time::UnixTime;
use crate::trust::directory::CalleeKeys;

/// A text that is to be sealed, piece by piece.
pub struct TextDraft {
    id: [u8; 16],
    text: Zeroizing<Vec<u8>>,
}

impl TextDraft {
    /// Takes a text of 1 to [`super::MOST_TEXT`] bytes.
    #[must_use]
    pub fn new(text: Zeroizing<Vec<u8>>, rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        Self { id, text }
    }

    /// How many envelopes it takes.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.text.len().div_ceil(PIECE)
    }

    /// Seals one piece.
    ///
    /// # Errors
    /// [`SealError::CalleeKey`].
    pub fn seal(
        &self,
        index: usize,
        caller: &SealingKeys<'_>,
        callee: &CalleeKeys,
        outside: impl Into<Outside>,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Envelope, SealError> {
        let piece = self.text.chunks(PIECE).nth(index).unwrap_or_default();
        let small = |count: usize| u8::try_from(count).map_err(|_| SealError::MediaTooLong);
        let body = TextBody {
            id: self.id,
            from: SenderProof::of(caller, now),
            index: small(index)?,
            count: small(self.pieces())?,
            piece: Zeroizing::new(piece.to_vec()),
        };
        let payload = first_payload(PayloadKind::Text, &body.encode())?;
        let own = caller.identity.ring_secret().clone();
        let key = *callee.ring_key.as_bytes();
        let sealed = seal_first(
            own,
            key,
            &callee.identity,
            payload,
            FirstMessageDraw::new(outside.into(), rng),
        );
        sealed.map(|(_, envelope)| envelope)
    }
}

impl std::fmt::Debug for TextDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TextDraft(..)")
    }
}
