//! Puts long texts together from pieces that come in any order, from several relays, days apart.
//!
//! Not saved: relays give every piece out again at the next start. When it is full, the oldest text of a stranger goes, for the same
//! reason.

use std::collections::BTreeMap;

use ringfence_book::Number;
use zeroize::Zeroizing;

use super::body::TextBody;
use super::{LIFE, MOST_PIECES, NoteId, SKEW};
use crate::sealed::rejected::EnvelopeError;
use crate::time::UnixTime;
use crate::trust::shares::{Owner, Shares};

/// Texts that lack pieces; with all of them 370 kB.
const MOST: usize = 64;

/// How they are shared.
const TEXTS: Shares = Shares {
    all: MOST,
    strangers: 32,
    each_contact: 8,
    each_stranger: 4,
};

/// Texts that lack pieces.
#[derive(Default)]
pub(crate) struct TextPieces {
    texts: BTreeMap<NoteId, PartialText>,
}

struct PartialText {
    sender: Number,
    dated: UnixTime,
    count: u8,
    pieces: [Option<Zeroizing<Vec<u8>>>; MOST_PIECES],
}

/// A text with nothing missing.
pub(crate) struct WholeText {
    pub(crate) dated: UnixTime,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

impl TextPieces {
    /// Takes a verified piece; the text, if it was the last.
    ///
    /// # Errors
    /// [`EnvelopeError::Body`] for a piece of another text than its fellows, [`EnvelopeError::SenderQuota`].
    pub(crate) fn add(
        &mut self,
        id: NoteId,
        body: TextBody,
        is_contact: impl Fn(Number) -> bool,
        now: UnixTime,
    ) -> Result<Option<WholeText>, EnvelopeError> {
        self.texts
            .retain(|_, partial| now <= partial.dated.after(LIFE + SKEW));
        if !self.texts.contains_key(&id) {
            self.make_room(body.from.number, is_contact)?;
        }
        let partial = self.texts.entry(id).or_insert_with(|| PartialText {
            sender: body.from.number,
            dated: body.from.dated,
            count: body.count,
            pieces: Default::default(),
        });
        if (partial.sender, partial.count) != (body.from.number, body.count) {
            return Err(EnvelopeError::Body);
        }
        let place = partial.pieces.get_mut(usize::from(body.index));
        *place.ok_or(EnvelopeError::Body)? = Some(body.piece);
        let present = partial.pieces.iter().flatten().count();
        if present < usize::from(partial.count) {
            return Ok(None);
        }
        Ok(self.texts.remove(&id).map(PartialText::join))
    }

    fn make_room(
        &mut self,
        sender: Number,
        is_contact: impl Fn(Number) -> bool,
    ) -> Result<(), EnvelopeError> {
        let owner = |sender| Owner {
            sender,
            is_contact: is_contact(sender),
        };
        let mut waiting: Vec<_> = self.texts.iter().collect();
        waiting.sort_by_key(|(_, text)| text.dated);
        let owners = waiting.iter().map(|(_, text)| owner(text.sender));
        let gone = TEXTS.make_room(owners, owner(sender))?;
        if let Some(id) = gone.map(|gone| *waiting[gone].0) {
            self.texts.remove(&id);
        }
        Ok(())
    }
}

impl PartialText {
    fn join(self) -> WholeText {
        let length = self.pieces.iter().flatten().map(|piece| piece.len()).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        for piece in self.pieces.iter().flatten() {
            bytes.extend_from_slice(piece);
        }
        WholeText {
            dated: self.dated,
            bytes,
        }
    }
}

impl std::fmt::Debug for TextPieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TextPieces({} texts)", self.texts.len())
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::sealed::sender_proof::SenderProof;

    const FRIEND: Number = Number::new(1);
    const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);

    fn piece(sender: u32, (index, count): (u8, u8), text: &[u8]) -> TextBody {
        TextBody {
            id: [0; 16],
            from: SenderProof {
                dated: NOW,
                number: Number::new(sender),
                ..SenderProof::sample()
            },
            index,
            count,
            piece: Zeroizing::new(text.to_vec()),
        }
    }

    fn id(name: u8) -> NoteId {
        NoteId::from_bytes([name; 16])
    }

    fn add(
        pieces: &mut TextPieces,
        name: u8,
        body: TextBody,
    ) -> Result<Option<Vec<u8>>, EnvelopeError> {
        let whole = pieces.add(id(name), body, |sender| sender == FRIEND, NOW)?;
        Ok(whole.map(|whole| whole.bytes.to_vec()))
    }

    #[test]
    fn pieces_in_any_order_and_twice_become_one_text() {
        let mut pieces = TextPieces::default();
        assert_eq!(add(&mut pieces, 1, piece(1, (2, 3), b"c")), Ok(None));
        assert_eq!(add(&mut pieces, 1, piece(1, (2, 3), b"c")), Ok(None));
        assert_eq!(add(&mut pieces, 1, piece(1, (0, 3), b"a")), Ok(None));
        let whole = add(&mut pieces, 1, piece(1, (1, 3), b"b"));
        assert_eq!(whole, Ok(Some(b"abc".to_vec())));
        assert!(pieces.texts.is_empty());
    }

    #[test]
    fn pieces_that_disagree_about_their_text_do_not_join() {
        let mut pieces = TextPieces::default();
        assert_eq!(add(&mut pieces, 1, piece(1, (0, 2), b"a")), Ok(None));
        let other = add(&mut pieces, 1, piece(1, (1, 3), b"b"));
        assert_eq!(other, Err(EnvelopeError::Body));
    }

    #[test]
    fn one_sender_cannot_fill_it_and_strangers_push_out_no_friend_s() {
        let mut pieces = TextPieces::default();
        for name in 0..8 {
            assert_eq!(add(&mut pieces, name, piece(1, (0, 2), b"a")), Ok(None));
        }
        let ninth = add(&mut pieces, 9, piece(1, (0, 2), b"a"));
        assert_eq!(ninth, Err(EnvelopeError::SenderQuota));
        for name in 10..100 {
            let sender = u32::from(name);
            assert_eq!(
                add(&mut pieces, name, piece(sender, (0, 2), b"a")),
                Ok(None)
            );
        }
        // Strangers filled their own part, and pushed out each other's.
        assert_eq!(pieces.texts.len(), 8 + TEXTS.strangers);
        assert!((0..8).all(|name| pieces.texts.contains_key(&id(name))));
    }

    #[test]
    fn what_no_relay_keeps_any_more_is_forgotten() {
        let mut pieces = TextPieces::default();
        assert_eq!(add(&mut pieces, 1, piece(1, (0, 2), b"a")), Ok(None));
        let later = NOW.after(LIFE + SKEW + SKEW);
        let mut other = piece(2, (0, 2), b"a");
        other.from.dated = later;
        assert!(pieces.add(id(2), other, |_| false, later).is_ok());
        assert_eq!(pieces.texts.len(), 1);
    }
}
