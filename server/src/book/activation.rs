//! Reading the form that activates a number: from JSON values to keys that passed their checks. Whether the code is any good is not
//! known here.

use ringfence_book::challenge::Possession;
use ringfence_book::code::{ActivationCode, CodeDigest, CodeError};
use ringfence_book::keys::{IdentityKey, KeyError, RingKey};
use ringfence_book::listing::{Listing, ListingError};
use ringfence_book::wire::{Activate, Curve};
use thiserror::Error;

/// A form whose keys and self-signature are sound. Nothing is known yet about the code and about who holds the keys.
#[derive(Clone, Copy, Debug)]
pub struct Activation {
    /// What the book knows the code by.
    pub code: CodeDigest,
    /// What the number is to be listed with.
    pub listing: Listing,
    /// That the sender holds the private keys.
    pub proof: Possession,
}

/// Why an activation is refused. For the operator's log; the sender is told one thing for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ActivationRefusal {
    /// The code is not even one.
    #[error("code: {0}")]
    Code(CodeError),
    /// A key on another curve than its place demands.
    #[error("a key is on the wrong curve")]
    Curve,
    /// A key that fails its checks.
    #[error("key: {0}")]
    Key(KeyError),
    /// The self-signature is not genuine.
    #[error("listing: {0}")]
    Listing(ListingError),
    /// The sender does not hold both private keys.
    #[error("possession of both private keys was not proved")]
    Possession,
    /// No such code, or used, or expired.
    #[error("the code is unknown, used or expired")]
    UnknownCode,
}

impl TryFrom<&Activate> for Activation {
    type Error = ActivationRefusal;

    fn try_from(form: &Activate) -> Result<Self, ActivationRefusal> {
        let code: ActivationCode = form.code.parse().map_err(ActivationRefusal::Code)?;
        let identity = form
            .signing_key
            .on(Curve::Ed25519)
            .ok_or(ActivationRefusal::Curve)?;
        let identity = IdentityKey::from_bytes(identity).map_err(ActivationRefusal::Key)?;
        let ring_key = form
            .encryption_key
            .on(Curve::X25519)
            .ok_or(ActivationRefusal::Curve)?;
        let ring_key = RingKey::from_bytes(ring_key).map_err(ActivationRefusal::Key)?;
        let listing =
            Listing::from_parts(identity, ring_key, form.serial, form.listing_signature.0)
                .map_err(ActivationRefusal::Listing)?;
        let proof = Possession {
            signature: form.signature.0,
            ring_key_proof: form.ring_key_proof.0,
        };
        Ok(Self {
            code: code.digest(),
            listing,
            proof,
        })
    }
}
