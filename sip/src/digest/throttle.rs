//! Slows password guessing: after some wrong passwords from one address for one user, one attempt a second is checked and the
//! others are refused unchecked. Attempts are counted per address and user, so that a phone with an old password does not lock
//! out other phones on the same host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Wrong passwords without a delay: people mistype, and phones retry a few times.
const FREE_TRIES: u32 = 10;
/// The pause between checked tries after that.
const PAUSE: Duration = Duration::from_secs(1);
/// Quiet that makes all forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// How many pairs are attempts. Beyond it the oldest is forgotten.
const MAX_PAIRS: usize = 1024;

#[derive(Default)]
pub(super) struct Throttle {
    attempts: BTreeMap<(IpAddr, String), Attempts>,
}

struct Attempts {
    failures: u32,
    last: Instant,
}

impl Throttle {
    /// True if a try of this user from this address may be checked.
    pub(super) fn allows(&self, who: &(IpAddr, String), now: Instant) -> bool {
        self.attempts.get(who).is_none_or(|each| {
            let quiet = now.saturating_duration_since(each.last);
            each.failures < FREE_TRIES || quiet >= PAUSE
        })
    }

    pub(super) fn note_failure(&mut self, who: (IpAddr, String), now: Instant) {
        if self.attempts.len() >= MAX_PAIRS && !self.attempts.contains_key(&who) {
            let oldest = self
                .attempts
                .iter()
                .min_by_key(|(_, each)| each.last)
                .map(|(who, _)| who.clone());
            if let Some(oldest) = oldest {
                self.attempts.remove(&oldest);
            }
        }
        let each = self.attempts.entry(who).or_insert(Attempts {
            failures: 0,
            last: now,
        });
        if now.saturating_duration_since(each.last) > FORGET {
            each.failures = 0;
        }
        each.failures = each.failures.saturating_add(1);
        each.last = now;
    }

    pub(super) fn note_success(&mut self, who: &(IpAddr, String)) {
        self.attempts.remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timers::some_instant;

    #[test]
    fn guessing_slows_down_to_one_try_a_second() {
        let (mut throttle, start) = (Throttle::default(), some_instant());
        let who = (IpAddr::from([127, 0, 0, 1]), "alice".to_owned());
        let checked = (0..600_u32).filter(|tenth| {
            let now = start + Duration::from_millis(100) * *tenth;
            let is_allowed = throttle.allows(&who, now);
            if is_allowed {
                throttle.note_failure(who.clone(), now);
            }
            is_allowed
        });
        assert!((60..=72).contains(&checked.count()));
    }

    #[test]
    fn one_phone_does_not_lock_out_another() {
        let (mut throttle, now) = (Throttle::default(), some_instant());
        let address = IpAddr::from([127, 0, 0, 1]);
        for _ in 0..50 {
            throttle.note_failure((address, "alice".to_owned()), now);
        }
        assert!(!throttle.allows(&(address, "alice".to_owned()), now));
        assert!(throttle.allows(&(address, "bob".to_owned()), now));
    }
}
