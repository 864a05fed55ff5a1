//! Where bytes came from and where they go to: one flow per phone's datagram address or TCP connection.
//!
//! Answers and requests travel back over the flow that the phone opened (RFC 3581, RFC 5626 section 5.3 in
//! spirit), so the core never resolves a name and never dials a phone. Sockets are the caller's.

use std::fmt;
use std::net::SocketAddr;

/// The carrier below SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams: may be lost, so transactions repeat themselves.
    Udp,
    /// A byte stream, cut into messages by [`Framer`](crate::Framer).
    Tcp,
    /// The same inside TLS, which the shell speaks.
    Tls,
}

impl Transport {
    /// True where the carrier itself repeats what was lost (RFC 3261 section 17: several timers are then zero).
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

/// Where bytes came from and go to.
///
/// `local` must be a concrete address that the phone can reach: it is written into Via and Contact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The carrier.
    pub transport: Transport,
    /// Our own address, as the phone knows it.
    pub local: SocketAddr,
    /// The phone's address.
    pub peer: SocketAddr,
    /// 0 for UDP; the shell's own number of the stream for TCP and TLS, never used again after a close.
    pub connection: u64,
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
