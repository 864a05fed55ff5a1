//! Free ports on loopback for programs that cannot choose one themselves and report it. They are below the range from which the
//! system chooses (on Linux from 32,768 on), so no socket of another test takes one meanwhile.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

const ATTEMPTS: usize = 100;
const FIRST: u16 = 16_384;
const COUNT: u64 = 16_383;

/// A port of loopback that is free for TCP and UDP, as is the next one: coturn uses both.
pub fn free_pair() -> SocketAddr {
    free_pair_at(Ipv4Addr::LOCALHOST)
}

/// The same at another address of this machine.
pub fn free_pair_at(ip: Ipv4Addr) -> SocketAddr {
    let claim = |port| {
        Some((
            UdpSocket::bind((ip, port)).ok()?,
            TcpListener::bind((ip, port)).ok()?,
        ))
    };
    for _ in 0..ATTEMPTS {
        // The keys of a hasher are the only random numbers in the standard library.
        let drawn = RandomState::new().build_hasher().finish() % COUNT;
        let first = FIRST + u16::try_from(drawn).expect("below the count");
        if claim(first).is_some() && claim(first + 1).is_some() {
            return (ip, first).into();
        }
    }
    panic!("no two neighbouring free ports after {ATTEMPTS} attempts");
}
