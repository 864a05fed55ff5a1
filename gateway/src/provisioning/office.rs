//! One-time links: each is good once, for ten minutes, and nobody can try many.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Order;
use crate::page::key::draw;
use crate::state::secret::Secret;

/// How long a link is good.
pub(crate) const LIFE: Duration = Duration::from_secs(600);

/// Links that are good at one time; a new one takes the oldest one's place.
const MOST_TICKETS: usize = 64;

/// Fetches that failed, in a minute. Beyond it, every fetch is put off, so that guessing has no end.
const MOST_MISSES: usize = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// The links that are good.
#[derive(Debug, Default)]
pub(crate) struct Office(Mutex<Desk>);

#[derive(Debug, Default)]
struct Desk {
    tickets: VecDeque<Ticket>,
    misses: VecDeque<Instant>,
}

#[derive(Debug)]
struct Ticket {
    token: Secret,
    order: Order,
    until: Instant,
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redeemed {
    /// It was good, and is no more.
    Good(Order),
    /// It was fetched before, is too old, or never was.
    Unknown,
    /// Too many failed.
    Later,
}

impl Office {
    /// A new link for this order.
    pub(crate) fn issue(&self, order: Order, now: Instant) -> Secret {
        let token = draw();
        let mut desk = self.desk();
        if desk.tickets.len() >= MOST_TICKETS {
            desk.tickets.pop_front();
        }
        desk.tickets.push_back(Ticket {
            token: token.clone(),
            order,
            until: now + LIFE,
        });
        token
    }

    /// Takes a link.
    pub(crate) fn redeem(&self, token: &str, now: Instant) -> Redeemed {
        if self.is_put_off(now) {
            return Redeemed::Later;
        }
        let mut desk = self.desk();
        desk.tickets.retain(|ticket| now < ticket.until);
        let token = Secret::new(token.to_owned());
        let place = desk.tickets.iter().position(|ticket| ticket.token == token);
        match place.and_then(|place| desk.tickets.remove(place)) {
            Some(ticket) => Redeemed::Good(ticket.order),
            None => {
                drop(desk);
                self.miss(now);
                Redeemed::Unknown
            }
        }
    }

    /// Whether too many fetches failed.
    pub(crate) fn is_put_off(&self, now: Instant) -> bool {
        let mut desk = self.desk();
        desk.misses.retain(|miss| now < *miss + MINUTE);
        desk.misses.len() >= MOST_MISSES
    }

    /// A fetch failed.
    pub(crate) fn miss(&self, now: Instant) {
        self.desk().misses.push_back(now);
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing in it can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ringfence_book::Number;

    use super::super::{Model, Place, Wire};
    use super::*;
    use crate::clock;

    const ORDER: Order = Order {
        number: Number::new(20_417),
        model: Model::Linphone,
        place: Place::Here,
        wire: Wire::Tcp,
    };

    #[test]
    fn a_link_is_good_once() {
        let (office, now) = (Office::default(), clock::now());
        let token = office.issue(ORDER, now);
        assert_eq!(office.redeem("x", now), Redeemed::Unknown);
        assert_eq!(office.redeem(token.expose(), now), Redeemed::Good(ORDER));
        assert_eq!(office.redeem(token.expose(), now), Redeemed::Unknown);
    }

    #[test]
    fn a_link_is_good_for_ten_minutes() {
        let (office, now) = (Office::default(), clock::now());
        let (early, late) = (office.issue(ORDER, now), office.issue(ORDER, now));
        let almost = now + LIFE - Duration::from_secs(1);
        assert_eq!(office.redeem(early.expose(), almost), Redeemed::Good(ORDER));
        assert_eq!(office.redeem(late.expose(), now + LIFE), Redeemed::Unknown);
    }

    #[test]
    fn whoever_guesses_is_put_off() {
        let (office, now) = (Office::default(), clock::now());
        let token = office.issue(ORDER, now);
        for _ in 0..MOST_MISSES {
            assert_eq!(office.redeem("guess", now), Redeemed::Unknown);
        }
        assert_eq!(office.redeem(token.expose(), now), Redeemed::Later);
        assert_eq!(
            office.redeem(token.expose(), now + MINUTE),
            Redeemed::Good(ORDER)
        );
    }

    #[test]
    fn there_are_only_so_many_links() {
        let (office, now) = (Office::default(), clock::now());
        let first = office.issue(ORDER, now);
        for _ in 0..MOST_TICKETS {
            office.issue(ORDER, now);
        }
        assert_eq!(office.redeem(first.expose(), now), Redeemed::Unknown);
    }
}
