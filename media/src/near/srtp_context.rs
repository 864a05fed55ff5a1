//! The SRTP cryptographic contexts between one phone and this engine, for one stream (RFC 3711 section 3.2).
//!
//! Which packets may pass is decided in `agreed`.

use std::fmt;

use crate::srtp::{
    InboundSrtcp, InboundSrtp, OutboundSrtcp, OutboundSrtp, SrtpKeyPair, SrtpOpenError,
};
use crate::stats::DropReason;

/// SRTP and SRTCP under agreed keys.
pub(super) struct SrtpContext {
    keys: SrtpKeyPair,
    outbound: OutboundContext,
    inbound: InboundContext,
    /// The packet that is being decrypted.
    packet: Vec<u8>,
}

/// For packets to the phone.
struct OutboundContext {
    rtp: OutboundSrtp,
    rtcp: OutboundSrtcp,
}

/// For packets from the phone.
struct InboundContext {
    rtp: InboundSrtp,
    rtcp: InboundSrtcp,
}

impl SrtpContext {
    /// The contexts for these keys. A direction whose key stays the same keeps its context: a new one would repeat a key
    /// stream outbound, and accept replayed packets inbound.
    pub(super) fn renewed(before: Option<Self>, keys: SrtpKeyPair) -> Self {
        let (outbound, inbound) = match before {
            Some(before) => (
                Some(before.outbound).filter(|_| before.keys.ours == keys.ours),
                Some(before.inbound).filter(|_| before.keys.theirs == keys.theirs),
            ),
            None => (None, None),
        };
        Self {
            outbound: outbound.unwrap_or_else(|| OutboundContext {
                rtp: OutboundSrtp::new(&keys.ours),
                rtcp: OutboundSrtcp::new(&keys.ours),
            }),
            inbound: inbound.unwrap_or_else(|| InboundContext {
                rtp: InboundSrtp::new(&keys.theirs),
                rtcp: InboundSrtcp::new(&keys.theirs),
            }),
            keys,
            packet: Vec::new(),
        }
    }

    /// Authenticates and decrypts a datagram.
    pub(super) fn unprotect(&mut self, bytes: &[u8]) -> Result<&[u8], DropReason> {
        self.packet.clear();
        self.packet.extend_from_slice(bytes);
        let result = self.inbound.rtp.unprotect(&mut self.packet);
        result.map(|()| &*self.packet).map_err(drop_reason)
    }

    /// The same for RTCP.
    pub(super) fn unprotect_rtcp(&mut self, bytes: &[u8]) -> Result<&[u8], DropReason> {
        self.packet.clear();
        self.packet.extend_from_slice(bytes);
        let result = self.inbound.rtcp.unprotect(&mut self.packet);
        result.map(|()| &*self.packet).map_err(drop_reason)
    }

    /// Encrypts a packet in place; false if it cannot be sent.
    pub(super) fn protect(&mut self, packet: &mut Vec<u8>) -> bool {
        self.outbound.rtp.protect(packet)
    }

    /// The same for RTCP.
    pub(super) fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> bool {
        self.outbound.rtcp.protect(packet)
    }
}

const fn drop_reason(error: SrtpOpenError) -> DropReason {
    match error {
        SrtpOpenError::Malformed => DropReason::Malformed,
        SrtpOpenError::Forged => DropReason::Forged,
        SrtpOpenError::Replayed => DropReason::Duplicate,
        SrtpOpenError::Late => DropReason::Late,
    }
}

impl fmt::Debug for SrtpContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpContext(..)")
    }
}
