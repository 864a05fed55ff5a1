//! What can go wrong on a far leg: with TURN (RFC 8656), ICE (RFC 8445) or DTLS 1.3 (RFC 9147), and with the other
//! engine's description.

/// Why a far leg died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FarLegError {
    /// The TURN server refused, with this STUN error code (RFC 8656 section 18): 401 and 441 wrong credentials, 403
    /// forbidden, 437 the socket's port still belongs to an older allocation (try again from a new socket), 486 quota,
    /// 508 no free relayed port.
    #[error("the TURN server refused with {code}")]
    Allocation {
        /// The STUN error code, 300 to 699.
        code: u16,
    },
    /// The TURN server did not answer the Allocate request in time.
    #[error("the TURN server did not answer in time")]
    Timeout,
    /// The relayed address from the server is not usable: private, or not a unicast address.
    #[error("the TURN server gave an unusable relayed address")]
    RelayedAddress,
    /// The other engine was not reached, or was silent for too long.
    #[error("the other side is not reachable through the TURN servers")]
    Ice,
    /// The TURN server's own rules forbid the other side's relayed addresses (RFC 8656 section 9.2, code 403).
    #[error("the TURN server refuses the other side's relayed addresses")]
    Forbidden,
    /// The DTLS handshake failed, or the other side's certificate is not the announced one.
    #[error("the DTLS handshake failed")]
    Dtls,
    /// The connection to the TURN server ended, or the allocation was lost.
    #[error("the connection to the TURN server is gone")]
    ServerGone,
}

impl FarLegError {
    /// A server refuses a login that it has accepted before (RFC 8489 section 9.2.5): its time is over.
    pub(super) const LOGIN_OVER: Self = Self::Allocation { code: 401 };
}

/// Why a far leg does not accept a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FarConnectError {
    /// No allocation yet, already connecting, or closed.
    #[error("the leg cannot connect in its present state")]
    NotNow,
    /// The description names no relayed address of our address family.
    #[error("the description names no relayed address that can be reached")]
    NoAddress,
    /// The description names more than [`MAX_RELAYED_ADDRESSES`](crate::description::MAX_RELAYED_ADDRESSES).
    #[error("the description names too many relayed addresses")]
    TooManyAddresses,
    /// An address is not one that a call may use: private, loopback, multicast, port 0...
    #[error("the description names an address that cannot be a relayed address")]
    UnusableAddress,
    /// The ICE credentials are not what RFC 8445 section 5.3 allows.
    #[error("the description's ICE credentials are malformed")]
    Credentials,
    /// The description names an SSRC of ours, or one for both of its streams.
    #[error("the description names an SSRC that is already in use")]
    SsrcInUse,
}
