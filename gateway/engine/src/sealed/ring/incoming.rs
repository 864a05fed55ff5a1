//! The callee's half: try the keys, verify everything, and only then let a ring exist.
//!
//! Whatever is wrong, the sender hears nothing. Cheap checks come first; the memory of what was seen is
//! written last, and by verified rings alone.
//!
//! What a ring proves: that a holder of the caller's ring key made it, for this callee, bucket and
//! event, in the last minute. With one exception: a thief of the *callee's* ring key can make rings that
//! seem to come from any number (key compromise impersonation, Noise section 7.7, source level 1). Such a ring
//! can never become a call: the answer is readable only with the caller's key, and the callee's microphone
//! stays shut until the caller's first session message opens.

use std::fmt;
use std::time::Duration;

use rand_core::CryptoRng;
use ringfence_book::{IdentityKey, Number};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::body::{AnswerBody, CancelBody, RingBody};
use super::{CancelReason, RingId};
use crate::line::identity::Identity;
use crate::sealed::book_view::BookView;
use crate::sealed::envelope::noise;
use crate::sealed::envelope::payload::{self, LATER_PAYLOAD, PayloadKind};
use crate::sealed::envelope::{Envelope, EventContext, MAX_MEDIA};
use crate::sealed::first_message::{SealError, try_keys};
use crate::sealed::presence::PresenceBody;
use crate::sealed::presence::PresenceReport;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::replay::ReplayMemory;
use crate::sealed::session::CallSession;
use crate::time::{Moment, UnixTime};
use crate::trust::callers::Callers;
use crate::trust::contacts::PeerIdentity;

/// What an envelope turned out to be, and for which of the listeners (index into the slice).
#[derive(Debug)]
pub enum OpenedMessage {
    /// A ring.
    Ring {
        /// Index of the listener.
        line: usize,
        /// The proof.
        ring: Box<VerifiedRing>,
    },
    /// A caller takes a ring back. It may come before the ring: the replay memory then refuses the ring.
    Cancel {
        /// Index of the listener.
        line: usize,
        /// The ring that is over.
        id: RingId,
        /// Why.
        reason: CancelReason,
    },
    /// A presence report of another line.
    Presence {
        /// Index of the listener.
        line: usize,
        /// What it says.
        word: PresenceReport,
    },
}

/// Tries every listener's keys on an envelope and verifies what opens.
///
/// The proof of work was checked and spent before ([`crate::sealed::proof_of_work::check`], [`ReplayMemory::spend`]), and the routing tag is none that
/// a call expects.
///
/// # Errors
/// [`EnvelopeError`]; [`EnvelopeError::NotOurs`] is the ordinary one.
pub fn open(
    listeners: &[&Identity],
    callers: Callers<'_>,
    envelope: &Envelope,
    event: &EventContext,
    seen: &mut ReplayMemory,
    arrival: Moment,
) -> Result<OpenedMessage, EnvelopeError> {
    let (line, key, opened) = try_keys(listeners, envelope, event, arrival.wall.day())?;
    let listener = listeners.get(line).ok_or(EnvelopeError::NotOurs)?;
    let (kind, body) = payload::decode(&opened.payload[..])?;
    match kind {
        PayloadKind::Ring => {
            let body = RingBody::decode(body)?;
            check_time(body.from.dated, arrival.wall)?;
            let sender = callers.identify(&body.from, &opened.caller, arrival.wall)?;
            let id = RingId::new(&opened.caller, &body.call);
            seen.admit(sender.number, (body.from.dated, id), arrival)?;
            let prologue = event.prologue(envelope.routing_tag(), listener.key().as_bytes());
            let ring = VerifiedRing {
                own: key.clone(),
                prologue,
                envelope: envelope.clone(),
                id,
                sender,
                body,
            };
            Ok(OpenedMessage::Ring {
                line,
                ring: Box::new(ring),
            })
        }
        PayloadKind::Cancel => {
            let body = CancelBody::decode(body)?;
            check_time(body.dated, arrival.wall)?;
            let id = RingId::new(&opened.caller, &body.call);
            seen.cancel(id);
            Ok(OpenedMessage::Cancel {
                line,
                id,
                reason: body.reason,
            })
        }
        PayloadKind::Presence => {
            let body = PresenceBody::decode(body)?;
            check_time(body.from.dated, arrival.wall)?;
            let sender = callers.identify(&body.from, &opened.caller, arrival.wall)?;
            Ok(OpenedMessage::Presence {
                line,
                word: PresenceReport::of(sender, &body),
            })
        }
        PayloadKind::Answer
        | PayloadKind::Moved
        | PayloadKind::Confirm
        | PayloadKind::HangUp
        | PayloadKind::Text
        | PayloadKind::Missed => Err(EnvelopeError::Kind),
    }
}

