//! Receives key presses of the other side that come in-band, as telephone events (RFC 4733), for a phone that does not
//! take them in-band itself.

use crate::codec::Codec;
use crate::far::FarPacket;
use crate::sequence::is_later;

/// Finds the end of each telephone event once.
#[derive(Debug, Default)]
pub(crate) struct DtmfReceiver {
    /// The start time of the last event that was returned.
    last: Option<u32>,
}

/// A key press that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyPress {
    /// The telephone event, 0 to 15.
    pub(crate) event: u8,
    /// Its length.
    pub(crate) millis: u16,
}

impl DtmfReceiver {
    /// The key press that this packet ends. The end is sent several times (RFC 4733 section 2.5.1.4) and returned once.
    pub(super) fn receive(&mut self, packet: &FarPacket, codec: Codec) -> Option<KeyPress> {
        let [event, flags, high, low] = *packet.payload.first_chunk()?;
        let start = packet.timestamp;
        let is_known = self.last.is_some_and(|last| !is_later(start, last));
        if flags & END == 0 || event > LAST_KEY || is_known {
            return None;
        }
        self.last = Some(start);
        let ticks = u32::from(u16::from_be_bytes([high, low]));
        let millis = u16::try_from(ticks / (codec.clock() / 1_000)).unwrap_or(u16::MAX);
        Some(KeyPress { event, millis })
    }
}

/// Finds the beginning of each key press of the phone.
#[derive(Debug, Default)]
pub(crate) struct PressWatch {
    /// The start time of the last one.
    last: Option<u32>,
    is_new: bool,
}

impl PressWatch {
    /// Takes a packet of the phone. All packets of one press have one timestamp (RFC 4733 section 2.2).
    pub(crate) fn note(&mut self, packet: &FarPacket) {
        let codec = Codec::from_far_payload_type(packet.payload_type);
        if codec.is_some_and(Codec::is_events) && self.last != Some(packet.timestamp) {
            self.last = Some(packet.timestamp);
            self.is_new = true;
        }
    }

    /// Whether a press has begun since this was asked last.
    pub(crate) fn take(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }
}

/// The E bit (RFC 4733 section 2.3.3).
const END: u8 = 0x80;
/// 0 to 9, `*`, `#`, A to D (section 3.2).
const LAST_KEY: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u32, payload: &[u8]) -> FarPacket {
        FarPacket {
            payload_type: 101,
            marker: false,
            sequence: 1,
            timestamp,
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn a_press_begins_once_with_the_first_of_its_packets() {
        let mut watch = PressWatch::default();
        let mut begins = |timestamp, payload_type| {
            watch.note(&FarPacket {
                payload_type,
                ..packet(timestamp, &[5, 10, 0, 160])
            });
            watch.take()
        };
        assert!(!begins(800, Codec::Pcmu.far_payload_type()));
        assert!(begins(800, Codec::Events8k.far_payload_type()));
        assert!(!begins(800, Codec::Events8k.far_payload_type()));
        assert!(begins(2_400, Codec::Events48k.far_payload_type()));
    }

    #[test]
    fn a_press_is_returned_once_when_it_ends_and_the_same_key_again_is_another() {
        let mut receiver = DtmfReceiver::default();
        let mut receive = |timestamp, payload: &[u8]| {
            receiver.receive(&packet(timestamp, payload), Codec::Events8k)
        };
        let five = Some(KeyPress {
            event: 5,
            millis: 100,
        });
        assert_eq!(receive(u32::MAX, &[5, 10, 1, 0x40]), None, "not over yet");
        assert_eq!(receive(u32::MAX, &[5, 0x8a, 3, 0x20]), five);
        assert_eq!(receive(u32::MAX, &[5, 0x8a, 3, 0x20]), None);
        assert_eq!(receive(2_000, &[5, 0x8a, 3, 0x20]), five);
        assert_eq!(receive(u32::MAX, &[5, 0x8a, 3, 0x20]), None, "late");
        assert_eq!(receive(4_000, &[16, 0x8a, 3, 0x20]), None, "a hook flash");
        assert_eq!(receive(5_000, &[5, 0x8a]), None);
    }
}
