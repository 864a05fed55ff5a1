//! The caller's half of a ring: seal it, take it back, open the answer.
//!
//! The handshake is played again when an answer comes (`envelope::noise`), so that a forged or moved answer
//! is refused without spoiling the real one.

use std::fmt;
use std::time::Duration;

use rand_core::CryptoRng;
use ringfence_book::IdentityKey;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::body::{AnswerBody, CancelBody, RingBody};
use super::{CallAnswer, CancelReason, RingId};
use crate::sealed::envelope::noise::FirstMessage;
use crate::sealed::envelope::payload::{self, PayloadKind};
use crate::sealed::envelope::{Envelope, EventContext, MAX_MEDIA};
use crate::sealed::first_message::{
    FirstMessageDraw, Outside, SealError, SealingKeys, first_payload, seal_first,
};
use crate::sealed::note::body::MissedBody;
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::routing_tag::{CallId, RoutingTag};
use crate::sealed::sender_proof::SenderProof;
use crate::sealed::session::CallSession;
use crate::time::UnixTime;
use crate::trust::directory::CalleeKeys;

/// A ring that was sealed and may be answered. Its secrets are wiped when it is dropped.
pub struct OutgoingRing {
    /// One for each time that it was sealed, with its date: any of them may be answered.
    firsts: Vec<(UnixTime, FirstMessage)>,
    body: RingBody,
    id: RingId,
    callee: IdentityKey,
    rang: UnixTime,
    own: StaticSecret,
    key: [u8; 32],
}

