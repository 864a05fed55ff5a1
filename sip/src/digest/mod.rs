//! Digest access authentication for SIP (RFC 3261 section 22, RFC 7616, RFC 8760): MD5 and SHA-256, `qop=auth` or none.
//!
//! [`answer`] is the client's half. The server's half, challenges and their verification, is private.

mod client;
mod hash;
mod nonce;
mod throttle;
mod verifier;

pub use client::{DigestChallenge, answer};
pub use hash::{Algorithm, ha1};

pub(crate) use verifier::{DigestVerdict, Verifier};
