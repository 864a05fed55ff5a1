//! How a TURN server of the community box is run: the same plan for coturn and for the embedded server.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ringfence_book::turn_credentials::TurnSecret;

use super::TurnLimits;

/// What a TURN server is told before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnPlan {
    /// Where it listens, for UDP and for TCP; port 0 is any free one. Allocations have the same IP address.
    pub listen: SocketAddr,
    /// What proves credentials.
    pub secret: TurnSecret,
    /// The address that the world sees in place of the one listened at, behind a one-to-one NAT.
    pub external_ip: Option<IpAddr>,
    /// Ports of allocations; `None` leaves the choice to the system.
    pub ports: Option<RangeInclusive<u16>>,
    /// What clients may hold.
    pub limits: TurnLimits,
    /// Whether peers may have loopback and private addresses.
    pub allow_private: bool,
}

impl TurnPlan {
    /// A server with the usual limits, and any ports.
    #[must_use]
    pub fn new(listen: SocketAddr, secret: TurnSecret, allow_private: bool) -> Self {
        Self {
            listen,
            secret,
            external_ip: None,
            ports: None,
            limits: TurnLimits::DEFAULT,
            allow_private,
        }
    }
}
