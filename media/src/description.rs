//! What one engine tells the other about its media; travels sealed in the ring and in the answer. Never SDP text.

use std::net::SocketAddr;

use crate::codec::Codec;

/// One engine's media, as the other engine needs to know it.
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    /// ICE user fragment (RFC 8445 section 5.3).
    pub ufrag: String,
    /// ICE password (RFC 8445 section 5.3).
    pub pwd: String,
    /// SHA-256 of the DTLS certificate (RFC 8122).
    pub fingerprint: [u8; 32],
    /// The one RTP stream that this engine sends.
    pub ssrc: u32,
    /// Relayed transport addresses, 1 to 4.
    pub relays: Vec<SocketAddr>,
    /// Codecs in order of preference.
    pub codecs: Vec<Codec>,
}

impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Description")
            .field("codecs", &self.codecs)
            .finish_non_exhaustive()
    }
}
