//! The messages of the data channel, which leave in slots of their own: one in each [`CONTROL_PACE`], empty where nothing waits.
//!
//! So a TURN server does not see when a key is pressed on a phone that says so beside its sound, and not by a message that a person hangs
//! up. Empty messages end here, at both sides.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes of each message.
pub const CONTROL_BYTES: usize = 64;

/// From one message to the next.
pub const CONTROL_PACE: Duration = Duration::from_millis(500);

/// Messages that wait for their slot: key presses of eight seconds. Beyond these the newest is refused, which only the own phone can bring about.
pub(crate) const MOST_WAITING: usize = 16;

/// A message without anything in it.
pub(crate) const EMPTY: [u8; CONTROL_BYTES] = [0; CONTROL_BYTES];

/// The messages of one call that wait to leave.
#[derive(Debug, Default)]
pub(crate) struct ControlSlots {
    waiting: VecDeque<[u8; CONTROL_BYTES]>,
    /// The next slot, once the channel is open.
    next: Option<Instant>,
}

impl ControlSlots {
    /// The channel is open.
    pub(crate) fn start(&mut self, now: Instant) {
        self.next = Some(now + CONTROL_PACE);
    }

    /// Nothing leaves any more.
    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    /// Takes a message for the next slot that is free. False if the channel is not open, the message has another length, or too many wait.
    pub(crate) fn push(&mut self, message: &[u8]) -> bool {
        let is_taken = self.next.is_some() && self.waiting.len() < MOST_WAITING;
        match message.try_into() {
            Ok(message) if is_taken => self.waiting.push_back(message),
            _ => return false,
        }
        true
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The message that is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<[u8; CONTROL_BYTES]> {
        let slot = self.next.filter(|slot| *slot <= now)?;
        // After a sleep of this machine one leaves, not all that were due.
        let late = now.saturating_duration_since(slot);
        self.next = Some(if late < CONTROL_PACE { slot } else { now } + CONTROL_PACE);
        Some(self.waiting.pop_front().unwrap_or(EMPTY))
    }

    /// The next slot.
    pub(crate) const fn next_timeout(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    fn message(byte: u8) -> [u8; CONTROL_BYTES] {
        [byte; CONTROL_BYTES]
    }

    #[test]
    fn there_is_a_message_in_each_slot_and_none_between() {
        let (mut slots, start) = (ControlSlots::default(), some_time());
        assert!(!slots.push(&message(1)), "before the channel is open");
        slots.start(start);
        let mut left = Vec::new();
        for millis in 0..2_000 {
            let now = start + Duration::from_millis(millis);
            if millis == 700 {
                assert!(slots.push(&message(1)) && slots.push(&message(2)));
            }
            left.extend(slots.poll(now).map(|message| (millis, message[0])));
        }
        assert_eq!(left, [(500, 0), (1_000, 1), (1_500, 2)]);
    }

    #[test]
    fn messages_of_another_length_and_too_many_are_refused() {
        let mut slots = ControlSlots::default();
        slots.start(some_time());
        assert!(!slots.push(&[1; 63]));
        for _ in 0..MOST_WAITING {
            assert!(slots.push(&message(1)));
        }
        assert!(!slots.push(&message(1)));
    }

    #[test]
    fn slots_that_were_slept_through_are_left_out() {
        let (mut slots, start) = (ControlSlots::default(), some_time());
        slots.start(start);
        let later = start + Duration::from_secs(60);
        assert!(slots.poll(later).is_some());
        assert!(slots.poll(later).is_none());
    }
}