impl OutgoingRing {
    /// Seals a ring for the event that `outside` describes. `media` is the caller's encoded description; phones shall ring for
    /// `rings_for`, at most 65 s.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(
        caller: SealingKeys<'_>,
        callee: &CalleeKeys,
        (media, rings_for): (&[u8], Duration),
        outside: impl Into<Outside>,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Envelope), SealError> {
        let draw = FirstMessageDraw::new(outside.into(), rng);
        let call = CallId::draw(rng);
        let own = caller.identity.ring_secret().clone();
        let mut ring = Self {
            firsts: Vec::new(),
            id: RingId::new(PublicKey::from(&own).as_bytes(), &call),
            body: ring_body(caller, call, media, now)?,
            callee: callee.identity,
            rang: now,
            own,
            key: *callee.ring_key.as_bytes(),
        };
        let envelope = ring.seal_copy(rings_for, draw)?;
        Ok((ring, envelope))
    }

    /// Seals the same ring once more, for another event and as of now.
    ///
    /// # Errors
    /// None for a ring that was sealed; the type is that of [`Self::seal`].
    pub fn seal_again(
        &mut self,
        rings_for: Duration,
        outside: impl Into<Outside>,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Envelope, SealError> {
        self.body.from.dated = now;
        self.seal_copy(rings_for, FirstMessageDraw::new(outside.into(), rng))
    }

    /// The caller's description has changed: copies that are sealed from now on carry this one. One that is too long changes nothing.
    pub fn set_media(&mut self, media: &[u8]) {
        if media.len() <= MAX_MEDIA {
            self.body.media = Zeroizing::new(media.to_vec());
        }
    }

    fn seal_copy(
        &mut self,
        rings_for: Duration,
        draw: FirstMessageDraw,
    ) -> Result<Envelope, SealError> {
        self.body.rings_for = u16::try_from(rings_for.as_millis()).unwrap_or(u16::MAX);
        let payload = first_payload(PayloadKind::Ring, &self.body.encode())?;
        let own = self.own.clone();
        let (first, envelope) = seal_first(own, self.key, &self.callee, payload, draw)?;
        self.firsts.push((self.body.from.dated, first));
        Ok(envelope)
    }

    /// The routing tag that the answer will carry.
    #[must_use]
    pub fn answer_tag(&self) -> RoutingTag {
        self.body.call.answer_tag()
    }

    /// The name that the callee's engine computes for this ring too.
    #[must_use]
    pub fn id(&self) -> RingId {
        self.id
    }

    /// Whom this rings: to be pinned when the answer opens.
    #[must_use]
    pub fn callee(&self) -> IdentityKey {
        self.callee
    }

    /// Opens the answer. May be tried again after a refusal.
    ///
    /// # Errors
    /// [`EnvelopeError`]; [`EnvelopeError::Moved`] for a genuine answer in an event that it was not sealed for.
    pub fn open_answer(
        &self,
        envelope: &Envelope,
        event: &EventContext,
    ) -> Result<(CallAnswer, CallSession), EnvelopeError> {
        if envelope.routing_tag() != self.answer_tag() {
            return Err(EnvelopeError::Hint);
        }
        let mut rejected = EnvelopeError::NotOurs;
        let opened = self.firsts.iter().find_map(|(dated, first)| {
            let opened = first.read_answer(envelope.sealed());
            let (payload, keys) = opened.map_err(|error| rejected = error.into()).ok()?;
            Some((payload, keys, dated.day()))
        });
        let (payload, keys, day) = opened.ok_or(rejected)?;
        let (kind, body) = payload::decode(&payload[..])?;
        if kind != PayloadKind::Answer {
            return Err(EnvelopeError::Kind);
        }
        let body = AnswerBody::decode(body)?;
        if body.event != event.answer_hash(envelope.routing_tag()) {
            return Err(EnvelopeError::Moved);
        }
        let answer = CallAnswer {
            media: body.media,
            book: body.book,
        };
        let call = self.body.call.clone();
        Ok((answer, CallSession::of_caller(keys, call, day)))
    }

    /// Seals the withdrawal of this ring, for the same callee key.
    ///
    /// # Errors
    /// None for a ring that was sealed; the type is that of [`Self::seal`].
    pub fn seal_cancel(
        &self,
        reason: CancelReason,
        outside: impl Into<Outside>,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Envelope, SealError> {
        let body = CancelBody {
            call: self.body.call.clone(),
            dated: now,
            reason,
        };
        self.seal_under_ring_keys(PayloadKind::Cancel, &body.encode(), outside.into(), rng)
    }

    /// Seals a note of this ring for a callee whose engine may be off: that it rang and was not answered.
    ///
    /// # Errors
    /// None for a ring that was sealed; the type is that of [`Self::seal`].
    pub fn seal_missed(
        &self,
        caller: &SealingKeys<'_>,
        outside: impl Into<Outside>,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Envelope, SealError> {
        let body = MissedBody {
            call: self.body.call.clone(),
            from: SenderProof::of(caller, now),
            rang: self.rang,
        };
        self.seal_under_ring_keys(PayloadKind::Missed, &body.encode(), outside.into(), rng)
    }

    /// Seals a later message about this ring under the keys of the ring: its receiver computes the ring's name from them.
    fn seal_under_ring_keys(
        &self,
        kind: PayloadKind,
        body: &[u8],
        outside: Outside,
        rng: &mut impl CryptoRng,
    ) -> Result<Envelope, SealError> {
        let sealed = seal_first(
            self.own.clone(),
            self.key,
            &self.callee,
            first_payload(kind, body)?,
            FirstMessageDraw::new(outside, rng),
        );
        sealed.map(|(_, envelope)| envelope)
    }
}

impl fmt::Debug for OutgoingRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutgoingRing(..)")
    }
}

fn ring_body(
    caller: SealingKeys<'_>,
    call: CallId,
    media: &[u8],
    now: UnixTime,
) -> Result<RingBody, SealError> {
    if media.len() > MAX_MEDIA {
        return Err(SealError::MediaTooLong);
    }
    Ok(RingBody {
        call,
        from: SenderProof::of(&caller, now),
        book: caller.book,
        rings_for: 0,
        media: Zeroizing::new(media.to_vec()),
    })
}
