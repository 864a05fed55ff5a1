//! Key presses said to a phone within its sound (RFC 4733 section 2.5), where they came by another way.
//!
//! They take the place of packets that pass anyway: the far leg's rhythm is kept, and no number is used that would not
//! have been. While no sound passes, none is said.

use std::collections::VecDeque;

/// Presses that wait for their turn. A person types three a second; more than these are dropped.
const MAX_WAITING: usize = 16;
/// How often the end is said (RFC 4733 section 2.5.1.4).
const ENDS: u8 = 3;
/// Packets of sound between two presses.
const PAUSE: u8 = 2;
/// -10 dBm0: what a telephone's keypad sounds like (RFC 4733 section 2.5.2.1).
const VOLUME: u8 = 10;

/// The presses for one phone.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    waiting: VecDeque<Press>,
    pause: u8,
}

#[derive(Debug)]
struct Press {
    event: u8,
    millis: u16,
    /// The timestamp of its beginning, once it has begun.
    start: Option<u32>,
    ends: u8,
}

/// What is said in place of a packet of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) payload: [u8; 4],
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
}

impl Keys {
    /// Takes a press of an event (0 to 15), so many milliseconds long. False if too many wait.
    pub(crate) fn press(&mut self, event: u8, millis: u16) -> bool {
        let has_room = self.waiting.len() < MAX_WAITING;
        if has_room {
            self.waiting.push_back(Press {
                event,
                millis,
                start: None,
                ends: 0,
            });
        }
        has_room
    }

    /// What goes out in place of a packet of sound with this timestamp. `None` if the sound itself does.
    pub(crate) fn take_place(&mut self, timestamp: u32, clock: u32) -> Option<Said> {
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let press = self.waiting.front_mut()?;
        let said = press.say(timestamp, clock);
        if press.ends >= ENDS {
            self.waiting.pop_front();
            self.pause = PAUSE;
        }
        Some(said)
    }
}

impl Press {
    fn say(&mut self, timestamp: u32, clock: u32) -> Said {
        let is_first = self.start.is_none();
        let start = *self.start.get_or_insert(timestamp);
        let whole = u32::from(self.millis) * (clock / 1_000);
        // The event lasts up to the end of the packet that says so.
        let so_far = timestamp.wrapping_sub(start).saturating_add(clock / 50);
        let is_end = self.ends > 0 || so_far >= whole;
        if is_end {
            self.ends += 1;
        }
        let duration = u16::try_from(so_far.min(whole)).unwrap_or(u16::MAX);
        let [high, low] = duration.to_be_bytes();
        let end = if is_end { 0x80 } else { 0 };
        Said {
            payload: [self.event, end | VOLUME, high, low],
            timestamp: start,
            marker: is_first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything said in place of `packets` packets of 20 ms.
    fn said(keys: &mut Keys, packets: u32) -> Vec<Option<Said>> {
        (0..packets)
            .map(|packet| keys.take_place(1_000 + packet * 160, 8_000))
            .collect()
    }

    #[test]
    fn a_press_grows_to_its_length_and_ends_three_times() {
        let mut keys = Keys::default();
        assert!(keys.press(5, 100));
        let said = said(&mut keys, 9);
        let durations: Vec<u16> = said
            .iter()
            .flatten()
            .map(|said| u16::from_be_bytes([said.payload[2], said.payload[3]]))
            .collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
        let ends: Vec<bool> = said
            .iter()
            .flatten()
            .map(|said| said.payload[1] & 0x80 != 0)
            .collect();
        assert_eq!(ends, [false, false, false, false, true, true, true]);
        let mut all = said.iter().flatten();
        assert!(all.next().is_some_and(|first| first.marker));
        assert!(
            said.iter()
                .flatten()
                .all(|said| said.timestamp == 1_000 && said.payload[0] == 5)
        );
        assert_eq!(said[7..], [None, None]);
    }

    #[test]
    fn two_presses_are_two() {
        let mut keys = Keys::default();
        assert!(keys.press(1, 40) && keys.press(1, 40));
        let starts: Vec<u32> = said(&mut keys, 20)
            .iter()
            .flatten()
            .filter(|said| said.marker)
            .map(|said| said.timestamp)
            .collect();
        assert_eq!(starts.len(), 2);
        assert_ne!(starts[0], starts[1]);
    }

    #[test]
    fn more_presses_than_anybody_types_are_dropped() {
        let mut keys = Keys::default();
        for count in 0..20 {
            assert_eq!(keys.press(0, 100), count < MAX_WAITING);
        }
    }
}
