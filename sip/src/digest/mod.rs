//! Digest access authentication for SIP (RFC 3261 section 22, RFC 7616, RFC 8760): MD5 and SHA-256, `qop=auth` or none.

mod client;
mod hash;

pub use client::{Challenge, answer};
pub use hash::Algorithm;
