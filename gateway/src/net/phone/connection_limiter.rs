//! Limits the connections of phones: how many there are at all addresses together, how many one machine may have, and which one is
//! closed when a new one comes and the limit is reached.
//!
//! A connection over which no phone is registered is closed before one over which a phone is; of the former, the oldest one of the
//! machine that has most of them. So a machine that only connects displaces its own connections alone. On loopback all phones are one
//! machine, so the limit for one machine does not apply there.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Connections at one time: more than the phones of a large office.
pub(super) const MOST_CONNECTIONS: usize = 512;
/// Connections of one other machine: a PBX or a proxy with its phones.
const MOST_OF_MACHINE: usize = 64;

/// The connections that are open.
#[derive(Debug, Default)]
pub(super) struct ConnectionLimiter {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// By number, which is by age.
    slots: BTreeMap<u64, SlotHolder>,
    last: u64,
}

#[derive(Debug)]
struct SlotHolder {
    machine: IpAddr,
    is_registered: bool,
    /// Dropped to close the connection.
    _keep: oneshot::Sender<Infallible>,
}

/// The slot of a connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    /// The connection's number, never used again.
    pub(super) number: u64,
    limiter: Arc<ConnectionLimiter>,
    close: oneshot::Receiver<Infallible>,
}

impl ConnectionLimiter {
    /// A slot for a connection from `machine`, perhaps that of a connection which is closed for it. `None` if phones are registered
    /// over all of them.
    pub(super) fn take(self: &Arc<Self>, machine: IpAddr) -> Option<ConnectionSlot> {
        let machine = machine.to_canonical();
        let mut taken = self.lock();
        if !taken.make_room(machine) {
            return None;
        }
        let (keep, close) = oneshot::channel();
        taken.last = taken.last.saturating_add(1);
        let number = taken.last;
        let holder = SlotHolder {
            machine,
            is_registered: false,
            _keep: keep,
        };
        taken.slots.insert(number, holder);
        drop(taken);
        Some(ConnectionSlot {
            number,
            limiter: Arc::clone(self),
            close,
        })
    }

    /// Records whether a phone is registered over a connection.
    pub(super) fn note(&self, number: u64, is_registered: bool) {
        if let Some(holder) = self.lock().slots.get_mut(&number) {
            holder.is_registered = is_registered;
        }
    }

    /// Every statement leaves the map consistent, so that a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn make_room(&mut self, machine: IpAddr) -> bool {
        let of_machine = self.slots.values().filter(|each| each.machine == machine);
        let displaced = if !machine.is_loopback() && of_machine.count() >= MOST_OF_MACHINE {
            self.oldest_unregistered(&[machine])
        } else if self.slots.len() >= MOST_CONNECTIONS {
            self.oldest_unregistered(&self.busiest())
        } else {
            return true;
        };
        displaced
            .and_then(|number| self.slots.remove(&number))
            .is_some()
    }

    /// The machines with most connections over which no phone is registered.
    fn busiest(&self) -> Vec<IpAddr> {
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for holder in self.slots.values().filter(|each| !each.is_registered) {
            let count = counts.entry(holder.machine).or_default();
            *count = count.saturating_add(1);
        }
        let most = counts.values().max().copied().unwrap_or_default();
        counts.retain(|_, count| *count == most);
        counts.into_keys().collect()
    }

    fn oldest_unregistered(&self, of: &[IpAddr]) -> Option<u64> {
        let mut slots = self.slots.iter();
        let oldest = slots.find(|(_, each)| !each.is_registered && of.contains(&each.machine));
        oldest.map(|(number, _)| *number)
    }
}

impl ConnectionSlot {
    /// Waits until the slot is needed for another connection.
    pub(super) async fn lost(&mut self) {
        let Err(_) = (&mut self.close).await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.limiter.lock().slots.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(number: usize) -> IpAddr {
        format!("192.0.2.{number}").parse().unwrap()
    }

    fn is_lost(slot: &mut ConnectionSlot) -> bool {
        !matches!(
            slot.close.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        )
    }

    #[test]
    fn one_machine_takes_connections_from_itself_alone() {
        let limiter = Arc::new(ConnectionLimiter::default());
        let mut phone = limiter.take(machine(1)).unwrap();
        let mut crowd: Vec<ConnectionSlot> = (0..100)
            .map(|_| limiter.take(machine(2)).unwrap())
            .collect();
        let gone = crowd
            .iter_mut()
            .filter_map(|slot| is_lost(slot).then_some(slot.number));
        assert_eq!(gone.collect::<Vec<_>>(), (2..38).collect::<Vec<_>>());
        assert!(!is_lost(&mut phone));
    }

    #[test]
    fn a_registered_phone_keeps_its_connection_and_is_the_last_to_lose_it() {
        let limiter = Arc::new(ConnectionLimiter::default());
        let mut phones = Vec::new();
        for number in 0..MOST_CONNECTIONS {
            let slot = limiter.take(machine(number / MOST_OF_MACHINE)).unwrap();
            limiter.note(slot.number, number % 64 != 5);
            phones.push(slot);
        }
        // Over eight of them no phone is registered, nor over the new ones.
        let mut new_slots: Vec<ConnectionSlot> = (0..8)
            .map(|each| limiter.take(machine(100 + each)).unwrap())
            .collect();
        for (number, phone) in phones.iter_mut().enumerate() {
            assert_eq!(is_lost(phone), number % 64 == 5, "{number}");
        }
        for new_slot in &new_slots {
            limiter.note(new_slot.number, true);
        }
        assert!(limiter.take(machine(200)).is_none());
        // A closed connection makes room.
        new_slots.pop();
        assert!(limiter.take(machine(200)).is_some());
    }

    #[test]
    fn phones_on_this_machine_may_have_all_connections() {
        let limiter = Arc::new(ConnectionLimiter::default());
        let loopback = "::ffff:127.0.0.1".parse().unwrap();
        let mut phones: Vec<ConnectionSlot> = (0..MOST_CONNECTIONS)
            .map(|_| limiter.take(loopback).unwrap())
            .collect();
        assert!(!phones.iter_mut().any(is_lost));
    }
}
