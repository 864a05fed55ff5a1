//! Who is let in, by source: connections at a time, and events per minute. Loopback is not limited: there a web server passes on the
//! connections of others, and limits them itself. Told the time; it has no clock.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ringfence_daemon::limits::{Rate, RateLimiter, SourceConnections, SourcePermit, SourcePrefix};

use super::RelayLimits;

/// Sources whose events are remembered, for each connection that the relay takes: a flood of sources makes it forget none that still
/// has a connection and is refused.
const REMEMBERED_PER_CONNECTION: usize = 4;

/// The limits of all sources.
#[derive(Debug)]
pub(super) struct Admission {
    connections: Arc<SourceConnections>,
    /// `None`: there is no limit.
    events: Option<Mutex<RateLimiter<SourcePrefix>>>,
}

impl Admission {
    pub(super) fn new(limits: &RelayLimits) -> Self {
        let remembered = limits.connections.saturating_mul(REMEMBERED_PER_CONNECTION);
        Self {
            connections: SourceConnections::new(limits.connections_per_address),
            events: Rate::per_minute(limits.events_per_minute_per_address)
                .map(|rate| Mutex::new(RateLimiter::new(rate, remembered))),
        }
    }

    /// Counts a connection until the permit is dropped; `None` if there are too many of that source.
    pub(super) fn connect(&self, ip: IpAddr) -> Option<SourcePermit> {
        self.connections.enter(limited(ip))
    }

    /// Counts an event; false if there are too many from that source.
    pub(super) fn admit_event(&self, ip: IpAddr, now: Instant) -> bool {
        let (Some(source), Some(events)) = (limited(ip), &self.events) else {
            return true;
        };
        let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
        events.take(source, now).is_ok()
    }
}

/// What an address counts as; loopback is not counted.
pub(super) fn limited(ip: IpAddr) -> Option<SourcePrefix> {
    (!ip.to_canonical().is_loopback()).then(|| SourcePrefix::from(ip))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

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
        let (admission, now) = (Admission::new(&LIMITS), Instant::now());
        for (same, others) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::ffff"),
        ] {
            let _first = admission.connect(ip(same)).unwrap();
            let second = admission.connect(ip(others)).unwrap();
            assert!(admission.connect(ip(same)).is_none());
            drop(second);
            assert!(admission.connect(ip(same)).is_some());
            let admitted = (0..9).filter(|_| admission.admit_event(ip(same), now));
            assert_eq!(admitted.count(), 3);
            assert!(admission.admit_event(ip(others), now + MINUTE));
        }
        let proxied: Vec<_> = (0..9)
            .filter_map(|_| admission.connect(ip("127.0.0.1")))
            .collect();
        assert_eq!(proxied.len(), 9);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_coming_back_forgives_nothing() {
        let (admission, now) = (Admission::new(&LIMITS), Instant::now());
        let permit = admission.connect(ip("192.0.2.1")).unwrap();
        while admission.admit_event(ip("192.0.2.1"), now) {}
        drop(permit);
        let _back = admission.connect(ip("192.0.2.1")).unwrap();
        assert!(!admission.admit_event(ip("192.0.2.1"), now));
        for address in 0..10_000u32 {
            let address = IpAddr::V4((0x0a00_0000 + address).into());
            drop(admission.connect(address));
            admission.admit_event(address, now);
        }
        let events = admission.events.as_ref().unwrap().lock().unwrap();
        let remembered = format!("{events:?}");
        assert!(remembered.contains("len: 40"), "{remembered}");
        drop(events);
        assert!(!admission.admit_event(ip("192.0.2.1"), now));
    }
}
