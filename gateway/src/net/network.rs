//! Notices that this machine reaches the world another way than before: another address, interface or default route, or a network that
//! is back. Without it, an engine believes a connection of the old address until a ping is unanswered, which takes a quarter of a minute.
//!
//! A look asks the kernel for the own address from which it would reach each destination in use. No packet is sent for that, so no observer of
//! the network learns of it. The addresses of the last look stay in memory, and nothing of them is logged or written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses of documentation (RFC 5737, RFC 3849), which the default route of each family leads to.
const ANYWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The port of discard (RFC 863) names the sockets of a look in the system's list: it does not matter for the route.
pub(crate) const LOOK_PORT: u16 = 9;

/// The own address for each destination; `None`: it cannot be reached.
type Look = BTreeMap<IpAddr, Option<IpAddr>>;

/// Compares each look at the ways out with the one before.
#[derive(Debug, Default)]
pub(crate) struct NetworkWatch {
    last: Look,
}

impl NetworkWatch {
    /// Looks at the ways to `destinations`, and to the world. True if one of them is another than at the last look, and there is one at all: a
    /// network that is gone is of no use to anything, and counts when it is back.
    pub(crate) fn look(&mut self, destinations: impl IntoIterator<Item = IpAddr>) -> bool {
        let all = ANYWHERE.into_iter().chain(destinations);
        self.compare(all.map(|to| (to, own_address(to))).collect(), is_own)
    }

    fn compare(&mut self, look: Look, is_own: impl Fn(IpAddr) -> bool) -> bool {
        let last = std::mem::replace(&mut self.last, look);
        let mut ways = self.last.iter();
        let is_other = |(to, way): (&IpAddr, &Option<IpAddr>)| {
            last.get(to)
                .is_some_and(|before| before != way && !is_rotation(*before, *way, &is_own))
        };
        ways.any(is_other) && self.last.values().any(Option::is_some)
    }
}

/// Whether a host only took its next temporary address (RFC 8981): the network is the same, and what the old address has goes on.
fn is_rotation(
    before: Option<IpAddr>,
    now: Option<IpAddr>,
    is_own: impl Fn(IpAddr) -> bool,
) -> bool {
    let (Some(IpAddr::V6(before)), Some(IpAddr::V6(now))) = (before, now) else {
        return false;
    };
    before.segments()[..4] == now.segments()[..4] && is_own(before.into())
}

/// The own address from which packets to `to` would leave now. Nothing is sent.
pub(crate) fn own_address(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = socket_at(any)?;
    socket.connect(SocketAddr::new(to, LOOK_PORT)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

/// Whether this machine still has an address.
pub(crate) fn is_own(address: IpAddr) -> bool {
    socket_at(address).is_some()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the socket sends nothing; it only shows addresses and routes"
)]
fn socket_at(address: IpAddr) -> Option<UdpSocket> {
    UdpSocket::bind((address, 0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the last of these looks counts; each is the own address in IPv4 and in IPv6. `own` is what the machine has at the end.
    fn counts(looks: &[[Option<&str>; 2]], own: &[&str]) -> bool {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let own: Vec<IpAddr> = own.iter().copied().map(address).collect();
        let mut watch = NetworkWatch::default();
        let mut counts = false;
        for look in looks {
            let ways = look.map(|way| way.map(address));
            let look = ANYWHERE.into_iter().zip(ways).collect();
            counts = watch.compare(look, |ip| own.contains(&ip));
        }
        counts
    }

    #[test]
    fn another_address_or_a_network_that_is_back_counts_and_one_that_is_gone_does_not() {
        let (home, cafe, six) = (Some("192.168.1.5"), Some("10.0.0.7"), Some("2001:db8:1::5"));
        for (looks, expected) in [
            (vec![[home, None]], false),
            (vec![[home, None], [home, None]], false),
            (vec![[home, None], [cafe, None]], true),
            (vec![[home, None], [None, None]], false),
            (vec![[home, None], [None, None], [None, None]], false),
            (vec![[home, None], [None, None], [home, None]], true),
            (vec![[None, None], [home, None]], true),
            // IPv4 goes, IPv6 stays; and IPv6 comes.
            (vec![[home, six], [None, six]], true),
            (vec![[home, None], [home, six]], true),
        ] {
            assert_eq!(counts(&looks, &[]), expected, "{looks:?}");
        }
    }

    #[test]
    fn a_temporary_address_that_rotates_counts_only_if_the_old_one_is_gone() {
        let old = "2001:db8:1:2:aaaa::1";
        let looks = |new| [[None, Some(old)], [None, Some(new)]];
        let same = looks("2001:db8:1:2:bbbb::1");
        assert!(!counts(&same, &[old, "2001:db8:1:2:bbbb::1"]));
        assert!(counts(&same, &["2001:db8:1:2:bbbb::1"]));
        let other = looks("2001:db8:1:3:bbbb::1");
        assert!(counts(&other, &[old, "2001:db8:1:3:bbbb::1"]));
    }

    #[test]
    fn a_destination_that_is_new_says_nothing_of_the_network() {
        let (here, there) = (
            Ipv4Addr::LOCALHOST.into(),
            Ipv4Addr::new(127, 0, 0, 9).into(),
        );
        let mut watch = NetworkWatch::default();
        assert!(!watch.look([here]));
        assert!(!watch.look([here, there]));
        assert!(!watch.look([there]));
    }

    #[test]
    fn the_kernel_names_own_addresses() {
        let here: IpAddr = Ipv4Addr::LOCALHOST.into();
        assert_eq!(own_address(here), Some(here));
        assert!(is_own(here) && !is_own(ANYWHERE[0]));
    }
}
