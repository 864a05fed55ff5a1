//! `Noise_IK_25519_ChaChaPoly_SHA256` (Noise revision 34, section 7.5): the only file that knows `snow`.
//!
//! Four functions of bytes, no state between them: a side that must come back to a handshake plays its first
//! message again from the same ephemeral secret. That costs 0.2 ms once per answered call; in return no
//! handshake state waits in memory while a phone rings, and a forged answer cannot spoil the real one.
//!
//! Not done here: what the payloads mean, and whose key the peer's static key is.

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::SEALED_LEN;
use super::payload::{FIRST_PAYLOAD, LATER_PAYLOAD};
use super::primitives::{self, Primitives, TAG};

/// What makes message 1, and makes it again when the answer comes.
pub(crate) struct FirstMessage {
    /// The caller's ring key.
    pub(crate) own: StaticSecret,
    /// The callee's ring key.
    pub(crate) callee: [u8; 32],
    /// See [`super::EventContext::prologue`].
    pub(crate) prologue: Vec<u8>,
    /// Secret half of E.
    pub(crate) ephemeral: Zeroizing<[u8; 32]>,
    /// What is sealed.
    pub(crate) payload: Zeroizing<[u8; FIRST_PAYLOAD]>,
}

/// Why a handshake message was not read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    /// A public key of the peer gives an all-zero result, so that the shared secret would be known.
    WeakKey,
    /// Not sealed for this key, or altered.
    NotOurs,
}

/// A message 1 that opened.
pub(crate) struct OpenedFirstMessage {
    /// The sender's static key: it is proved, but nothing says yet whose it is.
    pub(crate) caller: [u8; 32],
    pub(crate) payload: Zeroizing<[u8; FIRST_PAYLOAD]>,
}

/// Keys of one answered call.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct SessionKeys {
    pub(crate) from_caller: [u8; 32],
    pub(crate) from_callee: [u8; 32],
    /// Noise handshake hash after message 2.
    pub(crate) transcript: [u8; 32],
}

impl FirstMessage {
    /// Message 1: `e, es, s, ss, payload`.
    pub(crate) fn write(&self) -> Result<[u8; SEALED_LEN], HandshakeFailure> {
        self.start().map(|(_, message)| message)
    }

    /// Reads message 2 and finishes.
    pub(crate) fn read_answer(
        &self,
        message: &[u8],
    ) -> Result<(Zeroizing<[u8; LATER_PAYLOAD]>, SessionKeys), HandshakeFailure> {
        let (mut state, _) = self.start()?;
        let mut payload = Zeroizing::new([0; LATER_PAYLOAD]);
        let len = state.read_message(message, &mut payload[..])?;
        if len != LATER_PAYLOAD {
            return Err(HandshakeFailure::NotOurs);
        }
        Ok((payload, session_keys(state)))
    }

    fn start(&self) -> Result<(HandshakeState, [u8; SEALED_LEN]), HandshakeFailure> {
        let mut state = builder(Some(self.ephemeral.clone()))
            .prologue(&self.prologue)?
            .local_private_key(self.own.as_bytes())?
            .remote_public_key(&self.callee)?
            .build_initiator()?;
        let mut message = [0; SEALED_LEN];
        let len = state.write_message(&self.payload[..], &mut message)?;
        debug_assert_eq!(len, SEALED_LEN, "a payload of fixed size fills the message");
        Ok((state, message))
    }
}

/// Reads message 1 with one of our ring keys.
pub(crate) fn read_first(
    own: &StaticSecret,
    prologue: &[u8],
    message: &[u8],
) -> Result<OpenedFirstMessage, HandshakeFailure> {
    respond(own, prologue, message, None).map(|(_, opened)| opened)
}

/// Reads message 1 again and writes message 2: `e, ee, se, payload`.
pub(crate) fn write_answer(
    own: &StaticSecret,
    prologue: &[u8],
    message: &[u8],
    ephemeral: Zeroizing<[u8; 32]>,
    payload: &[u8; LATER_PAYLOAD],
) -> Result<([u8; SEALED_LEN], SessionKeys), HandshakeFailure> {
    let (mut state, _) = respond(own, prologue, message, Some(ephemeral))?;
    let mut answer = [0; SEALED_LEN];
    let len = state.write_message(payload, &mut answer)?;
    debug_assert_eq!(len, SEALED_LEN, "a payload of fixed size fills the message");
    Ok((answer, session_keys(state)))
}

/// Seals a session message behind a decoy public key.
pub(crate) fn write_session(
    key: &[u8; 32],
    counter: u64,
    data: &[u8],
    decoy: &[u8; 32],
    payload: &[u8; LATER_PAYLOAD],
) -> [u8; SEALED_LEN] {
    let mut message = [0; SEALED_LEN];
    message[..32].copy_from_slice(decoy);
    message[32..32 + LATER_PAYLOAD].copy_from_slice(payload);
    let tag = primitives::seal_in_place(key, counter, data, &mut message[32..32 + LATER_PAYLOAD]);
    message[32 + LATER_PAYLOAD..].copy_from_slice(&tag);
    message
}

/// Opens a session message; `message` begins with the decoy key.
pub(crate) fn read_session(
    key: &[u8; 32],
    counter: u64,
    data: &[u8],
    message: &[u8],
) -> Option<Zeroizing<[u8; LATER_PAYLOAD]>> {
    let (sealed, tag) = message.get(32..)?.split_last_chunk::<TAG>()?;
    let mut payload = Zeroizing::new(<[u8; LATER_PAYLOAD]>::try_from(sealed).ok()?);
    primitives::open_in_place(key, counter, data, &mut payload[..], tag)?;
    Some(payload)
}

/// The public half of an X25519 secret.
pub(crate) fn public_of(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

fn respond(
    own: &StaticSecret,
    prologue: &[u8],
    message: &[u8],
    ephemeral: Option<Zeroizing<[u8; 32]>>,
) -> Result<(HandshakeState, OpenedFirstMessage), HandshakeFailure> {
    let mut state = builder(ephemeral)
        .prologue(prologue)?
        .local_private_key(own.as_bytes())?
        .build_responder()?;
    let mut payload = Zeroizing::new([0; FIRST_PAYLOAD]);
    let len = state.read_message(message, &mut payload[..])?;
    let caller = state
        .get_remote_static()
        .and_then(|key| key.try_into().ok())
        .ok_or(HandshakeFailure::NotOurs)?;
    if len != FIRST_PAYLOAD {
        return Err(HandshakeFailure::NotOurs);
    }
    Ok((state, OpenedFirstMessage { caller, payload }))
}

fn builder<'a>(ephemeral: Option<Zeroizing<[u8; 32]>>) -> Builder<'a> {
    let params: NoiseParams = PATTERN.parse().expect("a pattern that snow knows");
    Builder::with_resolver(params, Box::new(Primitives { ephemeral }))
}

fn session_keys(mut state: HandshakeState) -> SessionKeys {
    let (from_caller, from_callee) = state.dangerously_get_raw_split();
    let mut transcript = [0; 32];
    transcript.copy_from_slice(state.get_handshake_hash());
    SessionKeys {
        from_caller,
        from_callee,
        transcript,
    }
}

impl From<snow::Error> for HandshakeFailure {
    fn from(error: snow::Error) -> Self {
        match error {
            snow::Error::Dh => Self::WeakKey,
            _ => Self::NotOurs,
        }
    }
}

const PATTERN: &str = "Noise_IK_25519_ChaChaPoly_SHA256";
