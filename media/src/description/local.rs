//! The parameters of our own far leg that the other engine has to know.

use std::fmt;
use std::net::SocketAddr;

/// Our end of the WebRTC connection, from the moment at which the allocation stands.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalEndpoint {
    /// ICE user name fragment.
    pub ufrag: String,
    /// ICE password.
    pub pwd: String,
    /// SHA-256 of this call's DTLS certificate.
    pub fingerprint: [u8; 32],
    /// SSRC of the audio that this leg sends.
    pub ssrc: u32,
    /// SSRC of the video that this leg sends, if the call has video.
    pub video_ssrc: u32,
    /// The relayed transport address: the only address of ours that is visible outside.
    pub relayed_address: SocketAddr,
}

impl fmt::Debug for LocalEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalEndpoint(..)")
    }
}
