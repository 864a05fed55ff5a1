//! The options of a self-call: embedded servers, or real ones in their place.

use std::net::{Ipv4Addr, SocketAddr};

use crate::config::TurnSettings;
use crate::net::audit::ConnectionAudit;
use crate::net::outbound::Outbound;
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;

pub(super) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

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
    /// Records what the engines open towards the network.
    pub watch: ConnectionAudit,
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
