//! What a self-call is made of: embedded servers, or real ones in their place.

use std::net::{Ipv4Addr, SocketAddr};

use crate::config::TurnSettings;
use crate::net::audit::ConnectionAudit;
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
    pub outside: Option<Outside>,
    /// Who sees what the engines open towards the world.
    pub watch: ConnectionAudit,
}

/// The servers of an engine's settings, and the rules of its network.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Nostr relays.
    pub relays: Vec<String>,
    /// TURN servers and logins.
    pub turn: TurnSettings,
    /// Work that a ring must show, in bits.
    pub work_bits: u8,
    /// Bits of the bucket in the relay tag.
    pub bucket_bits: u8,
}
