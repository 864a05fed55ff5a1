//! The relayed addresses of the other side: those of its description, and those from which it was met later. A side that has lost its way
//! out comes back from another address, and a check with its ICE password says so (RFC 8445 section 7.3.1.3: peer-reflexive candidates).
//!
//! Checks have no counter, so that one can be replayed from another address by whom it passed. What that gains is an address to which
//! checks go; sound goes there only after an answer with the other's password. Both numbers of addresses are bounded ([`MoveBudget`]).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::attribute::AttributeType;
use stun_types::message::{BINDING, Message, MessageClass};

use super::setup::priority;

/// Addresses at one time. The one that was not heard for the longest time makes room.
const MAX_AT_ONCE: usize = 4;

/// Addresses that a side takes in a call at once, and the time in which it may take one more. A TURN server that starts again every few
/// minutes is outlived; a side that moves without end is not followed.
const MOVES: u64 = 16;
const ONE_MORE: Duration = Duration::from_secs(60);

/// The PRIORITY attribute of a check (RFC 8445 section 16.1).
const PRIORITY: AttributeType = AttributeType::new(0x0024);

/// One address of the other side.
#[derive(Clone, Copy, Debug)]
struct Remote {
    address: SocketAddr,
    priority: u32,
    /// When a message of the other side last came from there.
    heard: Option<Instant>,
}

/// How many addresses a side has taken in a call, and may take.
#[derive(Debug, Default)]
pub(super) struct MoveBudget {
    spent: u64,
    since: Option<Instant>,
}

impl MoveBudget {
    pub(super) fn allows(&self, now: Instant) -> bool {
        let lasted = self
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.spent < MOVES + lasted.as_secs() / ONE_MORE.as_secs()
    }

    pub(super) fn spend(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.spent += 1;
    }
}

/// The accepted relayed addresses.
#[derive(Default)]
pub(super) struct Remotes {
    accepted: Vec<Remote>,
    budget: MoveBudget,
    is_shut: bool,
}

impl Remotes {
    /// Sets the addresses of the description, already checked.
    pub(super) fn open(&mut self, addresses: &[SocketAddr], now: Instant) {
        for address in addresses {
            self.join(*address, priority(0), now);
        }
    }

    /// Lets nothing pass any more.
    pub(super) fn shut(&mut self) {
        self.accepted.clear();
        self.is_shut = true;
    }

    /// Whether packets to and from `address` pass.
    pub(super) fn admit(&self, address: SocketAddr) -> bool {
        self.accepted.iter().any(|one| one.address == address)
    }

    /// Whether one more address may be accepted.
    pub(super) fn may_join(&self, now: Instant) -> bool {
        !self.is_shut && self.budget.allows(now)
    }

    /// Accepts an address with the ICE priority that the other side gives it.
    pub(super) fn join(&mut self, address: SocketAddr, priority: u32, now: Instant) {
        if self.admit(address) || !self.may_join(now) {
            return;
        }
        if self.accepted.len() == MAX_AT_ONCE {
            let oldest = (0..MAX_AT_ONCE).min_by_key(|at| self.accepted[*at].heard);
            self.accepted.remove(oldest.unwrap_or_default());
        }
        self.budget.spend(now);
        self.accepted.push(Remote {
            address,
            priority,
            heard: None,
        });
    }

    /// A message of the other side came from `address`.
    pub(super) fn note_heard(&mut self, address: SocketAddr, now: Instant) {
        let heard = self.accepted.iter_mut().find(|one| one.address == address);
        if let Some(heard) = heard {
            heard.heard = Some(now);
        }
    }

    /// From where the newest message of the other side came.
    pub(super) fn heard_last(&self) -> Option<SocketAddr> {
        let heard = self.accepted.iter().filter(|one| one.heard.is_some());
        heard.max_by_key(|one| one.heard).map(|one| one.address)
    }

    /// The addresses with their priorities, in the order in which they were accepted.
    pub(super) fn all(&self) -> Vec<(SocketAddr, u32)> {
        let all = self.accepted.iter();
        all.map(|one| (one.address, one.priority)).collect()
    }

    /// The priority of an address that is newer than all that were met: the other side gives its n-th the n-th.
    pub(super) fn newest_priority(&self) -> u32 {
        let highest = self.accepted.iter().map(|one| one.priority).max();
        highest.unwrap_or_default().max(priority(0)) + (priority(1) - priority(0))
    }
}

/// The priority that a connectivity check gives its sender; `None` if it is none.
pub(super) fn check_priority(bytes: &[u8]) -> Option<u32> {
    let message = Message::from_bytes(bytes).ok()?;
    if message.method() != BINDING || !message.has_class(MessageClass::Request) {
        return None;
    }
    let value: [u8; 4] = message
        .raw_attribute(PRIORITY)?
        .value
        .as_ref()
        .try_into()
        .ok()?;
    Some(u32::from_be_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([203, 0, 113, 1], port).into()
    }

    fn ports(remotes: &Remotes) -> Vec<u16> {
        let all = remotes.all().into_iter();
        all.map(|(address, _)| address.port()).collect()
    }

    #[test]
    fn four_addresses_at_once_and_the_one_that_is_silent_longest_makes_room() {
        let start = crate::some_time();
        let mut remotes = Remotes::default();
        remotes.open(&[address(1), address(2)], start);
        remotes.join(address(3), 7, start);
        remotes.join(address(4), 8, start);
        for (at, port) in [1, 3, 4, 2].into_iter().enumerate() {
            let later = u64::try_from(at).unwrap();
            remotes.note_heard(address(port), start + Duration::from_secs(later));
        }
        assert_eq!(remotes.newest_priority(), priority(1));
        remotes.join(address(5), priority(3), start);
        assert_eq!(ports(&remotes), [2, 3, 4, 5]);
        assert_eq!(remotes.newest_priority(), priority(4));
        // One that was never heard goes first.
        remotes.join(address(6), 9, start);
        assert_eq!(ports(&remotes), [2, 3, 4, 6]);
    }

    #[test]
    fn sixteen_addresses_at_once_and_one_more_each_minute() {
        let (mut remotes, start) = (Remotes::default(), crate::some_time());
        remotes.open(&[address(1)], start);
        for port in 1..100 {
            remotes.join(address(port), 1, start + ONE_MORE / 2);
        }
        assert!(!remotes.may_join(start + ONE_MORE - Duration::from_millis(1)));
        assert_eq!(ports(&remotes), [13, 14, 15, 16]);
        for port in 50..100 {
            remotes.join(address(port), 1, start + 2 * ONE_MORE);
        }
        assert_eq!(ports(&remotes), [15, 16, 50, 51]);
        remotes.shut();
        assert!(!remotes.may_join(start + 9 * ONE_MORE) && remotes.all().is_empty());
    }
}
