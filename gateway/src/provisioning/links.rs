//! One-time links: each works once, within ten minutes. Guessing is slowed down.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::SetupRequest;
use crate::state::secret::Secret;

/// How long a link works.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(600);

/// Links at one time; a new one replaces the oldest.
const MOST_LINKS: usize = 64;

/// Failed fetches in a minute. After so many, every fetch is refused for a while, so that guessing takes too long.
const MOST_MISSES: usize = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// The links that have not been used.
#[derive(Debug, Default)]
pub(crate) struct OneTimeLinks(Mutex<LinkTable>);

#[derive(Debug, Default)]
struct LinkTable {
    links: VecDeque<PendingLink>,
    misses: VecDeque<Instant>,
}

#[derive(Debug)]
struct PendingLink {
    token: Secret,
    request: SetupRequest,
    until: Instant,
}

/// The outcome of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkOutcome {
    /// The link was valid; it is used up now.
    Good(SetupRequest),
    /// The link was used before, is too old, or never existed.
    Unknown,
    /// Too many fetches failed; try later.
    Later,
}

impl OneTimeLinks {
    /// Draws the token of a new link.
    pub(crate) fn issue(&self, request: SetupRequest, now: Instant) -> Secret {
        let token = Secret::random();
        let mut table = self.table();
        if table.links.len() >= MOST_LINKS {
            table.links.pop_front();
        }
        table.links.push_back(PendingLink {
            token: token.clone(),
            request,
            until: now + LINK_LIFE,
        });
        token
    }

    /// Uses a link up.
    pub(crate) fn redeem(&self, token: &str, now: Instant) -> LinkOutcome {
        if self.is_throttled(now) {
            return LinkOutcome::Later;
        }
        let mut table = self.table();
        table.links.retain(|link| now < link.until);
        let token = Secret::new(token.to_owned());
        let index = table.links.iter().position(|link| link.token == token);
        match index.and_then(|index| table.links.remove(index)) {
            Some(link) => LinkOutcome::Good(link.request),
            None => {
                drop(table);
                self.miss(now);
                LinkOutcome::Unknown
            }
        }
    }

    /// Whether too many fetches failed within the last minute.
    pub(crate) fn is_throttled(&self, now: Instant) -> bool {
        let mut table = self.table();
        table.misses.retain(|miss| now < *miss + MINUTE);
        table.misses.len() >= MOST_MISSES
    }

    /// Counts a failed fetch.
    pub(crate) fn miss(&self, now: Instant) {
        self.table().misses.push_back(now);
    }

    fn table(&self) -> MutexGuard<'_, LinkTable> {
        // No method leaves the table in between two states, so a poisoned lock is harmless.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ringfence_book::Number;

    use super::super::{PhoneKind, PhoneLocation, PhoneTransport};
    use super::*;
    use crate::clock;

    const REQUEST: SetupRequest = SetupRequest {
        number: Number::new(20_417),
        model: PhoneKind::Linphone,
        location: PhoneLocation::Here,
        transport: PhoneTransport::Tcp,
    };

    #[test]
    fn a_link_works_once() {
        let (links, now) = (OneTimeLinks::default(), clock::now());
        let token = links.issue(REQUEST, now);
        assert_eq!(links.redeem("x", now), LinkOutcome::Unknown);
        assert_eq!(
            links.redeem(token.expose(), now),
            LinkOutcome::Good(REQUEST)
        );
        assert_eq!(links.redeem(token.expose(), now), LinkOutcome::Unknown);
    }

    #[test]
    fn a_link_works_for_ten_minutes() {
        let (links, now) = (OneTimeLinks::default(), clock::now());
        let (early, late) = (links.issue(REQUEST, now), links.issue(REQUEST, now));
        let almost = now + LINK_LIFE - Duration::from_secs(1);
        assert_eq!(
            links.redeem(early.expose(), almost),
            LinkOutcome::Good(REQUEST)
        );
        assert_eq!(
            links.redeem(late.expose(), now + LINK_LIFE),
            LinkOutcome::Unknown
        );
    }

    #[test]
    fn guessing_is_slowed_down() {
        let (links, now) = (OneTimeLinks::default(), clock::now());
        let token = links.issue(REQUEST, now);
        for _ in 0..MOST_MISSES {
            assert_eq!(links.redeem("guess", now), LinkOutcome::Unknown);
        }
        assert_eq!(links.redeem(token.expose(), now), LinkOutcome::Later);
        assert_eq!(
            links.redeem(token.expose(), now + MINUTE),
            LinkOutcome::Good(REQUEST)
        );
    }

    #[test]
    fn the_number_of_links_is_bounded() {
        let (links, now) = (OneTimeLinks::default(), clock::now());
        let first = links.issue(REQUEST, now);
        for _ in 0..MOST_LINKS {
            links.issue(REQUEST, now);
        }
        assert_eq!(links.redeem(first.expose(), now), LinkOutcome::Unknown);
    }
}
