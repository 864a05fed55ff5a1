//! The near leg.
use crate::codec::Codec;
use std::net::SocketAddr;

/// What was agreed with the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearTerms {
    /// Where our near socket is bound. Decides whether this machine's own packets may be the phone's.
    pub local: SocketAddr,
    /// Where the phone's SDP wants sound.
    pub remote: SocketAddr,
    /// The agreed formats with the phone's payload types.
    pub codecs: Vec<(Codec, u8)>,
    /// Whether the phone wants to hear anything for now (it does not while it holds the call).
    pub hears: bool,
}
