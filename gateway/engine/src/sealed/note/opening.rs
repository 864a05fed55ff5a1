//! The receiver's half: open a note and verify its sender as a ring's, but as of the time at which it was written.
//!
//! Not done here: whether it is known already, or wanted. What a note proves is what a ring proves (`ring::incoming`): with the
//! receiver's own stolen ring key, any number can seem to have sent it.

use std::time::Duration;

use super::body::{MissedBody, TextBody};
use super::{LIFE, NoteId, SKEW};
use crate::line::identity::Identity;
use crate::sealed::envelope::payload::{self, PayloadKind};
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::first_message::try_keys;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::ring::RingId;
use crate::sealed::sender_proof::SenderProof;
use crate::time::UnixTime;
use crate::trust::callers::Callers;
use crate::trust::contacts::PeerIdentity;

/// A ring lasts no longer than callers wait, and its note is made at the end.
const MOST_RINGING: Duration = Duration::from_secs(600);

/// A verified note, and the listener that it is for (index into the slice).
pub(crate) enum OpenedNote {
    /// A piece of a text.
    Text {
        line: usize,
        id: NoteId,
        sender: PeerIdentity,
        body: Box<TextBody>,
    },
    /// A ring that was not answered.
    Missed {
        line: usize,
        ring: RingId,
        sender: PeerIdentity,
        rang: UnixTime,
    },
}

/// Whether an event made at `made` may still be a note, by our clock.
pub(crate) fn is_alive(made: UnixTime, now: UnixTime) -> bool {
    made <= now.after(SKEW) && now <= made.after(LIFE + SKEW)
}

/// Tries every line's keys on a note that says that it was made at `made`. Its proof of work was checked and spent before.
///
/// # Errors
/// [`EnvelopeError`]; [`EnvelopeError::NotOurs`] is the ordinary one.
pub(crate) fn open(
    listeners: &[&Identity],
    callers: Callers<'_>,
    envelope: &Envelope,
    event: &EventContext,
    (made, now): (UnixTime, UnixTime),
) -> Result<OpenedNote, EnvelopeError> {
    let (line, _, opened) = try_keys(listeners, envelope, event, now.day())?;
    let (kind, body) = payload::decode(&opened.payload[..])?;
    let verify = |from: &SenderProof| {
        if from.dated.distance(made) > SKEW {
            return Err(EnvelopeError::Stale);
        }
        callers.identify_writer(from, &opened.caller, now)
    };
    match kind {
        PayloadKind::Text => {
            let body = TextBody::decode(body)?;
            let sender = verify(&body.from)?;
            Ok(OpenedNote::Text {
                line,
                id: NoteId::of_text(&sender.identity, &body.id),
                sender,
                body: Box::new(body),
            })
        }
        PayloadKind::Missed => {
            let body = MissedBody::decode(body)?;
            let sender = verify(&body.from)?;
            if body.rang.distance(body.from.dated) > MOST_RINGING {
                return Err(EnvelopeError::Stale);
            }
            Ok(OpenedNote::Missed {
                line,
                ring: RingId::new(&opened.caller, &body.call),
                sender,
                rang: body.rang,
            })
        }
        // Whatever is of use within a minute only has no business in an event that is kept.
        PayloadKind::Ring
        | PayloadKind::Answer
        | PayloadKind::Moved
        | PayloadKind::Cancel
        | PayloadKind::HangUp
        | PayloadKind::Confirm
        | PayloadKind::Presence => Err(EnvelopeError::Kind),
    }
}
