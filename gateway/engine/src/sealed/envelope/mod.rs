//! The envelope: 1,024 bytes, alike for every kind of message.
//!
//! ```text
//! off len
//! 0   1   version = 1
//! 1   16  routing tag
//! 17  32  E, an X25519 public key
//! 49  975 sealed rest
//! ```
//!
//! Ring and cancel are message 1 of `Noise_IK_25519_ChaChaPoly_SHA256`, the answer is message 2; both begin
//! with E. Session envelopes carry a decoy E, so that relays cannot tell the kinds apart.
//!
//! This module knows the frame and what is bound to it; what a body means is the business of `ring` and
//! `session`, and the work on the event around it that of `proof_of_work`.

pub(crate) mod fields;
pub(crate) mod noise;
pub(crate) mod payload;
mod primitives;

use std::fmt;

use rand_core::CryptoRng;
use ringfence_media::far::{DATAGRAM_FIRST_BYTE, DATAGRAM_LEN};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::sealed::rejected::EnvelopeError;
use crate::sealed::routing_tag::RoutingTag;

/// Bytes of every envelope.
pub const ENVELOPE_LEN: usize = 1024;

/// The version of the protocol that this engine speaks, and the first byte of every envelope.
pub const VERSION: u8 = 2;

/// Most bytes that one side's media description may have inside a ring or an answer.
pub const MAX_MEDIA: usize = 400;

const HINT_AT: usize = 1;
const E_AT: usize = 17;

/// Bytes from E to the end: exactly one Noise message.
pub(crate) const SEALED_LEN: usize = ENVELOPE_LEN - E_AT;

/// One sealed message as it travels: always [`ENVELOPE_LEN`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope(Box<[u8; ENVELOPE_LEN]>);

impl Envelope {
    /// Reads an envelope; only its length and version are checked here.
    ///
    /// # Errors
    /// [`EnvelopeError::Length`], [`EnvelopeError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let bytes: [u8; ENVELOPE_LEN] = bytes.try_into().map_err(|_| EnvelopeError::Length)?;
        if bytes[0] != VERSION {
            return Err(EnvelopeError::Version);
        }
        Ok(Self(Box::new(bytes)))
    }

    /// Reads an envelope that came as a datagram between relayed addresses: it begins with another byte than that of a version, by
    /// which it is told from the media (RFC 7983).
    ///
    /// # Errors
    /// [`EnvelopeError::Length`], [`EnvelopeError::Version`].
    pub fn from_datagram(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut bytes: [u8; ENVELOPE_LEN] = bytes.try_into().map_err(|_| EnvelopeError::Length)?;
        if std::mem::replace(&mut bytes[0], VERSION) != DATAGRAM_FIRST_BYTE {
            return Err(EnvelopeError::Version);
        }
        Ok(Self(Box::new(bytes)))
    }

    /// The bytes of this envelope as a datagram.
    #[must_use]
    pub fn to_datagram(&self) -> Vec<u8> {
        let mut bytes = self.0.to_vec();
        bytes[0] = DATAGRAM_FIRST_BYTE;
        bytes
    }

    /// Puts the frame around a sealed message that begins with E.
    pub(crate) fn frame(routing_tag: RoutingTag, sealed: &[u8; SEALED_LEN]) -> Self {
        let mut bytes = Box::new([0; ENVELOPE_LEN]);
        bytes[0] = VERSION;
        bytes[HINT_AT..E_AT].copy_from_slice(&routing_tag.0);
        bytes[E_AT..].copy_from_slice(sealed);
        Self(bytes)
    }

    /// A cover: an envelope that no key opens and that looks like every other, a decoy key and random bytes.
    pub(crate) fn cover(rng: &mut impl CryptoRng) -> Self {
        let mut sealed = [0; SEALED_LEN];
        rng.fill_bytes(&mut sealed);
        let decoy = PublicKey::from(&StaticSecret::random_from_rng(rng));
        sealed[..32].copy_from_slice(decoy.as_bytes());
        Self::frame(RoutingTag::random(rng), &sealed)
    }

    /// The bytes that travel.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; ENVELOPE_LEN] {
        &self.0
    }

    /// The public routing tag.
    #[must_use]
    pub fn routing_tag(&self) -> RoutingTag {
        let mut routing_tag = [0; 16];
        routing_tag.copy_from_slice(&self.0[HINT_AT..E_AT]);
        RoutingTag(routing_tag)
    }

    /// The ephemeral or decoy key in front.
    pub(crate) fn ephemeral(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(&self.0[E_AT..E_AT + 32]);
        key
    }

    /// E and the sealed rest.
    pub(crate) fn sealed(&self) -> &[u8] {
        &self.0[E_AT..]
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope(..)")
    }
}

