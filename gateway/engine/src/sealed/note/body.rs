//! The bodies of a text's piece and of a missed-call note as bytes. Tables with who sees what: PROTOCOL.md sections 4.7 and 4.8.

use zeroize::Zeroizing;

use super::{MOST_PIECES, PIECE};
use crate::sealed::envelope::fields::{put_call, put_time, take, take_call, take_time};
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::routing_tag::CallId;
use crate::sealed::sender_proof::{SENDER_PROOF_LEN, SenderProof};
use crate::time::UnixTime;

/// One piece of a text: 98 bytes and up to [`PIECE`] of text. All pieces but the last are full.
pub(crate) struct TextBody {
    pub(crate) id: [u8; 16],
    pub(crate) from: SenderProof,
    /// Counted from 0.
    pub(crate) index: u8,
    pub(crate) count: u8,
    pub(crate) piece: Zeroizing<Vec<u8>>,
}

impl TextBody {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(TEXT_FIXED + self.piece.len()));
        out.extend_from_slice(&self.id);
        self.from.write(&mut out);
        out.extend_from_slice(&[self.index, self.count]);
        out.extend_from_slice(&self.piece);
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, EnvelopeError> {
        let mut rest = body;
        let id = *take(&mut rest)?;
        let from = SenderProof::read(&mut rest)?;
        let [index, count] = *take(&mut rest)?;
        let is_last = index.checked_add(1) == Some(count);
        let fits = if is_last {
            (1..=PIECE).contains(&rest.len())
        } else {
            rest.len() == PIECE
        };
        if index >= count || usize::from(count) > MOST_PIECES || !fits {
            return Err(EnvelopeError::Body);
        }
        Ok(Self {
            id,
            from,
            index,
            count,
            piece: Zeroizing::new(rest.to_vec()),
        })
    }
}

/// The missed-call note of a ring that was not answered: 104 bytes.
pub(crate) struct MissedBody {
    /// The ring's own call id: the receiver may have heard the ring itself.
    pub(crate) call: CallId,
    pub(crate) from: SenderProof,
    /// When it rang.
    pub(crate) rang: UnixTime,
}

impl MissedBody {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(MISSED_LEN));
        put_call(&mut out, &self.call);
        self.from.write(&mut out);
        put_time(&mut out, self.rang);
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, EnvelopeError> {
        let mut rest = body;
        let read = Self {
            call: take_call(&mut rest)?,
            from: SenderProof::read(&mut rest)?,
            rang: take_time(&mut rest)?,
        };
        if rest.is_empty() {
            Ok(read)
        } else {
            Err(EnvelopeError::Body)
        }
    }
}

const TEXT_FIXED: usize = 16 + SENDER_PROOF_LEN + 2;
const MISSED_LEN: usize = 16 + SENDER_PROOF_LEN + 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sealed::envelope::payload::{FIRST_PAYLOAD, PayloadKind, encode};

    fn text(index: u8, count: u8, length: usize) -> TextBody {
        TextBody {
            id: [1; 16],
            from: SenderProof::sample(),
            index,
            count,
            piece: Zeroizing::new(vec![b'x'; length]),
        }
    }

    #[test]
    fn a_full_piece_fills_its_envelope_to_the_last_byte() {
        let body = text(0, 2, PIECE).encode();
        assert!(encode::<FIRST_PAYLOAD>(PayloadKind::Text, &body).is_some());
        let longer = text(0, 2, PIECE + 1).encode();
        assert!(encode::<FIRST_PAYLOAD>(PayloadKind::Text, &longer).is_none());
    }

    #[test]
    fn a_text_can_be_cut_in_one_way_only() {
        let read = |index, count, length| TextBody::decode(&text(index, count, length).encode());
        for (index, count, length) in [(0, 1, 1), (0, 1, PIECE), (0, 2, PIECE), (7, 8, 5)] {
            assert!(
                read(index, count, length).is_ok(),
                "{index} {count} {length}"
            );
        }
        for (index, count, length) in [
            (0, 0, 1),
            (1, 1, 1),
            (0, 1, 0),
            (0, 2, PIECE - 1),
            (0, 9, PIECE),
            (255, 255, 1),
        ] {
            let refused = read(index, count, length).err();
            assert_eq!(
                refused,
                Some(EnvelopeError::Body),
                "{index} {count} {length}"
            );
        }
    }

    #[test]
    fn a_missed_call_note_has_the_length_that_the_protocol_says() {
        let body = MissedBody {
            call: CallId::from_bytes([1; 16]),
            from: SenderProof::sample(),
            rang: UnixTime::from_millis(9),
        };
        let mut bytes = body.encode().to_vec();
        assert_eq!(bytes.len(), 104);
        assert!(MissedBody::decode(&bytes).is_ok_and(|read| read.rang == body.rang));
        bytes.push(0);
        assert_eq!(MissedBody::decode(&bytes).err(), Some(EnvelopeError::Body));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..908)) {
            let _ = MissedBody::decode(&bytes);
            if let Ok(text) = TextBody::decode(&bytes) {
                prop_assert_eq!(&text.encode()[..], &bytes[..]);
            }
        }
    }
}
