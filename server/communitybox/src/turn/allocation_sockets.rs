//! The sockets of allocations: on the ports that the plan allows; behind a one-to-one NAT with the external address in place of the
//! server's own.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use rand::random_range;
use tokio::net::UdpSocket;

use super::TurnPlan;

/// Attempts to find a free port of the plan.
const ATTEMPTS: usize = 64;

/// Where allocations are opened.
#[derive(Debug)]
pub(super) struct AllocationSockets {
    ip: IpAddr,
    external: Option<IpAddr>,
    ports: Option<RangeInclusive<u16>>,
}

impl AllocationSockets {
    /// The allocation sockets of a server that listens at `addr`.
    pub(super) fn new(addr: SocketAddr, plan: &TurnPlan) -> Self {
        Self {
            ip: addr.ip(),
            external: plan.external_ip,
            ports: plan.ports.clone(),
        }
    }

    /// Opens a socket, if there is one of that family, and a port.
    pub(super) async fn open(&self, ipv6: bool) -> Option<UdpSocket> {
        if ipv6 != self.ip.is_ipv6() {
            return None;
        }
        let Some(ports) = &self.ports else {
            return UdpSocket::bind((self.ip, 0)).await.ok();
        };
        for _ in 0..ATTEMPTS {
            // The next port must not be predictable.
            let port = random_range(ports.clone());
            if let Ok(socket) = UdpSocket::bind((self.ip, port)).await {
                return Some(socket);
            }
        }
        None
    }

    /// The external form of an address of this server.
    pub(super) fn to_external(&self, addr: SocketAddr) -> SocketAddr {
        match self.external {
            Some(external) if addr.ip() == self.ip => SocketAddr::new(external, addr.port()),
            _ => addr,
        }
    }

    /// The local form of an address: not every NAT returns packets that are sent to its external address from inside.
    pub(super) fn to_local(&self, addr: SocketAddr) -> SocketAddr {
        if Some(addr.ip()) == self.external {
            SocketAddr::new(self.ip, addr.port())
        } else {
            addr
        }
    }
}
