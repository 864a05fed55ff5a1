//! Who is here, by IP address: connections at a time, and events in a minute. Nobody is counted on loopback: there a web server passes
//! on the connections of others, and limits them itself. Told the time; it has no clock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::RelayLimits;

const MINUTE: Duration = Duration::from_secs(60);

/// Events in the minute that began at `since`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Minute {
    count: u32,
    since: Instant,
}

impl Minute {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            count: 0,
            since: now,
        }
    }

    /// Counts one more; false if there are too many.
    pub(super) fn admit(&mut self, most: u32, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= MINUTE {
            *self = Self::new(now);
        }
        let room = self.count < most;
        self.count += u32::from(room);
        room
    }
}

/// The visitors of one address.
#[derive(Debug)]
struct House {
    inside: usize,
    minute: Minute,
}

/// All visitors, by address. An address is forgotten when nobody of it is here and its minute is over.
#[derive(Debug, Default)]
pub(super) struct Visits(BTreeMap<IpAddr, House>);

impl Visits {
    /// Lets one more in; false if there are too many of that address.
    pub(super) fn enter(&mut self, ip: IpAddr, limits: &RelayLimits, now: Instant) -> bool {
        let Some(ip) = counted(ip) else {
            return true;
        };
        if self.0.len() > limits.connections {
            self.0.retain(|_, house| {
                house.inside > 0 || now.saturating_duration_since(house.minute.since) < MINUTE
            });
        }
        // Four times as many addresses as connections in one minute: their events are then not remembered.
        if self.0.len() > 4 * limits.connections {
            self.0.retain(|_, house| house.inside > 0);
        }
        let house = self.0.entry(ip).or_insert(House {
            inside: 0,
            minute: Minute::new(now),
        });
        let room = house.inside < limits.connections_per_address;
        house.inside += usize::from(room);
        room
    }

    /// Counts one who leaves.
    pub(super) fn leave(&mut self, ip: IpAddr) {
        if let Some(house) = counted(ip).and_then(|ip| self.0.get_mut(&ip)) {
            house.inside = house.inside.saturating_sub(1);
        }
    }

    /// Counts an event; false if there are too many from that address.
    pub(super) fn admit_event(&mut self, ip: IpAddr, limits: &RelayLimits, now: Instant) -> bool {
        let most = limits.events_per_minute_per_address;
        let house = counted(ip).and_then(|ip| self.0.get_mut(&ip));
        house.is_none_or(|house| house.minute.admit(most, now))
    }
}

/// What an address counts as: a /64 of IPv6 is one subscriber (RFC 6177); loopback is nobody.
fn counted(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    match ip {
        _ if ip.is_loopback() => None,
        IpAddr::V4(_) => Some(ip),
        IpAddr::V6(ip) => Some(IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RelayLimits = RelayLimits {
        connections: 10,
        connections_per_address: 2,
        events_per_minute: 3,
        events_per_minute_per_address: 3,
        ..RelayLimits::DEFAULT
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_connections_and_events_and_no_more() {
        let (mut visits, now) = (Visits::default(), Instant::now());
        for (same, others) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::ffff"),
        ] {
            assert!(visits.enter(ip(same), &LIMITS, now));
            assert!(visits.enter(ip(others), &LIMITS, now));
            assert!(!visits.enter(ip(same), &LIMITS, now));
            visits.leave(ip(others));
            assert!(visits.enter(ip(same), &LIMITS, now));
            let admitted = (0..9).filter(|_| visits.admit_event(ip(same), &LIMITS, now));
            assert_eq!(admitted.count(), 3);
            assert!(visits.admit_event(ip(others), &LIMITS, now + MINUTE));
        }
        let proxied = (0..9).filter(|_| visits.enter(ip("127.0.0.1"), &LIMITS, now));
        assert_eq!(proxied.count(), 9);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_coming_back_forgives_nothing() {
        let (mut visits, now) = (Visits::default(), Instant::now());
        assert!(visits.enter(ip("192.0.2.1"), &LIMITS, now));
        while visits.admit_event(ip("192.0.2.1"), &LIMITS, now) {}
        visits.leave(ip("192.0.2.1"));
        assert!(visits.enter(ip("192.0.2.1"), &LIMITS, now));
        assert!(!visits.admit_event(ip("192.0.2.1"), &LIMITS, now));
        for address in 0..10_000u32 {
            let address = IpAddr::V4((0x0a00_0000 + address).into());
            visits.enter(address, &LIMITS, now);
            visits.leave(address);
        }
        assert!(visits.0.len() <= 4 * LIMITS.connections + 1);
        assert!(!visits.admit_event(ip("192.0.2.1"), &LIMITS, now));
    }
}
