//! Which peers a client may reach through us: public unicast addresses. An allocation that forwards to loopback or private
//! addresses opens the operator's own network to strangers (RFC 8656 section 21.1.5, the IANA special-purpose registries of RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The same rule without `private` as ranges, for coturn. To coturn a range from `::` on has no beginning, and IPv4 is below all IPv6:
/// it would deny every peer. Nothing can be sent to `::` itself.
#[cfg(feature = "server")]
pub(super) const DENIED: [(&str, &str); 20] = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "255.255.255.255"),
    ("::1", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];

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

    #[cfg(feature = "server")]
    proptest::proptest! {
        #[test]
        fn the_ranges_say_the_same(ip in proptest::prelude::any::<IpAddr>(), near in 0usize..40, step in -1i8..2) {
            // Any address, and those at the edges of the ranges.
            let (first, last) = DENIED[near / 2];
            let edge: IpAddr = [first, last][near % 2].parse().unwrap();
            let step = i128::from(step) as u128;
            let edge = match edge {
                IpAddr::V4(ip) => IpAddr::V4(ip.to_bits().wrapping_add(step as u32).into()),
                IpAddr::V6(ip) => IpAddr::V6(ip.to_bits().wrapping_add(step).into()),
            };
            for ip in [ip, edge].into_iter().filter(|ip| ip.is_ipv4() || !ip.is_unspecified()) {
                let denied = DENIED.iter().any(|(first, last)| {
                    let (first, last): (IpAddr, IpAddr) = (first.parse().unwrap(), last.parse().unwrap());
                    first.is_ipv4() == ip.is_ipv4() && first <= ip && ip <= last
                });
                proptest::prop_assert_eq!(denied, !is_allowed(ip, false), "{}", ip);
            }
        }
    }

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
