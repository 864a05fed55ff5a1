//! The options of a self-call: embedded servers, or real ones in their place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::TurnSettings;
use crate::net::audit::ConnectionAudit;
use crate::net::outbound::Outbound;
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;

/// What may be external, and where phones register.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// URL of an external Nostr relay.
    pub relay: Option<String>,
    /// An external TURN server and the secret shared with it.
    pub turn: Option<(TurnEndpoint, Secret)>,
    /// SIP port of the first line, UDP and TCP; free ones when not given.
    pub sip_port: Option<u16>,
    /// Real servers instead of all embedded ones but the phone book.
    pub outside: Option<NetworkServers>,
    /// Whether phones and servers are at `::1`, and nothing at `127.0.0.1`.
    pub is_ipv6: bool,
    /// Records what the engines open towards the network.
    pub watch: ConnectionAudit,
}

impl StackOptions {
    /// The address of this machine for all that runs in it.
    pub(super) const fn loopback(&self) -> IpAddr {
        match self.is_ipv6 {
            true => IpAddr::V6(Ipv6Addr::LOCALHOST),
            false => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// The same with a port that the system chooses.
    pub(super) const fn any_port(&self) -> SocketAddr {
        SocketAddr::new(self.loopback(), 0)
    }
}

/// The servers that both engines use, and the rules of their network.
#[derive(Clone, Debug)]
pub struct NetworkServers {
    /// Nostr relays.
    pub relays: Vec<String>,
    /// TURN servers and logins.
    pub turn: TurnSettings,
    /// The way to them.
    pub outbound: Outbound,
    /// Bits of proof of work that a ring must have.
    pub work_bits: u8,
    /// Bits of the bucket in a ring's tag.
    pub bucket_bits: u8,
}
