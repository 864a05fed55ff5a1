//! Which TURN servers lost a race lately, and in which network: they are not asked first (RFC 8305 section 3 lets a client order its
//! attempts by what it has seen). In memory only, and for ten minutes: then the server that the lot drew is asked first again.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long a loser is not asked first. Allocations of the pool are made about as often.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// Losses that are remembered: a few networks with a handful of servers each.
const MOST: usize = 64;

/// An entry that lost at a time in a network.
#[derive(Debug)]
struct Loss {
    network: IpAddr,
    entry: usize,
    until: Instant,
    why: String,
}

/// The losses. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct RaceLosses(Arc<Mutex<Vec<Loss>>>);

impl RaceLosses {
    fn losses(&self) -> MutexGuard<'_, Vec<Loss>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who won and who lost, and why.
    pub(super) fn note(
        &self,
        network: IpAddr,
        winner: usize,
        beaten: Vec<(usize, String)>,
        now: Instant,
    ) {
        let mut losses = self.losses();
        let is_over = |loss: &Loss| {
            let again = beaten.iter().any(|(entry, _)| *entry == loss.entry);
            loss.until <= now || loss.network == network && (again || loss.entry == winner)
        };
        losses.retain(|loss| !is_over(loss));
        for (entry, why) in beaten {
            if losses.len() >= MOST {
                losses.remove(0);
            }
            losses.push(Loss {
                network,
                entry,
                until: now + KEPT,
                why,
            });
        }
    }

    /// Why this entry lost lately; `None` if it did not.
    pub(super) fn why(&self, network: IpAddr, entry: usize, now: Instant) -> Option<String> {
        let losses = self.losses();
        let mut lately = losses.iter().filter(|loss| now < loss.until);
        let lost = lately.find(|loss| loss.network == network && loss.entry == entry);
        lost.map(|loss| loss.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5));
    const CAFE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    fn beaten(entry: usize) -> Vec<(usize, String)> {
        vec![(entry, "away".to_owned())]
    }

    #[test]
    fn a_loss_counts_in_its_network_for_ten_minutes_or_until_the_entry_wins() {
        let (losses, now) = (RaceLosses::default(), clock::now());
        losses.note(HOME, 1, beaten(0), now);
        let lost = |network, entry, after| losses.why(network, entry, now + after).is_some();
        assert!(lost(HOME, 0, Duration::ZERO) && lost(HOME, 0, KEPT - Duration::from_secs(1)));
        assert!(!lost(HOME, 0, KEPT) && !lost(HOME, 1, Duration::ZERO));
        assert!(!lost(CAFE, 0, Duration::ZERO));
        losses.note(CAFE, 0, beaten(1), now);
        assert!(lost(HOME, 0, Duration::ZERO), "another network's race");
        losses.note(HOME, 0, Vec::new(), now);
        assert!(!lost(HOME, 0, Duration::ZERO) && lost(CAFE, 1, Duration::ZERO));
    }

    #[test]
    fn the_memory_has_a_bound() {
        let (losses, now) = (RaceLosses::default(), clock::now());
        for entry in 0..1_000 {
            losses.note(HOME, 5_000, beaten(entry), now);
            losses.note(HOME, 5_000, beaten(entry), now);
        }
        assert_eq!(losses.losses().len(), MOST);
        assert!(losses.why(HOME, 999, now).is_some());
    }
}
