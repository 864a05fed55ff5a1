//! Which peers a client may reach through us: public unicast addresses. A relay that forwards to loopback or private
//! addresses is a door into the operator's own network (RFC 8656 section 21.1.5, the IANA special-purpose registries of RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether packets may go to `ip`; with `private`, also inside the operator's network and to loopback.
pub(super) fn is_allowed(ip: IpAddr, private: bool) -> bool {
    match ip {
        IpAddr::V4(ip) => is_unicast(ip) && (private || is_public(ip)),
        IpAddr::V6(ip) => {
            !ip.is_unspecified()
                && !ip.is_multicast()
                && ip.to_ipv4_mapped().is_none()
                && (private || is_global(ip))
        }
    }
}

fn is_unicast(ip: Ipv4Addr) -> bool {
    (1..240).contains(&ip.octets()[0]) && !ip.is_multicast()
}

fn is_public(ip: Ipv4Addr) -> bool {
    let special =
        ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_documentation();
    let shared = matches!(
        ip.octets(),
        [100, 64..=127, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..]
    );
    !special && !shared
}

fn is_global(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_network_is_out_of_reach() {
        let inside = [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.0.1",
            "100.100.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "2001:db8::1",
            "2001::1",
            "2002::1",
            "64:ff9b::a00:1",
        ];
        for ip in inside {
            assert!(!is_allowed(ip.parse().unwrap(), false), "{ip}");
        }
        for ip in ["127.0.0.1", "192.168.0.1", "::1"] {
            assert!(is_allowed(ip.parse().unwrap(), true), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_allowed(ip.parse().unwrap(), true), "{ip}");
        }
        for ip in ["1.1.1.1", "2606:4700::1111"] {
            assert!(is_allowed(ip.parse().unwrap(), false), "{ip}");
        }
    }
}
