//! Message 1 of the Noise handshake: how rings, cancels, notes and presence are sealed, and with which keys they are opened.
//!
//! Not here: what a payload says (`ring`, `note`, `presence`), and who may send it (`sender_proof`).

use rand_core::CryptoRng;
use ringfence_book::{Binding, BookKey, Day, IdentityKey};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::line::identity::Identity;
use crate::sealed::book_view::BookView;
use crate::sealed::envelope::noise::{self, First, FirstOpened, NoiseFault};
use crate::sealed::envelope::payload::{self, FIRST_PAYLOAD, Kind};
use crate::sealed::envelope::{Envelope, Outside};
use crate::sealed::rejected::Rejected;
use crate::sealed::routing_tag::Hint;

/// Who rings: own keys, and the phone book's word for the own number.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Own keys.
    pub identity: &'a Identity,
    /// The phone book's signature over number and identity; stapled, so that the callee asks nobody.
    pub binding: &'a Binding,
    /// The phone book as this engine sees it.
    pub book: BookView,
}

/// One line that may be rung: its keys and the phone book that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'a> {
    /// Own keys.
    pub identity: &'a Identity,
    /// The phone book whose bindings count on this line.
    pub book_key: &'a BookKey,
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

/// What is drawn for one message 1, in this order.
pub(crate) struct Draw {
    hint: Hint,
    ephemeral: Zeroizing<[u8; 32]>,
}

impl Draw {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        let hint = Hint::random(rng);
        let mut ephemeral = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut ephemeral[..]);
        Self { hint, ephemeral }
    }
}

pub(crate) fn first_payload(
    kind: Kind,
    body: &[u8],
) -> Result<Zeroizing<[u8; FIRST_PAYLOAD]>, SealError> {
    payload::encode(kind, body).ok_or(SealError::MediaTooLong)
}

pub(crate) fn seal_first(
    own: StaticSecret,
    callee: [u8; 32],
    callee_identity: &IdentityKey,
    payload: Zeroizing<[u8; FIRST_PAYLOAD]>,
    outside: &Outside,
    draw: Draw,
) -> Result<(First, Envelope), SealError> {
    let prologue = outside.prologue(draw.hint, callee_identity.as_bytes());
    let first = First {
        own,
        callee,
        prologue,
        ephemeral: draw.ephemeral,
        payload,
    };
    let sealed = first.write().map_err(|_| SealError::CalleeKey)?;
    let envelope = Envelope::frame(draw.hint, &sealed);
    Ok((first, envelope))
}

/// Finds the key that opens the envelope. A weak ephemeral key is weak for all of ours: no more are tried.
pub(crate) fn try_keys<'a>(
    listeners: &[Listener<'a>],
    envelope: &Envelope,
    outside: &Outside,
    today: Day,
) -> Result<(usize, &'a StaticSecret, FirstOpened), Rejected> {
    for (line, listener) in listeners.iter().enumerate() {
        let prologue = outside.prologue(envelope.hint(), listener.identity.key().as_bytes());
        for key in listener.identity.opening_secrets(today) {
            match noise::read_first(key, &prologue, envelope.sealed()) {
                Ok(opened) => return Ok((line, key, opened)),
                Err(NoiseFault::WeakKey) => return Err(Rejected::WeakKey),
                Err(NoiseFault::NotOurs) => {}
            }
        }
    }
    Err(Rejected::NotOurs)
}

impl From<NoiseFault> for Rejected {
    fn from(fault: NoiseFault) -> Self {
        match fault {
            NoiseFault::WeakKey => Self::WeakKey,
            NoiseFault::NotOurs => Self::NotOurs,
        }
    }
}
