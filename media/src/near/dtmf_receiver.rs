//! Key presses that the other side says within its sound (RFC 4733), for a phone that is told of them beside its own.

use crate::codec::Codec;
use crate::far::RtpPacket;
use crate::sequence::is_later;

/// Which presses were told.
#[derive(Debug, Default)]
pub(crate) struct Overheard {
    /// The beginning of the last one.
    last: Option<u32>,
}

/// A press that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pressed {
    pub(crate) event: u8,
    pub(crate) millis: u16,
}

impl Overheard {
    /// The press that a packet of events ends; its end is said several times (RFC 4733 section 2.5.1.4) and told once.
    pub(crate) fn hear(&mut self, packet: &RtpPacket, codec: Codec) -> Option<Pressed> {
        let [event, flags, high, low] = *packet.payload.first_chunk()?;
        let start = packet.timestamp;
        let is_told = self.last.is_some_and(|last| !is_later(start, last));
        if flags & END == 0 || event > LAST_KEY || is_told {
            return None;
        }
        self.last = Some(start);
        let ticks = u32::from(u16::from_be_bytes([high, low]));
        let millis = u16::try_from(ticks / (codec.clock() / 1_000)).unwrap_or(u16::MAX);
        Some(Pressed { event, millis })
    }
}

/// The E bit (RFC 4733 section 2.3.3).
const END: u8 = 0x80;
/// 0 to 9, `*`, `#`, A to D (section 3.2).
const LAST_KEY: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u32, payload: &[u8]) -> RtpPacket {
        RtpPacket {
            payload_type: 101,
            marker: false,
            sequence: 1,
            timestamp,
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn a_press_is_told_once_when_it_ends_and_the_same_key_again_is_another() {
        let mut overheard = Overheard::default();
        let mut hear = |timestamp, payload: &[u8]| {
            overheard.hear(&packet(timestamp, payload), Codec::Events8k)
        };
        let five = Some(Pressed {
            event: 5,
            millis: 100,
        });
        assert_eq!(hear(u32::MAX, &[5, 10, 1, 0x40]), None, "not over yet");
        assert_eq!(hear(u32::MAX, &[5, 0x8a, 3, 0x20]), five);
        assert_eq!(hear(u32::MAX, &[5, 0x8a, 3, 0x20]), None);
        assert_eq!(hear(2_000, &[5, 0x8a, 3, 0x20]), five);
        assert_eq!(hear(u32::MAX, &[5, 0x8a, 3, 0x20]), None, "late");
        assert_eq!(hear(4_000, &[16, 0x8a, 3, 0x20]), None, "a hook flash");
        assert_eq!(hear(5_000, &[5, 0x8a]), None);
    }
}
