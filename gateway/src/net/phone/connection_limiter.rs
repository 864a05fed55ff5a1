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
    seats: BTreeMap<u64, SlotHolder>,
    last: u64,
}

#[derive(Debug)]
struct SlotHolder {
    machine: IpAddr,
    is_registered: bool,
    /// Dropped to close the connection.
    _stay: oneshot::Sender<Infallible>,
}

/// The slot of a connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    /// The connection's number, never used again.
    pub(super) number: u64,
    seats: Arc<ConnectionLimiter>,
    leave: oneshot::Receiver<Infallible>,
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
        let (stay, leave) = oneshot::channel();
        taken.last = taken.last.saturating_add(1);
        let number = taken.last;
        let sitting = SlotHolder {
            machine,
            is_registered: false,
            _stay: stay,
        };
        taken.seats.insert(number, sitting);
        drop(taken);
        Some(ConnectionSlot {
            number,
            seats: Arc::clone(self),
            leave,
        })
    }

    /// Records whether a phone is registered over a connection.
    pub(super) fn note(&self, number: u64, is_registered: bool) {
        if let Some(sitting) = self.lock().seats.get_mut(&number) {
            sitting.is_registered = is_registered;
        }
    }

    /// Every statement leaves the map consistent, so that a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn make_room(&mut self, machine: IpAddr) -> bool {
        let of_machine = self.seats.values().filter(|each| each.machine == machine);
        let leaver = if !machine.is_loopback() && of_machine.count() >= MOST_OF_MACHINE {
            self.oldest_stranger(&[machine])
        } else if self.seats.len() >= MOST_CONNECTIONS {
            self.oldest_stranger(&self.busiest())
        } else {
            return true;
        };
        leaver
            .and_then(|number| self.seats.remove(&number))
            .is_some()
    }

    /// The machines with most connections over which no phone is registered.
    fn busiest(&self) -> Vec<IpAddr> {
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for stranger in self.seats.values().filter(|each| !each.is_registered) {
            let count = counts.entry(stranger.machine).or_default();
            *count = count.saturating_add(1);
        }
        let most = counts.values().max().copied().unwrap_or_default();
        counts.retain(|_, count| *count == most);
        counts.into_keys().collect()
    }

    fn oldest_stranger(&self, of: &[IpAddr]) -> Option<u64> {
        let mut seats = self.seats.iter();
        let oldest = seats.find(|(_, each)| !each.is_registered && of.contains(&each.machine));
        oldest.map(|(number, _)| *number)
    }
}

impl ConnectionSlot {
    /// Waits until the slot is needed for another connection.
    pub(super) async fn lost(&mut self) {
        let Err(_) = (&mut self.leave).await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.seats.lock().seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(number: usize) -> IpAddr {
        format!("192.0.2.{number}").parse().unwrap()
    }

    fn has_left(seat: &mut ConnectionSlot) -> bool {
        !matches!(
            seat.leave.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        )
    }

    #[test]
    fn one_machine_takes_connections_from_itself_alone() {
        let seats = Arc::new(ConnectionLimiter::default());
        let mut phone = seats.take(machine(1)).unwrap();
        let mut crowd: Vec<ConnectionSlot> =
            (0..100).map(|_| seats.take(machine(2)).unwrap()).collect();
        let gone = crowd
            .iter_mut()
            .filter_map(|seat| has_left(seat).then_some(seat.number));
        assert_eq!(gone.collect::<Vec<_>>(), (2..38).collect::<Vec<_>>());
        assert!(!has_left(&mut phone));
    }

    #[test]
    fn a_registered_phone_keeps_its_connection_and_is_the_last_to_lose_it() {
        let seats = Arc::new(ConnectionLimiter::default());
        let mut phones = Vec::new();
        for number in 0..MOST_CONNECTIONS {
            let seat = seats.take(machine(number / MOST_OF_MACHINE)).unwrap();
            seats.note(seat.number, number % 64 != 5);
            phones.push(seat);
        }
        // Eight strangers are among them, and the newcomers are strangers too.
        let mut newcomers: Vec<ConnectionSlot> = (0..8)
            .map(|each| seats.take(machine(100 + each)).unwrap())
            .collect();
        for (number, phone) in phones.iter_mut().enumerate() {
            assert_eq!(has_left(phone), number % 64 == 5, "{number}");
        }
        for newcomer in &newcomers {
            seats.note(newcomer.number, true);
        }
        assert!(seats.take(machine(200)).is_none());
        // A closed connection makes room.
        newcomers.pop();
        assert!(seats.take(machine(200)).is_some());
    }

    #[test]
    fn phones_on_this_machine_may_have_all_connections() {
        let seats = Arc::new(ConnectionLimiter::default());
        let loopback = "::ffff:127.0.0.1".parse().unwrap();
        let mut phones: Vec<ConnectionSlot> = (0..MOST_CONNECTIONS)
            .map(|_| seats.take(loopback).unwrap())
            .collect();
        assert!(!phones.iter_mut().any(has_left));
    }
}
