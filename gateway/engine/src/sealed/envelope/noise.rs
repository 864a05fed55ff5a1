//! `Noise_IK_25519_ChaChaPoly_SHA256` (Noise revision 34, section 7.5): the only file that knows `snow`.
//!
//! Four functions of bytes, no state between them: a side that must come back to a handshake plays its first
//! message again from the same ephemeral secret. That costs 0.2 ms once per answered call; in return no
//! handshake state waits in memory while a phone rings, and a forged answer cannot spoil the real one.
//!
//! Not done here: what the payloads mean, and whose key the peer's static key is.

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use x25519_dalek::StaticSecret;
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
    primitives::public_of(secret)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of this pattern in the set of the Noise implementation cacophony, which other implementations share:
    /// the handshake over our primitives, the split, and four messages that alternate between the sides.
    #[test]
    fn handshake_split_and_messages_are_those_of_the_public_noise_vector() {
        let caller = secret("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1");
        let callee = secret("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893");
        let callee_public = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62";
        let caller_draw =
            secret("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a");
        let callee_draw =
            secret("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b");
        assert_eq!(hex::encode(public_of(&callee)), callee_public);
        fn start(draw: [u8; 32], own: &[u8; 32]) -> Builder<'_> {
            builder(Some(Zeroizing::new(draw)))
                .prologue(b"John Galt")
                .and_then(|builder| builder.local_private_key(own))
                .unwrap()
        }
        let mut caller = start(caller_draw, &caller)
            .remote_public_key(&public_of(&callee))
            .and_then(Builder::build_initiator)
            .unwrap();
        let mut callee = start(callee_draw, &callee).build_responder().unwrap();
        let (first, second) = (hex::decode(FIRST).unwrap(), hex::decode(SECOND).unwrap());
        let mut buffer = [0; 200];
        let len = caller
            .write_message(b"Ludwig von Mises", &mut buffer)
            .unwrap();
        assert_eq!(buffer[..len], first);
        let len = callee.read_message(&first, &mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"Ludwig von Mises");
        let len = callee
            .write_message(b"Murray Rothbard", &mut buffer)
            .unwrap();
        assert_eq!(buffer[..len], second);
        let len = caller.read_message(&second, &mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"Murray Rothbard");

        let (caller, callee) = (session_keys(caller), session_keys(callee));
        for keys in [&caller, &callee] {
            assert_eq!(hex::encode(keys.transcript), TRANSCRIPT);
            for (index, (plain, sealed)) in LATER.iter().enumerate() {
                let key = if index % 2 == 0 {
                    &keys.from_caller
                } else {
                    &keys.from_callee
                };
                let counter = index as u64 / 2;
                let mut message = plain.to_vec();
                let tag = primitives::seal_in_place(key, counter, b"", &mut message);
                message.extend_from_slice(&tag);
                assert_eq!(hex::encode(message), *sealed, "message {index}");
            }
        }
    }

    fn secret(hex: &str) -> [u8; 32] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    const FIRST: &str = "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944718da798efbcd91528520204f904b9bd\
                         6c7413dccdc214d951e15253e39987f18146e8cd0873654207148333479d4d16c289f0294b29960a72f48e0b7bba2e89\
                         083169825e59642148d492020664ccf7";
    const SECOND: &str = "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088435361e70b2ed446e6c9ec387d1d6b3b84\
                          0f194e373979d241b203c4acafccf5";
    const TRANSCRIPT: &str = "0b0f68fb0c27e03ce9b97565995ed4838cc0581b762ef72b062f6a546419fad7";
    const LATER: [(&[u8], &str); 4] = [
        (
            b"F. A. Hayek",
            "050e9f3c8fac16b68dbce8f8c4bfbf6617c897f9ada4aa29aa19c8",
        ),
        (
            b"Carl Menger",
            "344233a6cabb7141d80f3da2fedc311d9646bbb0f505afe403a667",
        ),
        (
            b"Jean-Baptiste Say",
            "62cdeeb172ad7ade7aa7d9e069da5790f12331bfa00177787a1d0810c67dc3b2b4",
        ),
        (
            b"Eugen B\xf6hm von Bawerk",
            "029bead1b40992327044d409d9a1f3ad8f36c3c452775d557e18bbeb2e8dfcead32d514024",
        ),
    ];
}
