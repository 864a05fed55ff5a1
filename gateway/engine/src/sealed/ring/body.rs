//! The bodies of ring, answer and cancel as bytes. Tables with who sees what: PROTOCOL.md.
//!
//! Reading a body says nothing about whether it is true; `incoming` and `outgoing` verify.

use zeroize::Zeroizing;

use super::CancelReason;
use crate::sealed::book_view::BookView;
use crate::sealed::envelope::MAX_MEDIA;
use crate::sealed::envelope::fields::{put_call, put_time, take, take_call, take_time};
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::routing_tag::CallId;
use crate::sealed::sender_proof::SenderProof;
use crate::time::UnixTime;

/// Body of a ring, 355 bytes and the media description.
pub(crate) struct RingBody {
    pub(crate) call: CallId,
    pub(crate) from: SenderProof,
    pub(crate) book: BookView,
    /// How long its phones shall ring from now on, in milliseconds: less in each copy of a ring.
    pub(crate) rings_for: u16,
    pub(crate) media: Zeroizing<Vec<u8>>,
}

impl RingBody {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(RING_FIXED + self.media.len()));
        put_call(&mut out, &self.call);
        self.from.write(&mut out);
        write_description(
            &mut out,
            &self.book,
            self.rings_for.to_be_bytes(),
            &self.media,
        );
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, EnvelopeError> {
        let mut rest = body;
        let call = take_call(&mut rest)?;
        let from = SenderProof::read(&mut rest)?;
        let (book, rings_for, media) = read_description(&mut rest)?;
        Ok(Self {
            call,
            from,
            book,
            rings_for: u16::from_be_bytes(rings_for),
            media,
        })
    }
}

/// Body of an answer, 291 bytes and the media description.
pub(crate) struct AnswerBody {
    /// See [`crate::sealed::envelope::EventContext::answer_hash`].
    pub(crate) event: [u8; 32],
    pub(crate) book: BookView,
    pub(crate) media: Zeroizing<Vec<u8>>,
}

impl AnswerBody {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(ANSWER_FIXED + self.media.len()));
        out.extend_from_slice(&self.event);
        write_description(&mut out, &self.book, NO_FLAGS, &self.media);
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, EnvelopeError> {
        let mut rest = body;
        let event = *take(&mut rest)?;
        let (book, _, media) = read_description(&mut rest)?;
        Ok(Self { event, book, media })
    }
}

/// Body of a cancel, 25 bytes.
pub(crate) struct CancelBody {
    pub(crate) call: CallId,
    pub(crate) dated: UnixTime,
    pub(crate) reason: CancelReason,
}

impl CancelBody {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(CANCEL_LEN));
        put_call(&mut out, &self.call);
        put_time(&mut out, self.dated);
        out.push(match self.reason {
            CancelReason::GaveUp => 0,
            CancelReason::AnsweredElsewhere => 1,
        });
        out
    }

    /// A reason that this version does not know counts as "gave up": the ringing has to stop all the same.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, EnvelopeError> {
        let mut rest = body;
        let call = take_call(&mut rest)?;
        let dated = take_time(&mut rest)?;
        let [reason] = *take::<1>(&mut rest)?;
        if !rest.is_empty() {
            return Err(EnvelopeError::Body);
        }
        let reason = if reason == 1 {
            CancelReason::AnsweredElsewhere
        } else {
            CancelReason::GaveUp
        };
        Ok(Self {
            call,
            dated,
            reason,
        })
    }
}

/// The part that ring and answer have in common: view of the book, two bytes, media description to the end.
fn write_description(out: &mut Vec<u8>, book: &BookView, two: [u8; 2], media: &[u8]) {
    out.extend_from_slice(book.as_bytes());
    out.extend_from_slice(&two);
    out.extend_from_slice(media);
}

/// What [`write_description`] writes.
type Described = (BookView, [u8; 2], Zeroizing<Vec<u8>>);

/// Reads what [`write_description`] writes. The two bytes of an answer have no meaning yet and are not looked at.
fn read_description(rest: &mut &[u8]) -> Result<Described, EnvelopeError> {
    let book = BookView::from_bytes(*take(rest)?);
    let two = *take(rest)?;
    if rest.len() > MAX_MEDIA {
        return Err(EnvelopeError::Body);
    }
    Ok((book, two, Zeroizing::new(rest.to_vec())))
}

const NO_FLAGS: [u8; 2] = [0; 2];
const RING_FIXED: usize = 355;
const ANSWER_FIXED: usize = 291;
const CANCEL_LEN: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring_body(media: Vec<u8>) -> RingBody {
        RingBody {
            call: CallId::from_bytes([1; 16]),
            from: SenderProof::sample(),
            book: BookView::from_bytes([10; 257]),
            rings_for: 0x1122,
            media: Zeroizing::new(media),
        }
    }

    #[test]
    fn bodies_have_the_lengths_that_the_protocol_says() {
        assert_eq!(ring_body(vec![]).encode().len(), RING_FIXED);
        let answer = AnswerBody {
            event: [0; 32],
            book: BookView::NONE,
            media: Zeroizing::default(),
        };
        assert_eq!(answer.encode().len(), ANSWER_FIXED);
        let cancel = CancelBody {
            call: CallId::from_bytes([0; 16]),
            dated: UnixTime::default(),
            reason: CancelReason::GaveUp,
        };
        assert_eq!(cancel.encode().len(), CANCEL_LEN);
    }

    #[test]
    fn media_of_400_bytes_is_read_and_one_more_is_not() {
        assert!(RingBody::decode(&ring_body(vec![1; 400]).encode()).is_ok());
        assert_eq!(
            RingBody::decode(&ring_body(vec![1; 401]).encode()).err(),
            Some(EnvelopeError::Body)
        );
    }

    #[test]
    fn a_cancel_stops_the_ringing_whatever_its_reason() {
        let mut body = [0; CANCEL_LEN];
        body[24] = 77;
        assert_eq!(
            CancelBody::decode(&body).map(|read| read.reason),
            Ok(CancelReason::GaveUp)
        );
        body[24] = 1;
        let reason = CancelBody::decode(&body).map(|read| read.reason);
        assert_eq!(reason, Ok(CancelReason::AnsweredElsewhere));
        assert_eq!(
            CancelBody::decode(&[0; 26]).err(),
            Some(EnvelopeError::Body)
        );
        assert_eq!(
            CancelBody::decode(&[0; 24]).err(),
            Some(EnvelopeError::Body)
        );
    }

    proptest! {
        #[test]
        fn a_ring_body_that_is_read_is_written_alike(media in proptest::collection::vec(any::<u8>(), 0..=400)) {
            let bytes = ring_body(media).encode();
            let read = RingBody::decode(&bytes).expect("own bytes");
            prop_assert_eq!(&read.encode()[..], &bytes[..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..908)) {
            let _ = RingBody::decode(&bytes);
            let _ = CancelBody::decode(&bytes);
            if let Ok(answer) = AnswerBody::decode(&bytes) {
                prop_assert_eq!(answer.media.len() + ANSWER_FIXED, bytes.len());
            }
        }
    }
}
