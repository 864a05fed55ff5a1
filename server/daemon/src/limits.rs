//! How often one house, or one kind of activation code, may ask: a token bucket each, kept as the moment at which it is full again
//! (the generic cell rate algorithm of ITU-T I.371). A full bucket needs no memory, and a table of buckets has a fixed size: when
//! it is full, the bucket that lacks least is forgotten, and its owner begins anew. Told the time; it has no clock and keeps no list
//! of who asked for what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// Buckets that are looked at per request to forget those that are full again. More than one, so that the table empties.
const SWEEP: usize = 4;

/// So many at once, and then one per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    burst: u32,
    interval: Duration,
}

impl Rate {
    /// The largest figure that a rate is made of.
    pub const MAX: u32 = 1_000_000;

    /// `burst` at once, and one more per `interval`. Nothing at all is no rate: 0 counts as 1.
    #[must_use]
    pub const fn new(burst: u32, interval: Duration) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        Self { burst, interval }
    }

    /// So many in a minute, all of them at once if need be. `None`, no limit, for 0 and for more than [`Rate::MAX`].
    #[must_use]
    pub fn per_minute(count: u32) -> Option<Self> {
        let interval = Duration::from_secs(60).checked_div(count)?;
        (count <= Self::MAX).then_some(Self::new(count, interval))
    }

    /// How long an empty bucket takes to be full.
    fn depth(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }
}

/// How long to wait before asking again is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften(pub Duration);

/// Buckets of one rate, one for each key, at most `capacity` of them.
pub struct Meter<K> {
    rate: Rate,
    capacity: usize,
    /// When each bucket that lacks something is full again.
    full: BTreeMap<K, Instant>,
    /// The same, the one that lacks least first.
    order: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> Meter<K> {
    /// All buckets full, and room for `capacity`, at least one.
    #[must_use]
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self {
            rate,
            capacity: capacity.max(1),
            full: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Takes one from the key's bucket. A refusal takes nothing, so that asking on does not make the wait longer.
    ///
    /// # Errors
    /// [`TooOften`], with the time until there is one to take.
    pub fn take(&mut self, key: K, now: Instant) -> Result<(), TooOften> {
        self.forget_full(now);
        let known = self.full.get(&key).copied();
        let full = known.map_or(now, |full| full.max(now)) + self.rate.interval;
        let wait = (full - now).saturating_sub(self.rate.depth());
        if !wait.is_zero() {
            return Err(TooOften(wait));
        }
        match known {
            Some(before) => drop(self.order.remove(&(before, key))),
            None if self.full.len() >= self.capacity => self.forget_first(),
            None => {}
        }
        self.full.insert(key, full);
        self.order.insert((full, key));
        Ok(())
    }

    /// Buckets that are not full, as far as anybody looked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full.len()
    }

    /// Whether nobody lacks anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full.is_empty()
    }

    fn forget_full(&mut self, now: Instant) {
        for _ in 0..SWEEP {
            match self.order.first() {
                Some((full, _)) if *full <= now => self.forget_first(),
                Some(_) | None => return,
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.full.remove(&key);
        }
    }
}

impl<K> fmt::Debug for Meter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("rate", &self.rate)
            .field("len", &self.full.len())
            .finish_non_exhaustive()
    }
}

/// Where a request comes from, as far as limits tell one place from another: an IPv4 address, or the /64 that one subscriber of
/// IPv6 has at least (RFC 6177 section 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct House(Place);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl From<IpAddr> for House {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(Place::V4(address)),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Place::V6([a, b, c, d]))
            }
        }
    }
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("House(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn meter() -> Meter<u32> {
        Meter::new(Rate::new(3, SECOND), 100)
    }

    #[test]
    fn so_many_at_once_and_then_one_per_interval() {
        let (mut meter, now) = (meter(), Instant::now());
        for _ in 0..3 {
            assert_eq!(meter.take(1, now), Ok(()));
        }
        assert_eq!(meter.take(1, now), Err(TooOften(SECOND)));
        assert_eq!(
            meter.take(1, now + SECOND / 4),
            Err(TooOften(SECOND * 3 / 4))
        );
        assert_eq!(meter.take(1, now + SECOND), Ok(()));
        assert!(meter.take(1, now + SECOND).is_err());
    }

    #[test]
    fn one_does_not_pay_for_another() {
        let (mut meter, now) = (meter(), Instant::now());
        while meter.take(1, now).is_ok() {}
        assert_eq!(meter.take(2, now), Ok(()));
    }

    #[test]
    fn who_is_refused_and_asks_on_does_not_wait_longer() {
        let (mut meter, now) = (meter(), Instant::now());
        for _ in 0..1000 {
            let _ = meter.take(1, now);
        }
        assert_eq!(meter.take(1, now + SECOND), Ok(()));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (mut meter, now) = (meter(), Instant::now());
        for key in 0..100 {
            meter.take(key, now).unwrap();
        }
        assert_eq!(meter.len(), 100);
        for key in 0..30 {
            meter.take(1000 + key, now + SECOND).unwrap();
        }
        assert!(meter.len() <= 31, "{meter:?}");
    }

    #[test]
    fn a_full_table_forgets_whoever_lacks_least() {
        let now = Instant::now();
        let mut meter = Meter::new(Rate::new(2, SECOND), 2);
        assert!(meter.take(1, now).is_ok() && meter.take(1, now).is_ok());
        assert!(meter.take(2, now).is_ok() && meter.take(3, now).is_ok());
        assert_eq!(meter.len(), 2);
        assert!(meter.take(1, now).is_err(), "the greedy one is remembered");
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert_eq!(Rate::per_minute(0), None);
        assert_eq!(Rate::per_minute(Rate::MAX + 1), None);
        assert_eq!(
            Rate::per_minute(120),
            Some(Rate::new(120, Duration::from_millis(500)))
        );
        assert!(Rate::per_minute(Rate::MAX).is_some());
    }

    #[test]
    fn a_house_is_an_ipv4_address_or_a_64_of_ipv6() {
        let house = |text: &str| House::from(text.parse::<IpAddr>().unwrap());
        assert!(house("192.0.2.1") != house("192.0.2.2"));
        assert!(house("192.0.2.1") == house("::ffff:192.0.2.1"));
        assert!(house("2001:db8::1") == house("2001:db8::ffff:0:0:2"));
        assert!(house("2001:db8::1") != house("2001:db8:0:1::1"));
        assert_eq!(format!("{:?}", house("192.0.2.1")), "House(..)");
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_the_rate(steps in proptest::collection::vec((0_u32..3, 0_u64..3_000), 1..200)) {
            let (mut meter, start) = (Meter::new(Rate::new(3, SECOND), 3), Instant::now());
            let (mut now, mut passed) = (start, 0);
            for (key, pause) in steps {
                now += Duration::from_millis(pause);
                passed += u64::from(meter.take(key, now).is_ok() && key == 0);
                prop_assert!(passed <= 3 + (now - start).as_secs());
            }
        }

        #[test]
        fn the_table_keeps_its_size(steps in proptest::collection::vec((any::<u32>(), 0_u64..500), 1..300)) {
            let (mut meter, mut now) = (Meter::new(Rate::new(3, SECOND), 5), Instant::now());
            for (key, pause) in steps {
                now += Duration::from_millis(pause);
                let _ = meter.take(key, now);
                prop_assert!(meter.len() <= 5);
                prop_assert_eq!(meter.full.len(), meter.order.len());
            }
        }
    }
}
