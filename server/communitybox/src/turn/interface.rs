//! The types that the TURN machine and its shell exchange. No logic.

use std::net::SocketAddr;

use ringfence_book::turn_credentials::TurnSecret;
use turn_types::TransportType;

use super::quota::TurnLimits;

/// A client of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientFlow {
    /// How its bytes come.
    pub transport: ClientTransport,
    /// Where from.
    pub addr: SocketAddr,
}

/// How a client's bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientTransport {
    /// In datagrams.
    Datagram,
    /// In a TCP stream, in chunks of any size.
    Stream,
}

impl ClientTransport {
    /// The protocol below TURN, as turn-server-proto names it.
    pub(super) const fn ip_protocol(self) -> TransportType {
        match self {
            Self::Datagram => TransportType::Udp,
            Self::Stream => TransportType::Tcp,
        }
    }
}

/// An allocation socket, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId(pub(super) u64);

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnOutput {
    /// Bytes for a client.
    ToClient {
        /// Which one.
        client: ClientFlow,
        /// A datagram, or the next bytes of its stream.
        bytes: Vec<u8>,
    },
    /// A datagram from an allocation socket.
    ToPeer {
        /// Which socket.
        allocation: AllocationId,
        /// Where to.
        peer: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Open a UDP socket on a free port, then call [`TurnMachine::handle_socket_opened`](super::TurnMachine::handle_socket_opened).
    OpenSocket {
        /// Its name from now on.
        allocation: AllocationId,
        /// Whether it must be an IPv6 socket.
        ipv6: bool,
    },
    /// Close an allocation socket.
    CloseSocket {
        /// Which one.
        allocation: AllocationId,
    },
    /// Close a client's stream: it was idle or does not speak TURN.
    CloseClient {
        /// Which one.
        client: ClientFlow,
    },
}

/// What was refused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnCounters {
    /// Packets that were not TURN, or from an unknown client.
    pub dropped: u64,
    /// Requests refused: credentials over, too many allocations, forbidden peers.
    pub refused: u64,
    /// Packets beyond an allocation's bytes a second.
    pub cut: u64,
    /// Clients not heard because the server is full.
    pub full: u64,
}

/// What a server is like.
#[derive(Clone, Debug)]
pub struct TurnMachineConfig {
    /// The address that clients send to.
    pub listen: SocketAddr,
    /// What proves credentials.
    pub secret: TurnSecret,
    /// Whether peers may have loopback and private addresses: in the demo and in tests only.
    pub allow_private: bool,
    /// What clients may hold.
    pub limits: TurnLimits,
}
