//! How a TURN server of the community box is run: the same plan for coturn and for the embedded server.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_daemon::tls::TlsFiles;

use super::TurnLimits;

/// TLS of a TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnTls {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate. The embedded server reads it again when it changes, coturn at its next start.
    pub files: TlsFiles,
}

/// What a TURN server is told before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnPlan {
    /// Where it listens, for UDP and for TCP; port 0 is any free one. Allocations have the same IP address.
    pub listen: SocketAddr,
    /// Clients are served over TLS too.
    pub tls: Option<TurnTls>,
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
            tls: None,
            secret,
            external_ip: None,
            ports: None,
            limits: TurnLimits::DEFAULT,
            allow_private,
        }
    }
}
