//! How often connectivity checks leave (RFC 8445 section 11, RFC 7675). str0m makes one every 300 ms; while all is well, one every two to
//! three seconds leaves to each address of the other side, alike for both sides, and str0m is not woken for the others.
//!
//! All is well while sound of the other side comes and checks are answered, which `search` says. A while after each change (another
//! address, a new beginning of the checks) they leave as str0m makes them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between two checks while all is well. RFC 7675 section 5.1 has 4 to 6 s; the answers are also how a path that is dead in one direction is
/// noticed, which may not take that long.
const SHORTEST_CALM: Duration = Duration::from_secs(2);
const LONGEST_CALM: Duration = Duration::from_secs(3);

/// How long str0m has its own pace after a change: a new path is checked, and nominated.
const SETTLING: Duration = Duration::from_secs(5);

/// How long str0m has its own timers after a record of DTLS: SCTP repeats what is lost within a few seconds.
const BUSY: Duration = Duration::from_secs(10);

/// Addresses whose checks have a pace. A side has no more at one time; the oldest is forgotten, and checked sooner.
const MOST: usize = 4;

/// When checks may leave.
#[derive(Debug)]
pub(super) struct CheckPace {
    /// Whether the owner says that all is well.
    is_calm: bool,
    settled_at: Instant,
    busy_until: Instant,
    next: Vec<(SocketAddr, Instant)>,
}

impl CheckPace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_calm: false,
            settled_at: now + SETTLING,
            busy_until: now,
            next: Vec::new(),
        }
    }

    /// The owner says whether all is well.
    pub(super) fn set_calm(&mut self, is_calm: bool) {
        self.is_calm = is_calm;
        if !is_calm {
            self.next.clear();
        }
    }

    /// Something has changed that has to be checked soon.
    pub(super) fn note_change(&mut self, now: Instant) {
        self.settled_at = now + SETTLING;
        self.next.clear();
    }

    /// A record of DTLS left or came.
    pub(super) fn note_dtls(&mut self, now: Instant) {
        self.busy_until = now + BUSY;
    }

    /// Whether a check to this address leaves.
    pub(super) fn admits(&mut self, to: SocketAddr, now: Instant) -> bool {
        if !self.is_calm || now < self.settled_at {
            return true;
        }
        let range = (LONGEST_CALM - SHORTEST_CALM).as_millis() as u64;
        let wait = SHORTEST_CALM + Duration::from_millis(fastrand::u64(0..=range));
        match self.next.iter_mut().find(|(address, _)| *address == to) {
            Some((_, at)) if now < *at => return false,
            Some((_, at)) => *at = now + wait,
            None => {
                if self.next.len() == MOST {
                    self.next.remove(0);
                }
                self.next.push((to, now + wait));
            }
        }
        true
    }

    /// When str0m has to get the time, if a check is all that it wants it for.
    pub(super) fn put_off(&self, at: Instant, now: Instant) -> Instant {
        let next = self.next.iter().map(|(_, next)| *next).min();
        match next {
            Some(next) if self.is_calm && self.settled_at <= now && self.busy_until <= now => {
                at.max(next)
            }
            _ => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn to(port: u16) -> SocketAddr {
        ([203, 0, 113, 7], port).into()
    }

    /// The times in milliseconds at which checks leave that are made every 300 ms.
    fn leaving(pace: &mut CheckPace, start: Instant, from: u64, until: u64) -> Vec<u64> {
        let made = (from..until).step_by(300);
        made.filter(|at| pace.admits(to(1), start + MS(*at)))
            .collect()
    }

    #[test]
    fn while_all_is_well_checks_leave_every_two_to_three_seconds() {
        let start = crate::some_time();
        let mut pace = CheckPace::new(start);
        pace.set_calm(true);
        assert_eq!(leaving(&mut pace, start, 0, 5_000).len(), 17, "settling");
        let times = leaving(&mut pace, start, 5_100, 65_100);
        assert!((20..=30).contains(&times.len()), "{times:?}");
        let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (2_000..=3_300).contains(gap)));
        assert!(gaps.iter().min() < gaps.iter().max(), "not regular");
    }

    #[test]
    fn each_address_has_its_own_pace_and_their_number_is_bounded() {
        let start = crate::some_time();
        let (mut pace, now) = (CheckPace::new(start), start + SETTLING);
        pace.set_calm(true);
        for port in 1..=9 {
            assert!(pace.admits(to(port), now));
            assert!(!pace.admits(to(port), now));
        }
        assert_eq!(pace.next.len(), MOST);
    }

    #[test]
    fn doubt_and_change_let_every_check_leave() {
        let start = crate::some_time();
        let (mut pace, now) = (CheckPace::new(start), start + SETTLING);
        pace.set_calm(true);
        assert!(pace.admits(to(1), now) && !pace.admits(to(1), now));
        pace.set_calm(false);
        assert!(pace.admits(to(1), now) && pace.admits(to(1), now));
        pace.set_calm(true);
        assert!(pace.admits(to(1), now) && !pace.admits(to(1), now));
        pace.note_change(now);
        assert!(pace.admits(to(1), now) && pace.admits(to(1), now));
    }

    #[test]
    fn str0m_rests_until_the_next_check_unless_dtls_is_under_way() {
        let start = crate::some_time();
        let (mut pace, now) = (CheckPace::new(start), start + SETTLING);
        let soon = now + MS(300);
        pace.set_calm(true);
        assert_eq!(pace.put_off(soon, now), soon, "no check has left yet");
        pace.admits(to(1), now);
        assert!(pace.put_off(soon, now) >= now + SHORTEST_CALM);
        pace.note_dtls(now);
        assert_eq!(pace.put_off(soon, now), soon);
        assert!(pace.put_off(soon + BUSY, now + BUSY) >= soon + BUSY);
        pace.set_calm(false);
        assert_eq!(pace.put_off(soon, now + BUSY), soon);
    }
}
