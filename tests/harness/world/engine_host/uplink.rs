//! An engine's way into the internet: the address at its provider, and the network address translator (RFC 4787) before it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Public ports after the translator has forgotten its mappings.
const FIRST_NEW_PORT: u16 = 60_000;

/// The address, and the translator's mappings. At first the translator keeps the port.
#[derive(Debug)]
pub(crate) struct Uplink {
    address: Ipv4Addr,
    former: Vec<Ipv4Addr>,
    /// The public port of each socket that has sent.
    ports: BTreeMap<SocketAddr, u16>,
    has_forgotten: bool,
    next_port: u16,
}

impl Uplink {
    pub(super) fn new(address: Ipv4Addr) -> Self {
        Self {
            address,
            former: Vec::new(),
            ports: BTreeMap::new(),
            has_forgotten: false,
            next_port: FIRST_NEW_PORT,
        }
    }

    /// The address now, which new sockets have.
    pub(super) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// All addresses, also those of before: the first one first.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let all = self.former.iter().chain([&self.address]);
        all.map(|address| IpAddr::from(*address))
    }

    /// Whether this is its address, or was.
    pub(crate) fn has_had(&self, ip: IpAddr) -> bool {
        self.addresses().any(|address| address == ip)
    }

    /// Takes another address. Sockets of the old one send and receive nothing any more.
    pub(crate) fn change_address(&mut self, address: Ipv4Addr) {
        self.former
            .push(std::mem::replace(&mut self.address, address));
        self.ports.clear();
    }

    /// The translator forgets its mappings: the next packet of each socket comes from another port, and what is sent to the old one is
    /// lost.
    pub(crate) fn forget_mappings(&mut self) {
        self.ports.clear();
        self.has_forgotten = true;
    }

    /// The public address from which a socket's packet comes; none if its address is gone.
    pub(crate) fn public(&mut self, local: SocketAddr) -> Option<SocketAddr> {
        if local.ip() != IpAddr::from(self.address) {
            return None;
        }
        let (has_forgotten, next) = (self.has_forgotten, &mut self.next_port);
        let port = self.ports.entry(local).or_insert_with(|| {
            if !has_forgotten {
                return local.port();
            }
            *next += 1;
            *next
        });
        Some(SocketAddr::new(local.ip(), *port))
    }

    /// The socket that receives what is sent to a public address.
    pub(crate) fn local(&self, public: SocketAddr) -> Option<SocketAddr> {
        let is_its = |(local, port): &(&SocketAddr, &u16)| {
            (local.ip(), **port) == (public.ip(), public.port())
        };
        self.ports.iter().find(is_its).map(|(local, _)| *local)
    }
}
