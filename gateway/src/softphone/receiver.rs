//! RTP packets become samples, and the numbers that are missing are counted.

use ringfence_media::Codec;

use super::g711::expand;
use super::sender::HEADER;

/// What came in.
#[derive(Debug, Default)]
pub(super) struct Reception {
    /// First and highest sequence number, counted on beyond 16 bits.
    numbers: Option<(u64, u64)>,
    came: u64,
}

impl Reception {
    /// The samples of a packet; `None` when it is not sound that this phone takes.
    pub(super) fn take(&mut self, packet: &[u8]) -> Option<Vec<i16>> {
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
        expected.saturating_sub(self.came)
    }

    fn count(&mut self, sequence: u16) {
        self.came += 1;
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
    use super::super::sender::Voice;
    use super::*;

    #[test]
    fn missing_numbers_are_counted_across_the_wrap_and_late_ones_are_not_missing() {
        let mut reception = Reception::default();
        for sequence in [65_533, 65_534, 1, 65_535, 3] {
            reception.count(sequence);
        }
        // 0 and 2 never came.
        assert_eq!(reception.lost(), 2);
    }

    #[test]
    fn what_one_phone_says_another_hears() {
        let (mut voice, mut reception) = (Voice::new(), Reception::default());
        let said: [i16; FRAME] = std::array::from_fn(|at| expand(u8::try_from(at).unwrap()));
        for _ in 0..3 {
            assert_eq!(reception.take(&voice.packet(&said)).unwrap(), said);
        }
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn foreign_packets_are_not_heard() {
        let mut reception = Reception::default();
        for packet in [
            &[][..],
            &[0x80],
            &[0x80, 111, 0, 1, 0, 0],
            &[0x40; 40],
            &[0x80, 0, 0, 1],
        ] {
            assert_eq!(reception.take(packet), None);
        }
        assert_eq!(reception.came, 0);
    }
}
