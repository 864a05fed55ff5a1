//! How much one source may ask for: requests per time ([`RateLimiter`]) and connections at a time ([`SourceConnections`]).
//!
//! A rate is a token bucket, kept as the moment at which it is full again (the generic cell rate algorithm of ITU-T I.371). A full bucket
//! needs no memory, and a table of buckets has a fixed size: when it is full, the bucket that lacks least is forgotten, and its owner
//! begins anew, so that a flood of new sources frees no source that is refused. Told the time; nothing here has a clock, or keeps a list
//! of who asked for what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

    /// `burst` at once, and one more per `interval`. A rate of nothing is none: 0 counts as 1.
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

    /// Takes one from the bucket that is full at `full`; `None` is full already. Returns when the bucket is full then.
    fn take(self, full: Option<Instant>, now: Instant) -> Result<Instant, TooOften> {
        let full = full.map_or(now, |full| full.max(now)) + self.interval;
        let depth = self.interval.saturating_mul(self.burst);
        let wait = (full - now).saturating_sub(depth);
        if wait.is_zero() {
            Ok(full)
        } else {
            Err(TooOften(wait))
        }
    }
}

/// A refusal, with the time after which asking again is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften(pub Duration);

/// The bucket of one source, where its owner keeps it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket(Option<Instant>);

impl Bucket {
    /// Takes one. A refusal takes nothing, so that asking on does not make the wait longer.
    ///
    /// # Errors
    /// [`TooOften`].
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), TooOften> {
        self.0 = Some(rate.take(self.0, now)?);
        Ok(())
    }
}

/// Buckets of one rate, one for each key, at most `capacity` of them.
pub struct RateLimiter<K> {
    rate: Rate,
    capacity: usize,
    /// When each bucket that lacks something is full again.
    full: BTreeMap<K, Instant>,
    /// The same, the one that lacks least first.
    order: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> RateLimiter<K> {
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
    /// [`TooOften`].
    pub fn take(&mut self, key: K, now: Instant) -> Result<(), TooOften> {
        self.forget_full(now);
        let known = self.full.get(&key).copied();
        let full = self.rate.take(known, now)?;
        match known {
            Some(before) => drop(self.order.remove(&(before, key))),
            None if self.full.len() >= self.capacity => self.forget_first(),
            None => {}
        }
        self.full.insert(key, full);
        self.order.insert((full, key));
        Ok(())
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

impl<K> fmt::Debug for RateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("rate", &self.rate)
            .field("len", &self.full.len())
            .finish_non_exhaustive()
    }
}

/// Connections at a time, by source. As many entries as there are connections at most.
#[derive(Debug)]
pub struct SourceConnections {
    per_source: usize,
    open: Mutex<BTreeMap<SourcePrefix, usize>>,
}

impl SourceConnections {
    /// So many connections for each source.
    #[must_use]
    pub fn new(per_source: usize) -> Arc<Self> {
        Arc::new(Self {
            per_source,
            open: Mutex::default(),
        })
    }

    /// Counts a connection until the permit is dropped. `None` if the source has all of its own; `source: None` is not limited.
    #[must_use]
    pub fn enter(self: &Arc<Self>, source: Option<SourcePrefix>) -> Option<SourcePermit> {
        if let Some(source) = source {
            let mut open = self.open();
            let count = open.entry(source).or_default();
            if *count >= self.per_source {
                return None;
            }
            *count += 1;
        }
        Some(SourcePermit {
            limiter: Arc::clone(self),
            source,
        })
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<SourcePrefix, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counted connection.
#[derive(Debug)]
pub struct SourcePermit {
    limiter: Arc<SourceConnections>,
    source: Option<SourcePrefix>,
}

impl Drop for SourcePermit {
    fn drop(&mut self) {
        let Some(source) = self.source else { return };
        let mut open = self.limiter.open();
        if let Some(count) = open.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                open.remove(&source);
            }
        }
    }
}

/// Where a request comes from, as far as limits tell one source from another: an IPv4 address, or the /64 that one customer of an
/// IPv6 network has at least (RFC 6177 section 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourcePrefix(Prefix);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Prefix {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl From<IpAddr> for SourcePrefix {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(Prefix::V4(address)),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Prefix::V6([a, b, c, d]))
            }
        }
    }
}

impl fmt::Debug for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourcePrefix(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn meter() -> RateLimiter<u32> {
        RateLimiter::new(Rate::new(3, SECOND), 100)
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
        assert_eq!(meter.full.len(), 100);
        for key in 0..30 {
            meter.take(1000 + key, now + SECOND).unwrap();
        }
        assert!(meter.full.len() <= 31, "{meter:?}");
    }

    #[test]
    fn a_full_table_forgets_who_lacks_least() {
        let now = Instant::now();
        let mut meter = RateLimiter::new(Rate::new(2, SECOND), 2);
        assert!(meter.take(1, now).is_ok() && meter.take(1, now).is_ok());
        assert!(meter.take(2, now).is_ok() && meter.take(3, now).is_ok());
        assert_eq!(meter.full.len(), 2);
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
    fn clients_are_counted_by_ipv4_address_or_by_a_64_of_ipv6() {
        let prefix = |text: &str| SourcePrefix::from(text.parse::<IpAddr>().unwrap());
        assert!(prefix("192.0.2.1") != prefix("192.0.2.2"));
        assert!(prefix("192.0.2.1") == prefix("::ffff:192.0.2.1"));
        assert!(prefix("2001:db8::1") == prefix("2001:db8::ffff:0:0:2"));
        assert!(prefix("2001:db8::1") != prefix("2001:db8:0:1::1"));
        assert_eq!(format!("{:?}", prefix("192.0.2.1")), "SourcePrefix(..)");
    }

    #[test]
    fn a_source_has_so_many_connections_and_who_is_not_limited_has_as_many_as_come() {
        let limiter = SourceConnections::new(100);
        let source = |text: &str| Some(SourcePrefix::from(text.parse::<IpAddr>().unwrap()));
        let mut permits: Vec<SourcePermit> = (0..100)
            .map_while(|_| limiter.enter(source("192.0.2.1")))
            .collect();
        assert_eq!(permits.len(), 100);
        assert!(limiter.enter(source("192.0.2.1")).is_none());
        assert!(limiter.enter(source("192.0.2.2")).is_some());
        assert!(limiter.enter(None).is_some());
        permits.pop();
        assert!(limiter.enter(source("192.0.2.1")).is_some());
        permits.clear();
        assert!(limiter.open().is_empty());
    }

    proptest! {
        #[test]
        fn no_key_gets_more_than_the_rate(steps in proptest::collection::vec((0_u32..3, 0_u64..3_000), 1..200)) {
            let (mut meter, start) = (RateLimiter::new(Rate::new(3, SECOND), 3), Instant::now());
            let (mut now, mut passed) = (start, 0);
            for (key, pause) in steps {
                now += Duration::from_millis(pause);
                passed += u64::from(meter.take(key, now).is_ok() && key == 0);
                prop_assert!(passed <= 3 + (now - start).as_secs());
            }
        }

        #[test]
        fn the_table_keeps_its_size(steps in proptest::collection::vec((any::<u32>(), 0_u64..500), 1..300)) {
            let (mut meter, mut now) = (RateLimiter::new(Rate::new(3, SECOND), 5), Instant::now());
            for (key, pause) in steps {
                now += Duration::from_millis(pause);
                let _ = meter.take(key, now);
                prop_assert!(meter.full.len() <= 5);
                prop_assert_eq!(meter.full.len(), meter.order.len());
            }
        }
    }
}
