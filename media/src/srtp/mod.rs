//! SRTP between a phone and us (RFC 3711): what is on the wire when the near leg is encrypted.
//!
//! Suites and key lengths are those of RFC 4568 section 6.2 (AES-CM with HMAC-SHA1), RFC 6188 (its
//! 256-bit keys) and RFC 7714 (AES-GCM). Keys travel in SDP, which [`sdp`](crate::sdp) reads and
//! writes; this module derives session keys from them, and encrypts and decrypts packets. Neither re-keying by
//! lifetime nor MKI nor a key derivation rate is supported: a call is over long before 2^48 packets.

mod cipher;
mod context;
mod derive;
mod key;
mod srtcp;
#[cfg(test)]
mod vector;

pub use context::{InboundSrtp, OutboundSrtp};
pub use key::{SrtpKey, SrtpSuite};
pub use srtcp::{InboundSrtcp, OutboundSrtcp};

/// Whether media between phone and engine is encrypted: the setting `sip.srtp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    /// Never. A phone that offers nothing but SRTP is refused before any phone rings.
    Off,
    /// When the phone offers it, or when its signalling is encrypted too; plain otherwise.
    #[default]
    Optional,
    /// Always. A phone without it has no calls.
    Required,
}

/// The keys of both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrtpKeyPair {
    /// What we write with.
    pub ours: SrtpKey,
    /// What the phone writes with.
    pub theirs: SrtpKey,
}

/// Why a packet does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpOpenError {
    /// Too short to be SRTP, or a header that reaches beyond the end.
    #[error("no SRTP packet")]
    Malformed,
    /// The key does not fit, or the packet was changed on the way.
    #[error("the key does not fit, or the packet was changed")]
    Forged,
    /// Opened before.
    #[error("opened before")]
    Replayed,
    /// Too old to know whether it was opened before, or of one source too many.
    #[error("too old, or of one source too many")]
    Late,
}
