//! Reads RTP packets (RFC 3550) as samples, and counts lost ones.

use ringfence_media::Codec;

use super::sender::HEADER;
use ringfence_media::g711::expand;

/// What was received.
#[derive(Debug, Default)]
pub(super) struct RtpReceiver {
    /// First and highest sequence number, extended beyond 16 bits.
    numbers: Option<(u64, u64)>,
    received: u64,
}

impl RtpReceiver {
    /// The samples of a packet; `None` if it is not G.711 mu-law.
    pub(super) fn read(&mut self, packet: &[u8]) -> Option<Vec<i16>> {
        let [0x80, kind, high, low, ..] = packet else {
            return None;
        };
        if kind & 0x7f != Codec::Pcmu.far_payload_type() {
            return None;
        }
        let payload = packet.get(HEADER..)?;
        self.count(u16::from_be_bytes([*high, *low]));
        Some(payload.iter().map(|code| expand(*code)).collect())
    }

    pub(super) fn lost(&self) -> u64 {
        let expected = self
            .numbers
            .map_or(0, |(first, highest)| highest - first + 1);
        expected.saturating_sub(self.received)
    }

    fn count(&mut self, sequence: u16) {
        self.received += 1;
        let begin = u64::from(sequence) + 65_536;
        let (first, highest) = self.numbers.unwrap_or((begin, begin));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower 16 bits are the number on the wire"
        )]
        let ahead = sequence.wrapping_sub(highest as u16);
        let highest = if ahead < 0x8000 {
            highest + u64::from(ahead)
        } else {
            highest
        };
        self.numbers = Some((first, highest));
    }
}

#[cfg(test)]
mod tests {
    use super::super::FRAME;
    use super::super::sender::RtpSender;
    use super::*;

    #[test]
    fn missing_numbers_are_counted_across_the_wrap_and_late_ones_are_not_missing() {
        let mut receiver = RtpReceiver::default();
        for sequence in [65_533, 65_534, 1, 65_535, 3] {
            receiver.count(sequence);
        }
        // 0 and 2 never came.
        assert_eq!(receiver.lost(), 2);
    }

    #[test]
    fn what_one_phone_sends_another_receives() {
        let (mut sender, mut receiver) = (RtpSender::new(), RtpReceiver::default());
        let said: [i16; FRAME] = std::array::from_fn(|at| expand(u8::try_from(at).unwrap()));
        for _ in 0..3 {
            assert_eq!(receiver.read(&sender.packet(&said)).unwrap(), said);
        }
        assert_eq!(receiver.lost(), 0);
    }

    #[test]
    fn foreign_packets_are_ignored() {
        let mut receiver = RtpReceiver::default();
        for packet in [
            &[][..],
            &[0x80],
            &[0x80, 111, 0, 1, 0, 0],
            &[0x40; 40],
            &[0x80, 0, 0, 1],
        ] {
            assert_eq!(receiver.read(packet), None);
        }
        assert_eq!(receiver.received, 0);
    }
}
