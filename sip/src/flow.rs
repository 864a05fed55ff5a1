//! Flows: one per UDP address of a phone, or per TCP or TLS connection.
//!
//! Responses and requests use the flow that the phone opened (RFC 3581; the idea of RFC 5626 section 5.3). So the core resolves
//! no name and opens no connection. The caller owns the sockets.

use std::fmt;
use std::net::SocketAddr;

/// The transport below SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams can be lost, so transactions retransmit.
    Udp,
    /// A byte stream, which [`Framer`](crate::Framer) cuts into messages.
    Tcp,
    /// A byte stream inside TLS, which the caller terminates.
    Tls,
}

impl Transport {
    /// Whether the transport itself retransmits (RFC 3261 section 17: several timers are zero then).
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// The name in a Via header (RFC 3261 section 20.42).
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
}

/// The path between us and one phone.
///
/// `local` must be a concrete address that the phone can reach: it is written into Via and Contact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// Our own address, as the phone knows it.
    pub local: SocketAddr,
    /// The phone's address.
    pub peer: SocketAddr,
    /// 0 for UDP; for TCP and TLS the caller's number of the stream, which is not reused after a close.
    pub connection: u64,
}

impl Flow {
    /// Whether something can be sent over it: both addresses are concrete, and of one family.
    pub(crate) fn is_usable(&self) -> bool {
        let is_concrete =
            |address: SocketAddr| address.port() != 0 && !address.ip().is_unspecified();
        is_concrete(self.local)
            && is_concrete(self.peer)
            && self.local.is_ipv4() == self.peer.is_ipv4()
    }
}

impl fmt::Debug for Flow {
    /// Leaves the addresses out: a flow may be logged above DEBUG, an address may not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Flow({} #{})",
            self.transport.via_name(),
            self.connection
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_flow_shows_no_address() {
        let flow = Flow {
            transport: Transport::Tcp,
            local: "127.0.0.1:5060".parse().unwrap(),
            peer: "192.0.2.7:40000".parse().unwrap(),
            connection: 9,
        };
        assert_eq!(format!("{flow:?}"), "Flow(TCP #9)");
    }
}
