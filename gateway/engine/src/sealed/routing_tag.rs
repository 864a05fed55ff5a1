//! Routing tags: how the two sides of one call, or two contacts, and no others, recognise each other's envelopes.
//!
//! A ring and whatever else is no answer to one carries a tag of two contacts ([`super::contact_secret`]), or random bytes. Every later
//! tag of a call comes from the call id, which travels only inside the sealed ring. None ever comes from public values: a holder of the
//! public phone book could otherwise test which answer belongs to which pair of numbers.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The 16 public bytes by which a receiver finds the call that an envelope belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutingTag(pub [u8; 16]);

impl RoutingTag {
    /// The tag of an envelope whose receiver knows none: random, so that it tells nothing.
    pub(crate) fn random(rng: &mut impl CryptoRng) -> Self {
        let mut routing_tag = [0; 16];
        rng.fill_bytes(&mut routing_tag);
        Self(routing_tag)
    }
}

impl fmt::Debug for RoutingTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoutingTag(..)")
    }
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionDirection {
    FromCaller = 1,
    FromCallee = 2,
}

/// The secret name of one call: drawn by the caller, sealed in the ring, used once.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct CallId([u8; 16]);

impl CallId {
    pub(crate) fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        Self(id)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The tag of message `sequence` in one direction. Sequence 0 of the callee is the answer.
    pub(crate) fn routing_tag(&self, direction: SessionDirection, sequence: u64) -> RoutingTag {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(DOMAIN);
        mac.update(&[direction as u8]);
        mac.update(&sequence.to_be_bytes());
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let mut routing_tag = [0; 16];
        routing_tag.copy_from_slice(&tag[..16]);
        RoutingTag(routing_tag)
    }

    /// The tag of the answer.
    pub(crate) fn answer_tag(&self) -> RoutingTag {
        self.routing_tag(SessionDirection::FromCallee, 0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallId(..)")
    }
}

const DOMAIN: &[u8] = b"ringfence/2 hint\0";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn hints_differ_by_call_direction_and_sequence() {
        let mut tags = BTreeSet::new();
        for call in 0..4 {
            let id = CallId::from_bytes([call; 16]);
            for sequence in 0..16 {
                tags.insert(id.routing_tag(SessionDirection::FromCaller, sequence));
                tags.insert(id.routing_tag(SessionDirection::FromCallee, sequence));
            }
        }
        assert_eq!(tags.len(), 4 * 16 * 2);
    }

    #[test]
    fn debug_shows_neither_hint_nor_call_id() {
        let id = CallId::from_bytes([0xab; 16]);
        assert_eq!(
            format!("{:?} {:?}", id, id.answer_tag()),
            "CallId(..) RoutingTag(..)"
        );
    }
}