/// The x-only secp256k1 public key of the one-time Nostr event around an envelope (NIP-01 `pubkey`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub [u8; 32]);

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventKey(..)")
    }
}

/// What stands outside the envelope and is bound to it: it cannot be moved to another event or bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventContext {
    /// The bucket tag of the event.
    pub bucket: u16,
    /// The key that signed the event.
    pub event_key: EventKey,
}

impl EventContext {
    /// Of answers, and of what is said between relayed addresses: no event is around them. An answer that goes over the relay after all
    /// is the same bytes, so it is not bound to that event either.
    pub const NONE: Self = Self {
        bucket: 0,
        event_key: EventKey([0; 32]),
    };

    /// Noise prologue of ring and cancel: version, routing tag, bucket, event key and callee.
    pub(crate) fn prologue(&self, routing_tag: RoutingTag, callee: &[u8; 32]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PROLOGUE_DOMAIN.len() + 83);
        bytes.extend_from_slice(PROLOGUE_DOMAIN);
        bytes.push(VERSION);
        bytes.extend_from_slice(&routing_tag.0);
        bytes.extend_from_slice(&self.bucket.to_be_bytes());
        bytes.extend_from_slice(&self.event_key.0);
        bytes.extend_from_slice(callee);
        bytes
    }

    /// What an answer carries inside, because a second Noise message has no prologue of its own.
    pub(crate) fn answer_hash(&self, routing_tag: RoutingTag) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(ANSWER_OUTSIDE_DOMAIN);
        hash.update([VERSION]);
        hash.update(routing_tag.0);
        hash.update(self.bucket.to_be_bytes());
        hash.update(self.event_key.0);
        hash.finalize().into()
    }

    /// Associated data of a session envelope; `transcript` is the Noise handshake hash after the answer.
    pub(crate) fn session_data(
        &self,
        routing_tag: RoutingTag,
        decoy: &[u8; 32],
        transcript: &[u8; 32],
    ) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SESSION_DOMAIN.len() + 115);
        bytes.extend_from_slice(SESSION_DOMAIN);
        bytes.push(VERSION);
        bytes.extend_from_slice(&routing_tag.0);
        bytes.extend_from_slice(decoy);
        bytes.extend_from_slice(&self.bucket.to_be_bytes());
        bytes.extend_from_slice(&self.event_key.0);
        bytes.extend_from_slice(transcript);
        bytes
    }
}

const _: () = assert!(ENVELOPE_LEN == DATAGRAM_LEN);

const PROLOGUE_DOMAIN: &[u8] = b"ringfence/2 ring IK\0";
const ANSWER_OUTSIDE_DOMAIN: &[u8] = b"ringfence/2 answer outside\0";
const SESSION_DOMAIN: &[u8] = b"ringfence/2 session\0";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_1024_bytes_of_version_2_are_an_envelope() {
        let mut bytes = vec![0; ENVELOPE_LEN];
        assert_eq!(Envelope::from_bytes(&bytes), Err(EnvelopeError::Version));
        bytes[0] = VERSION;
        assert!(Envelope::from_bytes(&bytes).is_ok());
        assert_eq!(
            Envelope::from_bytes(&bytes[..1023]),
            Err(EnvelopeError::Length)
        );
        bytes.push(0);
        assert_eq!(Envelope::from_bytes(&bytes), Err(EnvelopeError::Length));
    }

    #[test]
    fn a_datagram_is_no_envelope_of_an_event_and_the_other_way_round() {
        let envelope = Envelope::frame(RoutingTag([7; 16]), &[9; SEALED_LEN]);
        let datagram = envelope.to_datagram();
        assert_eq!(Envelope::from_datagram(&datagram), Ok(envelope.clone()));
        assert_eq!(Envelope::from_bytes(&datagram), Err(EnvelopeError::Version));
        let bytes = envelope.as_bytes();
        assert_eq!(Envelope::from_datagram(bytes), Err(EnvelopeError::Version));
        assert_eq!(
            Envelope::from_datagram(&datagram[1..]),
            Err(EnvelopeError::Length)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            if let Ok(envelope) = Envelope::from_bytes(&bytes) {
                prop_assert_eq!(&envelope.as_bytes()[..], &bytes[..]);
            }
        }

        #[test]
        fn a_frame_gives_back_its_parts(routing_tag: [u8; 16], fill: u8) {
            let envelope = Envelope::frame(RoutingTag(routing_tag), &[fill; SEALED_LEN]);
            prop_assert_eq!(envelope.routing_tag(), RoutingTag(routing_tag));
            prop_assert_eq!(envelope.ephemeral(), [fill; 32]);
            prop_assert_eq!(envelope.sealed(), &[fill; SEALED_LEN][..]);
        }
    }
}
