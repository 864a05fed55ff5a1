//! Message 1 of the Noise handshake: how rings, cancels, notes and presence are sealed, and with which keys they are opened.
//!
//! Not here: what a payload says (`ring`, `note`, `presence`), and who may send it ([`crate::trust::callers`]).

use rand_core::CryptoRng;
use ringfence_book::{Day, IdentityKey, Number};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::line::identity::Identity;
use crate::sealed::book_view::BookView;
use crate::sealed::envelope::noise::{self, FirstMessage, HandshakeFailure, OpenedFirstMessage};
use crate::sealed::envelope::payload::{self, FIRST_PAYLOAD, PayloadKind};
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::rejected::EnvelopeError;
use crate::sealed::routing_tag::RoutingTag;

/// What a line seals a message 1 with: its keys and its number.
#[derive(Clone, Copy, Debug)]
pub struct SealingKeys<'a> {
    /// Own keys.
    pub identity: &'a Identity,
    /// Own number.
    pub number: Number,
    /// The phone book as this engine sees it.
    pub book: BookView,
}

/// Why a message cannot be sealed: always the fault of this engine's own input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The media description has more bytes than its room.
    #[error(
        "media description longer than {} bytes",
        crate::sealed::envelope::MAX_MEDIA
    )]
    MediaTooLong,
    /// The callee's ring key cannot be used (all-zero Diffie-Hellman result).
    #[error("unusable callee key")]
    CalleeKey,
}

/// What stands outside of a message 1 that is to be sealed: the event around it, and the tag by which its receiver will know it. Without
/// a tag the hint is random.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    event: EventContext,
    tag: Option<RoutingTag>,
}

impl Outside {
    pub(crate) const fn new(event: EventContext, tag: Option<RoutingTag>) -> Self {
        Self { event, tag }
    }
}

impl From<&EventContext> for Outside {
    fn from(event: &EventContext) -> Self {
        Self::new(*event, None)
    }
}

/// What is drawn for one message 1, in this order.
pub(crate) struct FirstMessageDraw {
    event: EventContext,
    routing_tag: RoutingTag,
    ephemeral: Zeroizing<[u8; 32]>,
}

impl FirstMessageDraw {
    pub(crate) fn new(outside: Outside, rng: &mut impl CryptoRng) -> Self {
        let Outside { event, tag } = outside;
        let routing_tag = tag.unwrap_or_else(|| RoutingTag::random(rng));
        let mut ephemeral = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut ephemeral[..]);
        Self {
            event,
            routing_tag,
            ephemeral,
        }
    }
}

pub(crate) fn first_payload(
    kind: PayloadKind,
    body: &[u8],
) -> Result<Zeroizing<[u8; FIRST_PAYLOAD]>, SealError> {
    payload::encode(kind, body).ok_or(SealError::MediaTooLong)
}

pub(crate) fn seal_first(
    own: StaticSecret,
    callee: [u8; 32],
    callee_identity: &IdentityKey,
    payload: Zeroizing<[u8; FIRST_PAYLOAD]>,
    draw: FirstMessageDraw,
) -> Result<(FirstMessage, Envelope), SealError> {
    let prologue = draw
        .event
        .prologue(draw.routing_tag, callee_identity.as_bytes());
    let first = FirstMessage {
        own,
        callee,
        prologue,
        ephemeral: draw.ephemeral,
        payload,
    };
    let sealed = first.write().map_err(|_| SealError::CalleeKey)?;
    let envelope = Envelope::frame(draw.routing_tag, &sealed);
    Ok((first, envelope))
}

/// Finds the key that opens the envelope. A weak ephemeral key is weak for all of ours: no more are tried.
pub(crate) fn try_keys<'a>(
    listeners: &[&'a Identity],
    envelope: &Envelope,
    event: &EventContext,
    today: Day,
) -> Result<(usize, &'a StaticSecret, OpenedFirstMessage), EnvelopeError> {
    for (line, listener) in listeners.iter().enumerate() {
        let prologue = event.prologue(envelope.routing_tag(), listener.key().as_bytes());
        for key in listener.opening_secrets(today) {
            match noise::read_first(key, &prologue, envelope.sealed()) {
                Ok(opened) => return Ok((line, key, opened)),
                Err(HandshakeFailure::WeakKey) => return Err(EnvelopeError::WeakKey),
                Err(HandshakeFailure::NotOurs) => {}
            }
        }
    }
    Err(EnvelopeError::NotOurs)
}

impl From<HandshakeFailure> for EnvelopeError {
    fn from(fault: HandshakeFailure) -> Self {
        match fault {
            HandshakeFailure::WeakKey => Self::WeakKey,
            HandshakeFailure::NotOurs => Self::NotOurs,
        }
    }
}
