//! The source of a request, for limits per source: the host that it came from.
//!
//! On loopback all phones have one address, so there each port is a source of its own; a hostile local program could do worse
//! than to use many ports. Over IPv6 a host owns a whole /64.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::flow::Flow;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestSource(SocketAddr);

impl RequestSource {
    pub(super) fn of(flow: Flow) -> Self {
        let address = match flow.peer.ip().to_canonical() {
            ip if ip.is_loopback() => SocketAddr::new(ip, flow.peer.port()),
            IpAddr::V6(ip) => {
                let prefix = ip.to_bits() >> 64 << 64;
                SocketAddr::new(Ipv6Addr::from_bits(prefix).into(), 0)
            }
            ip => SocketAddr::new(ip, 0),
        };
        Self(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;

    fn source(peer: &str) -> RequestSource {
        RequestSource::of(Flow {
            transport: Transport::Udp,
            local: "192.0.2.1:5060".parse().unwrap(),
            peer: peer.parse().unwrap(),
            connection: 0,
        })
    }

    #[test]
    fn a_machine_is_one_source_and_a_phone_on_loopback_another_than_its_neighbour() {
        for (one, two, is_same) in [
            ("192.0.2.7:1", "192.0.2.7:2", true),
            ("192.0.2.7:1", "[::ffff:192.0.2.7]:3", true),
            ("192.0.2.7:1", "192.0.2.8:1", false),
            ("[2001:db8::1]:1", "[2001:db8::ffff:2]:2", true),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("[::1]:1", "[::1]:2", false),
        ] {
            assert_eq!(source(one) == source(two), is_same, "{one} {two}");
        }
    }
}
