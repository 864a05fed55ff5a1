//! Checks whether the ports at which phones will register are free, and finds the address of this machine in the local network. Sockets
//! are opened and closed at once; nothing is sent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use super::phone::ListenError;
use crate::config::SipListen;

/// An address for documentation (RFC 5737), which no network has. Connecting a UDP socket to it selects the default route.
const FAR_AWAY: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The first of these addresses and ports that cannot be bound.
#[must_use]
pub fn taken(sip: &SipListen) -> Option<ListenError> {
    sip.addresses.iter().find_map(|ip| {
        let ports = [
            ("udp", sip.udp_port),
            ("tcp", sip.tcp_port),
            ("tls", sip.tls_port),
        ];
        ports.into_iter().find_map(|(transport, port)| {
            let addr = SocketAddr::new(*ip, port);
            let error = listen(transport, addr).err()?;
            Some(ListenError {
                transport,
                addr,
                error,
            })
        })
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a port for phones, on a configured address, closed at once"
)]
fn listen(transport: &str, addr: SocketAddr) -> io::Result<()> {
    match transport {
        "udp" => UdpSocket::bind(addr).map(drop),
        _ => TcpListener::bind(addr).map(drop),
    }
}

/// The address by which other machines of the local network reach this one; `None` without a network.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "connecting a datagram socket sends nothing; it is closed at once"
)]
pub fn network_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(FAR_AWAY).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    Some(ip).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the socket of another program")]
    fn a_port_that_is_taken_is_named() {
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = other.local_addr().unwrap();
        let mut sip = Config::with_state(Path::new("/tmp/x")).sip;
        (sip.udp_port, sip.tcp_port, sip.tls_port) = (0, 0, 0);
        assert!(taken(&sip).is_none());
        sip.udp_port = addr.port();
        let found = taken(&sip).unwrap();
        assert_eq!((found.transport, found.addr), ("udp", addr));
        assert_eq!(found.error.kind(), io::ErrorKind::AddrInUse);
    }
}
