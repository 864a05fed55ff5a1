//! Ports on loopback that were free a moment ago, for programs that cannot choose one themselves and say which.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

const ATTEMPTS: usize = 100;

/// A port free for TCP and for UDP, with the next one free as well: coturn takes both.
pub fn free_pair() -> SocketAddr {
    let claim = |port| {
        Some((
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?,
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?,
        ))
    };
    for _ in 0..ATTEMPTS {
        let Ok(first) =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr())
        else {
            continue;
        };
        let Some(second) = first.port().checked_add(1) else {
            continue;
        };
        if claim(first.port()).is_some() && claim(second).is_some() {
            return first;
        }
    }
    panic!("no two neighbouring free ports on loopback after {ATTEMPTS} attempts");
}
