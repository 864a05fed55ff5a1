//! Which relayed addresses may carry a call: public unicast ones, and loopback or private ones only where the
//! configuration allows them.
//!
//! The ranges are those of the IANA special-purpose registries (RFC 6890 and its updates). No name is ever resolved: a
//! candidate is a literal address (RFC 8445 section 5.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::FarConnectError;
use crate::description::MAX_RELAYED_ADDRESSES;

/// Whether `addr` may be a relayed address.
pub(super) fn is_usable(addr: SocketAddr, private: bool) -> bool {
    if addr.port() == 0 {
        return false;
    }
    match addr.ip() {
        IpAddr::V4(ip) => is_unicast_v4(ip) && (private || is_public_v4(ip)),
        IpAddr::V6(ip) => is_unicast_v6(ip) && (private || is_public_v6(ip)),
    }
}

/// The relayed addresses of the other side that a leg with the address `own` can reach: those of the same family.
///
/// One bad address is enough to refuse them all: an honest engine never sends one.
pub(super) fn accept(
    addresses: &[SocketAddr],
    own: SocketAddr,
    private: bool,
) -> Result<Vec<SocketAddr>, FarConnectError> {
    if addresses.is_empty() {
        return Err(FarConnectError::NoAddress);
    }
    if addresses.len() > MAX_RELAYED_ADDRESSES {
        return Err(FarConnectError::TooManyAddresses);
    }
    if addresses
        .iter()
        .any(|address| !is_usable(*address, private) || *address == own)
    {
        return Err(FarConnectError::UnusableAddress);
    }
    let mut accepted: Vec<SocketAddr> = addresses
        .iter()
        .copied()
        .filter(|address| address.is_ipv4() == own.is_ipv4())
        .collect();
    accepted.sort_unstable();
    accepted.dedup();
    if accepted.is_empty() {
        Err(FarConnectError::NoAddress)
    } else {
        Ok(accepted)
    }
}

fn is_unicast_v4(ip: Ipv4Addr) -> bool {
    !ip.is_unspecified()
        && !ip.is_multicast()
        && !ip.is_broadcast()
        && ip.octets()[0] != 0
        && ip.octets()[0] < 240
}

fn is_unicast_v6(ip: Ipv6Addr) -> bool {
    // An IPv4-mapped address would bypass the rules for IPv4.
    !ip.is_unspecified() && !ip.is_multicast() && ip.to_ipv4_mapped().is_none()
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // Global unicast is 2000::/3 alone, without Teredo, documentation, benchmarking and 6to4.
    (a & 0xe000) == 0x2000
        && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8))
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_public_unicast_addresses_can_be_relays() {
        for good in ["1.1.1.1:3478", "203.0.114.9:50000", "[2606:4700::1111]:9"] {
            assert!(is_usable(addr(good), false), "{good}");
        }
        let bad = [
            "1.1.1.1:0",
            "0.0.0.0:9",
            "0.1.2.3:9",
            "10.0.0.1:9",
            "100.64.0.1:9",
            "127.0.0.1:9",
            "169.254.1.1:9",
            "172.16.0.1:9",
            "192.0.0.9:9",
            "192.0.2.1:9",
            "192.168.1.1:9",
            "198.18.0.1:9",
            "224.0.0.251:5353",
            "240.0.0.1:9",
            "255.255.255.255:9",
            "[::]:9",
            "[::1]:9",
            "[::ffff:10.0.0.1]:9",
            "[::ffff:1.1.1.1]:9",
            "[64:ff9b::a00:1]:9",
            "[fc00::1]:9",
            "[fe80::1]:9",
            "[ff02::fb]:9",
            "[2001::1]:9",
            "[2001:db8::1]:9",
            "[2002:a00:1::]:9",
        ];
        for bad in bad {
            assert!(!is_usable(addr(bad), false), "{bad}");
        }
    }

    #[test]
    fn private_relayed_addresses_are_for_the_demo_and_still_unicast() {
        for good in ["127.0.0.1:9", "192.168.1.1:9", "[::1]:9"] {
            assert!(is_usable(addr(good), true), "{good}");
        }
        for bad in [
            "127.0.0.1:0",
            "0.0.0.0:9",
            "224.0.0.251:9",
            "255.255.255.255:9",
            "[ff02::fb]:9",
            "[::ffff:127.0.0.1]:9",
        ] {
            assert!(!is_usable(addr(bad), true), "{bad}");
        }
    }

    #[test]
    fn a_description_is_taken_whole_or_not_at_all() {
        let own = addr("1.1.1.1:1000");
        assert_eq!(accept(&[], own, false), Err(FarConnectError::NoAddress));
        assert_eq!(
            accept(&[addr("9.9.9.9:1"); 5], own, false),
            Err(FarConnectError::TooManyAddresses)
        );
        assert_eq!(
            accept(&[addr("9.9.9.9:1"), addr("10.0.0.1:1")], own, false),
            Err(FarConnectError::UnusableAddress)
        );
        assert_eq!(
            accept(&[own], own, false),
            Err(FarConnectError::UnusableAddress)
        );
        assert_eq!(
            accept(&[addr("[2606:4700::1111]:9")], own, false),
            Err(FarConnectError::NoAddress)
        );
        let both = [
            addr("9.9.9.9:1"),
            addr("[2606:4700::1111]:9"),
            addr("9.9.9.9:1"),
        ];
        assert_eq!(accept(&both, own, false), Ok(vec![addr("9.9.9.9:1")]));
    }
}
