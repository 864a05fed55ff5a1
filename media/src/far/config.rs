//! What a far leg needs to start: the TURN server with its credentials, and this side's role in the call.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A password for a TURN server: not printed, and wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TurnPassword(String);

impl TurnPassword {
    /// Wraps the password.
    pub const fn new(password: String) -> Self {
        Self(password)
    }

    /// The password in clear, for the TURN client.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TurnPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnPassword(..)")
    }
}

/// How the socket to the TURN server carries its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnTransport {
    /// Datagrams (RFC 8656).
    Udp,
    /// A byte stream: TCP, or TLS that the shell terminates.
    Stream,
}

/// One TURN server and the credentials for it (RFC 8656; long-term credentials of RFC 8489 section 9.2).
#[derive(Clone)]
pub struct TurnAccess {
    /// The server's address, already resolved.
    pub addr: SocketAddr,
    /// How the shell reaches it.
    pub transport: TurnTransport,
    /// User name, `<unix expiry>:<random>` for time-limited credentials.
    pub username: String,
    /// Password that belongs to it.
    pub password: TurnPassword,
}

impl fmt::Debug for TurnAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnAccess")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// The configuration of a far leg.
#[derive(Clone)]
pub struct FarConfig {
    /// The server whose allocation carries the call.
    pub turn: TurnAccess,
    /// The local address of the socket to that server. It never leaves this machine.
    pub local: SocketAddr,
    /// Whether loopback and private relayed addresses are acceptable: in the demo and in tests only.
    pub allow_private_addresses: bool,
    /// IP addresses whose datagrams the server is to let through all the time: the relayed addresses of other TURN servers.
    /// Those of one's own server pass without being named.
    pub permitted: Vec<IpAddr>,
    /// Whether an IPv6 relayed address is asked for, and not an IPv4 one (RFC 8656 section 7.1), whichever way the server is reached: both
    /// sides of a call need relayed addresses of one family.
    pub relays_ipv6: bool,
}

impl fmt::Debug for FarConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarConfig")
            .field("turn", &self.turn)
            .field("allow_private_addresses", &self.allow_private_addresses)
            .finish_non_exhaustive()
    }
}

/// Which side of the call this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// ICE controlled, DTLS server.
    Caller,
    /// ICE controlling, DTLS client: it knows both descriptions first, and its ClientHello leaves with the answer.
    Callee,
}

impl Role {
    /// Whether this side nominates, and begins the handshakes of DTLS and SCTP.
    pub(super) const fn leads(self) -> bool {
        matches!(self, Self::Callee)
    }
}
