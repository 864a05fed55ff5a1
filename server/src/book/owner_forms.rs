//! What the owner of a number asks of the book: another ring key, or an end. Each form answers a challenge of the [challenge store](super::challenge_store), which
//! is used up by it. Whether the sender is the owner is not known here.

use ringfence_book::challenge::{Challenge, Possession};
use ringfence_book::listing::Listing;
use ringfence_book::number::Number;

/// A new ring key of the same identity.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// The number.
    pub number: Number,
    /// What it is to be listed with.
    pub listing: Listing,
    /// What was asked.
    pub challenge: Challenge,
    /// That the sender holds both private keys of the listing; see [`Possession::prove_rotation`].
    pub proof: Possession,
}

/// The number is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deactivation {
    /// The number.
    pub number: Number,
    /// What was asked.
    pub challenge: Challenge,
    /// See [`ringfence_book::challenge::sign_deactivation`].
    pub signature: [u8; 64],
}