fn check_time(dated: UnixTime, now: UnixTime) -> Result<(), EnvelopeError> {
    if dated.distance(now) > GOOD_FOR {
        Err(EnvelopeError::Stale)
    } else {
        Ok(())
    }
}

/// A ring of which everything was checked. Only [`open`] makes one. Its secrets are wiped when it is dropped.
pub struct VerifiedRing {
    own: StaticSecret,
    prologue: Vec<u8>,
    envelope: Envelope,
    id: RingId,
    sender: PeerIdentity,
    body: RingBody,
}

impl VerifiedRing {
    /// Name of this ring, to match a cancel.
    #[must_use]
    pub fn id(&self) -> RingId {
        self.id
    }

    /// Date and name: what the replay memory knows it by.
    pub(crate) fn dated_id(&self) -> (UnixTime, RingId) {
        (self.body.from.dated, self.id)
    }

    /// The caller's number and identity.
    pub(crate) fn sender(&self) -> PeerIdentity {
        self.sender
    }

    /// The caller's number.
    #[must_use]
    pub fn caller_number(&self) -> Number {
        self.sender.number
    }

    /// The identity that the copy of the phone book lists for it.
    #[must_use]
    pub fn caller(&self) -> IdentityKey {
        self.sender.identity
    }

    /// When the caller's engine says that it rang.
    #[must_use]
    pub fn dated(&self) -> UnixTime {
        self.body.from.dated
    }

    /// How long the caller still waits at `now`, a moment of this engine's wall clock: as long as it said, and not longer than until the
    /// end that follows from its date, so that a ring that was held back does not ring after its caller has gone. Zero when it has.
    #[must_use]
    pub fn rings_for(&self, now: UnixTime) -> Duration {
        let says = Duration::from_millis(self.body.rings_for.into());
        self.body.from.dated.after(says + LATE).since(now).min(says)
    }

    /// The phone book as the caller sees it.
    #[must_use]
    pub fn book(&self) -> BookView {
        self.body.book
    }

    /// The caller's encoded media description, at most [`MAX_MEDIA`] bytes.
    #[must_use]
    pub fn media(&self) -> &[u8] {
        &self.body.media
    }

    /// Seals the answer, once. Only for a ring that a person answered: until then nothing leaves this engine.
    ///
    /// # Errors
    /// [`SealError::MediaTooLong`].
    pub fn answer(
        self,
        media: &[u8],
        book: BookView,
        event: &EventContext,
        rng: &mut impl CryptoRng,
    ) -> Result<(CallSession, Envelope), SealError> {
        if media.len() > MAX_MEDIA {
            return Err(SealError::MediaTooLong);
        }
        let mut ephemeral = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut ephemeral[..]);
        let routing_tag = self.body.call.answer_tag();
        let media = Zeroizing::new(media.to_vec());
        let body = AnswerBody {
            event: event.answer_hash(routing_tag),
            book,
            media,
        };
        let payload = payload::encode::<LATER_PAYLOAD>(PayloadKind::Answer, &body.encode())
            .ok_or(SealError::MediaTooLong)?;
        let first = self.envelope.sealed();
        let (sealed, keys) =
            noise::write_answer(&self.own, &self.prologue, first, ephemeral, &payload)
                .map_err(|_| SealError::CalleeKey)?;
        let (call, day) = (self.body.call.clone(), self.body.from.dated.day());
        let session = CallSession::of_callee(keys, call, day);
        Ok((session, Envelope::frame(routing_tag, &sealed)))
    }
}

impl fmt::Debug for VerifiedRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedRing(..)")
    }
}

/// How long after the end of its own time a ring may still sound: for its way, and for clocks that are a little apart.
const LATE: Duration = Duration::from_secs(3);

/// How far a ring's own time may be from ours, either way.
pub const GOOD_FOR: Duration = Duration::from_secs(60);
