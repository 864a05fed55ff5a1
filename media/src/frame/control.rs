//! The messages of the data channel, which leave in slots of their own, each behind a frame: one in each [`CONTROL_PACE`], empty where nothing
//! waits. When the first leaves is drawn, so that it tells nothing of the side whose channel opens first.
//!
//! So a TURN server does not see when a key is pressed on a phone that says so beside its sound, and not by a message that a side hangs
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
#[derive(Debug)]
pub(crate) struct ControlSlots {
    waiting: VecDeque<[u8; CONTROL_BYTES]>,
    /// From the opening of the channel to the first slot.
    first: Duration,
    /// The next slot, once the channel is open.
    next: Option<Instant>,
}

impl ControlSlots {
    /// The messages of a call; `draw` is random.
    pub(crate) fn drawn(draw: u32) -> Self {
        let micros = draw % CONTROL_PACE.as_micros() as u32;
        Self {
            waiting: VecDeque::new(),
            first: Duration::from_micros(micros.into()),
            next: None,
        }
    }

    /// The channel is open.
    pub(crate) fn start(&mut self, now: Instant) {
        self.next = Some(now + self.first);
    }

    /// Nothing leaves any more.
    pub(crate) fn stop(&mut self) {
        self.waiting.clear();
        self.next = None;
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

    /// The message that is due; to be asked for with each frame.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<[u8; CONTROL_BYTES]> {
        let slot = self.next.filter(|slot| *slot <= now)?;
        // After a sleep of this machine one leaves, not all that were due.
        let late = now.saturating_duration_since(slot);
        self.next = Some(if late < CONTROL_PACE { slot } else { now } + CONTROL_PACE);
        Some(self.waiting.pop_front().unwrap_or(EMPTY))
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
        let (mut slots, start) = (ControlSlots::drawn(300_000), some_time());
        assert!(!slots.push(&message(1)), "before the channel is open");
        slots.start(start);
        let mut left = Vec::new();
        for millis in 0..2_000 {
            let now = start + Duration::from_millis(millis);
            if millis == 500 {
                assert!(slots.push(&message(1)) && slots.push(&message(2)));
            }
            left.extend(slots.poll(now).map(|message| (millis, message[0])));
        }
        assert_eq!(left, [(300, 0), (800, 1), (1_300, 2), (1_800, 0)]);
    }

    #[test]
    fn messages_of_another_length_and_too_many_are_refused() {
        let mut slots = ControlSlots::drawn(300_000);
        slots.start(some_time());
        assert!(!slots.push(&[1; 63]));
        for _ in 0..MOST_WAITING {
            assert!(slots.push(&message(1)));
        }
        assert!(!slots.push(&message(1)));
    }

    #[test]
    fn slots_that_were_slept_through_are_left_out() {
        let (mut slots, start) = (ControlSlots::drawn(300_000), some_time());
        slots.start(start);
        let later = start + Duration::from_secs(60);
        assert!(slots.poll(later).is_some());
        assert!(slots.poll(later).is_none());
    }
}
