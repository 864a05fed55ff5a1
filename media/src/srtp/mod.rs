//! SRTP (RFC 3711): what is on the wire to the other engine, and to a phone when the near leg is encrypted.
//!
//! Suites and key lengths are those of RFC 4568 section 6.2 (AES-CM with HMAC-SHA1), RFC 6188 (its
//! 256-bit keys) and RFC 7714 (AES-GCM). A phone's keys travel in SDP, which [`sdp`](crate::sdp) reads and
//! writes; those of the far leg are agreed by DTLS (RFC 5764). This module derives session keys from them, and encrypts and decrypts packets. Neither re-keying by
//! lifetime nor MKI nor a key derivation rate is supported: a call is over long before 2^48 packets.

mod cipher;
mod context;
mod derive;
mod key;
mod srtcp;
#[cfg(test)]
mod vector;

use zeroize::Zeroizing;

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
    /// What the other end writes with.
    pub theirs: SrtpKey,
}

impl SrtpKeyPair {
    /// The keys that DTLS has agreed (RFC 5764 section 4.2): in `material` stand the client's key, the server's, the client's salt and the
    /// server's. `None` if it has not the suite's length.
    pub(crate) fn from_dtls(suite: SrtpSuite, material: &[u8], is_client: bool) -> Option<Self> {
        let (keys, salts) = material.split_at_checked(2 * suite.key_bytes())?;
        let (client_key, server_key) = keys.split_at(suite.key_bytes());
        let (client_salt, server_salt) = salts.split_at_checked(suite.salt_bytes())?;
        let key = |key: &[u8], salt: &[u8]| {
            SrtpKey::from_bytes(suite, Zeroizing::new([key, salt].concat()))
        };
        let client = key(client_key, client_salt)?;
        let server = key(server_key, server_salt)?;
        let (ours, theirs) = match is_client {
            true => (client, server),
            false => (server, client),
        };
        Some(Self { ours, theirs })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_read_the_keying_material_of_rfc_5764_4_2() {
        for suite in SrtpSuite::ALL {
            let (key, salt) = (suite.key_bytes(), suite.salt_bytes());
            let parts = [(1, key), (2, key), (3, salt), (4, salt)];
            let material: Vec<u8> = parts
                .iter()
                .flat_map(|(byte, length)| vec![*byte; *length])
                .collect();
            let client = SrtpKeyPair::from_dtls(suite, &material, true).unwrap();
            let server = SrtpKeyPair::from_dtls(suite, &material, false).unwrap();
            assert_eq!(client.ours.parts(), (&vec![1; key][..], &vec![3; salt][..]));
            assert_eq!(
                client.theirs.parts(),
                (&vec![2; key][..], &vec![4; salt][..])
            );
            assert_eq!(
                (client.ours, client.theirs),
                (server.theirs, server.ours),
                "{suite:?}"
            );
            for wrong in [&material[1..], &[&material[..], &[0]].concat(), &[]] {
                assert_eq!(SrtpKeyPair::from_dtls(suite, wrong, true), None);
            }
        }
    }
}
