//! What a phone says again until it is answered (RFC 3261 section 17.1, and 13.3.1.4 for the 200 of an INVITE).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// RFC 3261 table 4: estimate of a round trip.
const T1: Duration = Duration::from_millis(500);
/// RFC 3261 table 4: the longest pause between two repetitions, an INVITE's excepted.
const T2: Duration = Duration::from_secs(4);
/// After this the other side is taken for gone (timers B, F and H).
const GIVE_UP: Duration = Duration::from_secs(32);

/// Messages that wait for something, under a name by which the wait ends.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    waiting: BTreeMap<String, Repeat>,
}

#[derive(Debug)]
struct Repeat {
    bytes: Vec<u8>,
    pause: Duration,
    longest: Duration,
    next: Instant,
    until: Instant,
}

impl Repeats {
    /// Repeats an INVITE: the pauses double without end.
    pub(crate) fn start_invite(&mut self, name: String, bytes: Vec<u8>, now: Instant) {
        self.put(name, bytes, GIVE_UP, now);
    }

    /// Repeats anything else.
    pub(crate) fn start(&mut self, name: String, bytes: Vec<u8>, now: Instant) {
        self.put(name, bytes, T2, now);
    }

    fn put(&mut self, name: String, bytes: Vec<u8>, longest: Duration, now: Instant) {
        let repeat = Repeat {
            bytes,
            pause: T1,
            longest,
            next: now + T1,
            until: now + GIVE_UP,
        };
        self.waiting.insert(name, repeat);
    }

    /// It was answered; false if nothing waited under this name.
    pub(crate) fn stop(&mut self, name: &str) -> bool {
        self.waiting.remove(name).is_some()
    }

    /// What is to be said again now. What was said for too long is dropped.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.waiting.retain(|_, repeat| repeat.until > now);
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
