//! Free ports on loopback for programs that cannot choose one themselves and report it. They are below the range from which the
//! system chooses (on Linux from 32,768 on), so no socket of another test takes one meanwhile.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

const ATTEMPTS: usize = 100;
const FIRST: u16 = 16_384;
const COUNT: u64 = 16_383;

/// A port that is free for TCP and UDP, as is the next one: coturn uses both.
pub fn free_pair() -> SocketAddr {
    let claim = |port| {
        Some((
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?,
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?,
        ))
    };
    for _ in 0..ATTEMPTS {
        // The keys of a hasher are the only random numbers in the standard library.
        let drawn = RandomState::new().build_hasher().finish() % COUNT;
        let first = FIRST + u16::try_from(drawn).expect("below the count");
        if claim(first).is_some() && claim(first + 1).is_some() {
            return (Ipv4Addr::LOCALHOST, first).into();
        }
    }
    panic!("no two neighbouring free ports on loopback after {ATTEMPTS} attempts");
}
