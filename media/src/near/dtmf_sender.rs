//! Sends key presses to a phone in-band, as telephone events (RFC 4733 section 2.5), when they came on the data channel.
//!
//! The events replace audio packets that pass anyway: the far leg's rhythm is kept, and no extra sequence number is used.
//! While no audio passes, no event is sent, and one that has waited for too long is not sent later.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Presses that may wait. A person types three a second; presses beyond this limit are dropped.
const MAX_WAITING: usize = 16;
/// How long a press may wait: as long as sixteen that were pressed at once take. What answers to it expects it no more then.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often the end of an event is sent (RFC 4733 section 2.5.1.4).
const ENDS: u8 = 3;
/// Audio packets between two presses.
const PAUSE: u8 = 2;
/// -10 dBm0, the level of a telephone's keypad (RFC 4733 section 2.5.2.1).
const VOLUME: u8 = 10;

/// The key presses for one phone.
#[derive(Debug, Default)]
pub(super) struct DtmfSender {
    waiting: VecDeque<QueuedPress>,
    pause: u8,
}

#[derive(Debug)]
struct QueuedPress {
    pushed: Instant,
    event: u8,
    millis: u16,
    /// The timestamp of its start, once it has begun.
    start: Option<u32>,
    /// Packets with the end bit so far.
    ends: u8,
}

/// The telephone event that replaces one audio packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TelephoneEvent {
    pub(super) payload: [u8; 4],
    pub(super) timestamp: u32,
    pub(super) marker: bool,
}

impl DtmfSender {
    /// Queues a press of an event (0 to 15), so many milliseconds long. False if too many wait.
    pub(super) fn push(&mut self, event: u8, millis: u16, now: Instant) -> bool {
        self.forget_old(now);
        let has_room = self.waiting.len() < MAX_WAITING;
        if has_room {
            self.waiting.push_back(QueuedPress {
                pushed: now,
                event,
                millis,
                start: None,
                ends: 0,
            });
        }
        has_room
    }

    fn forget_old(&mut self, now: Instant) {
        self.waiting.retain(|press| {
            let waited = now.saturating_duration_since(press.pushed);
            press.start.is_some() || waited < LONGEST_WAIT
        });
    }

    /// The event that replaces an audio packet with this timestamp. `None` if the audio itself goes out.
    pub(super) fn replace_packet(
        &mut self,
        timestamp: u32,
        clock: u32,
        now: Instant,
    ) -> Option<TelephoneEvent> {
        self.forget_old(now);
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let press = self.waiting.front_mut()?;
        let event = press.next_event(timestamp, clock);
        if press.ends >= ENDS {
            self.waiting.pop_front();
            self.pause = PAUSE;
        }
        Some(event)
    }
}

impl QueuedPress {
    fn next_event(&mut self, timestamp: u32, clock: u32) -> TelephoneEvent {
        let is_first = self.start.is_none();
        let start = *self.start.get_or_insert(timestamp);
        let whole = u32::from(self.millis) * (clock / 1_000);
        // The duration reaches to the end of the packet that carries it.
        let so_far = timestamp.wrapping_sub(start).saturating_add(clock / 50);
        let is_end = self.ends > 0 || so_far >= whole;
        if is_end {
            self.ends += 1;
        }
        let duration = u16::try_from(so_far.min(whole)).unwrap_or(u16::MAX);
        let [high, low] = duration.to_be_bytes();
        let end = if is_end { 0x80 } else { 0 };
        TelephoneEvent {
            payload: [self.event, end | VOLUME, high, low],
            timestamp: start,
            marker: is_first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    /// The events that replace `packets` audio packets of 20 ms.
    fn said(sender: &mut DtmfSender, packets: u32) -> Vec<Option<TelephoneEvent>> {
        (0..packets)
            .map(|packet| sender.replace_packet(1_000 + packet * 160, 8_000, some_time()))
            .collect()
    }

    #[test]
    fn a_press_grows_to_its_length_and_ends_three_times() {
        let mut sender = DtmfSender::default();
        assert!(sender.push(5, 100, some_time()));
        let said = said(&mut sender, 9);
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
        let mut sender = DtmfSender::default();
        assert!(sender.push(1, 40, some_time()) && sender.push(1, 40, some_time()));
        let starts: Vec<u32> = said(&mut sender, 20)
            .iter()
            .flatten()
            .filter(|said| said.marker)
            .map(|said| said.timestamp)
            .collect();
        assert_eq!(starts.len(), 2);
        assert_ne!(starts[0], starts[1]);
    }

    #[test]
    fn key_presses_beyond_the_queue_are_dropped() {
        let mut sender = DtmfSender::default();
        for count in 0..20 {
            assert_eq!(sender.push(0, 100, some_time()), count < MAX_WAITING);
        }
        assert!(
            sender.push(0, 100, some_time() + LONGEST_WAIT),
            "old ones give way"
        );
    }

    #[test]
    fn a_press_that_has_waited_for_too_long_is_not_said() {
        let (mut sender, now) = (DtmfSender::default(), some_time());
        assert!(sender.push(1, 40, now) && sender.push(2, 40, now + LONGEST_WAIT / 2));
        let later = now + LONGEST_WAIT;
        let said = sender.replace_packet(0, 8_000, later);
        assert_eq!(said.map(|said| said.payload[0]), Some(2));
        // One that has begun ends.
        let said = sender.replace_packet(160, 8_000, later + LONGEST_WAIT);
        assert_eq!(said.map(|said| said.payload[0]), Some(2));
    }
}
