//! Ports on loopback that were free a moment ago, for programs that cannot choose one themselves and say which. They are below those
//! which the system hands out by itself (on Linux from 32,768 on): no socket of another test takes one meanwhile.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

const ATTEMPTS: usize = 100;
const FIRST: u16 = 16_384;
const COUNT: u64 = 16_383;

/// A port free for TCP and for UDP, with the next one free as well: coturn takes both.
pub fn free_pair() -> SocketAddr {
    let claim = |port| {
        Some((
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?,
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?,
        ))
    };
    for _ in 0..ATTEMPTS {
        // The keys of a hasher are the randomness that the standard library has.
        let drawn = RandomState::new().build_hasher().finish() % COUNT;
        let first = FIRST + u16::try_from(drawn).expect("below the count");
        if claim(first).is_some() && claim(first + 1).is_some() {
            return (Ipv4Addr::LOCALHOST, first).into();
        }
    }
    panic!("no two neighbouring free ports on loopback after {ATTEMPTS} attempts");
}
