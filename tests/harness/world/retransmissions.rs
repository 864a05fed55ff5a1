//! Messages that a phone retransmits until they are answered (RFC 3261 section 17.1, and 13.3.1.4 for the 200 to an INVITE).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// RFC 3261 table 4: estimate of a round trip.
const T1: Duration = Duration::from_millis(500);
/// RFC 3261 table 4: the longest interval between retransmissions, except those of an INVITE.
const T2: Duration = Duration::from_secs(4);
/// After this the transaction fails (timers B, F and H).
const GIVE_UP: Duration = Duration::from_secs(32);

/// Messages that wait for an answer, by the name of the transaction.
#[derive(Debug, Default)]
pub(crate) struct Retransmissions {
    waiting: BTreeMap<String, Retransmission>,
}

#[derive(Debug)]
struct Retransmission {
    bytes: Vec<u8>,
    pause: Duration,
    longest: Duration,
    next: Instant,
    until: Instant,
}

impl Retransmissions {
    /// Retransmits an INVITE; the intervals double without limit.
    pub(crate) fn start_invite(&mut self, name: String, bytes: Vec<u8>, now: Instant) {
        self.put(name, bytes, GIVE_UP, now);
    }

    /// Retransmits any other message.
    pub(crate) fn start(&mut self, name: String, bytes: Vec<u8>, now: Instant) {
        self.put(name, bytes, T2, now);
    }

    fn put(&mut self, name: String, bytes: Vec<u8>, longest: Duration, now: Instant) {
        let repeat = Retransmission {
            bytes,
            pause: T1,
            longest,
            next: now + T1,
            until: now + GIVE_UP,
        };
        self.waiting.insert(name, repeat);
    }

    /// The message was answered; false if none waited under this name.
    pub(crate) fn stop(&mut self, name: &str) -> bool {
        self.waiting.remove(name).is_some()
    }

    /// The names of those that were retransmitted for too long, which are forgotten.
    pub(crate) fn given_up(&mut self, now: Instant) -> Vec<String> {
        let is_over = |_: &String, repeat: &mut Retransmission| repeat.until <= now;
        let over = self.waiting.extract_if(.., is_over);
        over.map(|(name, _)| name).collect()
    }

    /// The messages to retransmit now.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        for repeat in self.waiting.values_mut() {
            if repeat.next <= now {
                repeat.pause = (repeat.pause * 2).min(repeat.longest);
                repeat.next = now + repeat.pause;
                due.push(repeat.bytes.clone());
            }
        }
        due
    }

    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.waiting
            .values()
            .map(|repeat| repeat.next.min(repeat.until))
            .min()
    }
}
