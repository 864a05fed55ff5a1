//! The size class of a call's frames in one direction: codec, and milliseconds of sound in a packet. With it goes the depth of
//! redundancy, the number of earlier frames whose sound each one carries again.
//!
//! G.711 and G.722 have 8 bytes a millisecond (RFC 3551 section 4.5). An Opus packet says how long it is (RFC 6716 section 3.1), and
//! its class has room for [`OPUS_BITS`] a second, to which a phone is asked to keep (RFC 7587 section 6.1). A packet beyond the room
//! doubles it for good: no sound is lost, and a TURN server sees once that this phone sends more.

use std::time::Duration;

use super::blocks::{OVERHEAD, REPEAT_HEADER};
use super::redundancy::{MOST_DEPTH, SPREAD};
use crate::codec::Codec;
use crate::rtp::MAX_PAYLOAD;

/// Bits of Opus a second for which a class has room: what Linphone and baresip send, and some more.
pub const OPUS_BITS: usize = 40_000;

/// Sound in a packet unless the phone shows another length.
const USUAL: Duration = Duration::from_millis(20);
/// The shortest and the longest sound of a packet. What is shorter or longer is carried in the class that there is.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(120);

/// Bytes of sound in a frame with all that it repeats, at most: within a datagram and what the first block can take up.
const MOST_SOUND: usize = 1_000;

/// How old the sound is that a frame repeats at each depth, in milliseconds, oldest first. The youngest is what a single loss waits for; the
/// oldest is how long a burst may be.
const AGES: [&[usize]; MOST_DEPTH + 1] = [&[], &[20], &[60, 20], &[80, 40, 20]];

/// Codec, and sound of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameClass {
    codec: Codec,
    /// Microseconds of sound in a packet.
    micros: u32,
    /// Bytes of sound for which a frame has room.
    room: usize,
}

impl FrameClass {
    /// The class of a codec before a packet has shown how long its sound is.
    #[must_use]
    pub fn usual(codec: Codec) -> Self {
        Self::of(codec, USUAL.as_micros() as u32)
    }

    fn of(codec: Codec, micros: u32) -> Self {
        let bits_a_second = match codec {
            Codec::Opus => OPUS_BITS,
            _ => 64_000,
        };
        let bytes = bits_a_second / 8 * micros as usize / 1_000_000;
        Self {
            codec,
            micros,
            room: bytes.min(MAX_PAYLOAD),
        }
    }

    /// The class after a packet of sound, and whether the pace is another one with it. A packet that is shorter than those before is
    /// believed if `before` was so long as well: the last one of an announcement is shorter than its fellows.
    #[must_use]
    pub fn after(self, codec: Codec, payload: &[u8], before: Option<u32>) -> Self {
        let micros = sound_micros(codec, payload);
        let shown = micros.filter(|micros| *micros > self.micros || Some(*micros) == before);
        let mut class = match shown {
            Some(micros) if codec != self.codec || micros != self.micros => Self::of(codec, micros),
            _ if codec != self.codec => Self::of(codec, self.micros),
            _ => self,
        };
        if codec == self.codec {
            // Room that was doubled stays so for packets of another length, as far as a datagram has room.
            let room = self.room * class.micros as usize / self.micros as usize;
            class.room = class.room.max(room).min(MAX_PAYLOAD);
        }
        while class.room < payload.len().min(MAX_PAYLOAD) {
            class.room = (2 * class.room).min(MAX_PAYLOAD);
        }
        class
    }

    /// Bytes of each frame that carries the sound of so many earlier ones.
    #[must_use]
    pub const fn bytes(self, depth: usize) -> usize {
        OVERHEAD + self.room + depth * (REPEAT_HEADER + self.room)
    }

    /// Frames of the longest burst of losses that is repaired; none if their sound is longer than that.
    #[must_use]
    pub const fn reach(self) -> usize {
        SPREAD.as_micros() as usize / self.micros as usize
    }

    /// The most earlier frames for whose sound there is room.
    #[must_use]
    pub fn most_depth(self) -> usize {
        let fits = (MOST_SOUND / self.room).saturating_sub(1);
        fits.min(self.reach()).min(MOST_DEPTH)
    }

    /// Which of the earlier frames a frame carries, oldest first, the last one being 1.
    pub fn ages(self, depth: usize) -> impl Iterator<Item = usize> {
        let frames = move |millis: usize| (millis * 1_000).div_ceil(self.micros as usize);
        let ages = AGES[depth.min(MOST_DEPTH)].iter();
        ages.map(move |millis| frames(*millis).min(self.reach()))
    }

    /// Bytes of sound for which a frame has room.
    #[must_use]
    pub const fn room(self) -> usize {
        self.room
    }

    /// Microseconds from one frame to the next.
    #[must_use]
    pub const fn micros(self) -> u32 {
        self.micros
    }

    /// Ticks of the RTP timestamp from one frame to the next.
    #[must_use]
    pub const fn ticks(self) -> u32 {
        self.codec.clock() / 1_000 * self.micros / 1_000
    }

    /// The codec of the sound.
    #[must_use]
    pub const fn codec(self) -> Codec {
        self.codec
    }
}

/// Microseconds of sound in a packet, if that is a length for a class.
pub(super) fn sound_micros(codec: Codec, payload: &[u8]) -> Option<u32> {
    let micros = match codec {
        Codec::Opus => opus_micros(payload)?,
        Codec::Pcmu | Codec::Pcma | Codec::G722 => u32::try_from(payload.len()).ok()? * 125,
        Codec::Events8k | Codec::Events48k => return None,
    };
    let length = Duration::from_micros(micros.into());
    (SHORTEST..=LONGEST).contains(&length).then_some(micros)
}

/// RFC 6716 section 3.1: the first five bits are mode and length of a frame, the last two how many there are.
fn opus_micros(payload: &[u8]) -> Option<u32> {
    let first = *payload.first()?;
    let frame = match first >> 3 {
        config @ 0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        config @ 12..=15 => [10_000, 20_000][usize::from(config & 1)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*payload.get(1)? & 0x3f),
    };
    Some(frame * frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One Opus packet of so many bytes: wide-band SILK with one frame of 20 ms.
    fn opus(bytes: usize) -> Vec<u8> {
        let mut packet = vec![0; bytes];
        packet[0] = 9 << 3;
        packet
    }

    #[test]
    fn opus_packets_say_how_long_they_are() {
        for (packet, micros) in [
            (&[8 << 3][..], Some(10_000)),
            (&[9 << 3], Some(20_000)),
            (&[11 << 3 | 1], Some(120_000)),
            (&[13 << 3], Some(20_000)),
            (&[31 << 3], Some(20_000)),
            (&[30 << 3 | 2], Some(20_000)),
            (&[31 << 3 | 3, 0xc3], Some(60_000)),
            (&[28 << 3], None),
            (&[11 << 3 | 3, 3], None),
            (&[31 << 3 | 3], None),
            (&[], None),
        ] {
            assert_eq!(sound_micros(Codec::Opus, packet), micros, "{packet:?}");
        }
    }

    #[test]
    fn a_class_follows_the_length_of_the_packets() {
        let usual = FrameClass::usual(Codec::Pcmu);
        assert_eq!((usual.bytes(0), usual.ticks()), (173, 160));
        assert_eq!(usual.after(Codec::Pcmu, &[0; 160], None), usual);
        let longer = usual.after(Codec::Pcmu, &[0; 240], None);
        assert_eq!(
            (longer.bytes(0), longer.micros(), longer.ticks()),
            (253, 30_000, 240)
        );
        assert_eq!(longer.after(Codec::Pcmu, &[0; 160], None), longer);
        assert_eq!(longer.after(Codec::Pcmu, &[0; 160], Some(20_000)), usual);
        assert_eq!(usual.after(Codec::Pcmu, &[0; 7], Some(20_000)), usual);
    }

    #[test]
    fn linphones_and_baresips_opus_have_one_class() {
        let usual = FrameClass::usual(Codec::Opus);
        assert_eq!((usual.bytes(0), usual.ticks()), (113, 960));
        for bytes in [70, 85, 100] {
            assert_eq!(usual.after(Codec::Opus, &opus(bytes), None), usual);
        }
    }

    #[test]
    fn sound_beyond_the_room_doubles_it_for_good() {
        let usual = FrameClass::usual(Codec::Opus);
        let larger = usual.after(Codec::Opus, &opus(101), None);
        assert_eq!((larger.bytes(0), larger.micros()), (213, 20_000));
        assert_eq!(larger.after(Codec::Opus, &opus(70), None), larger);
        let mut of_40_ms = opus(140);
        of_40_ms[0] = 10 << 3;
        let longer = larger.after(Codec::Opus, &of_40_ms, None);
        assert_eq!((longer.bytes(0), longer.micros()), (413, 40_000));
        let again = longer.after(Codec::Opus, &opus(70), Some(20_000));
        assert_eq!(again, larger, "also after packets of another length");
        let largest = larger.after(Codec::Opus, &opus(MAX_PAYLOAD), None);
        assert_eq!(largest.bytes(0), OVERHEAD + MAX_PAYLOAD);
    }

    #[test]
    fn what_is_repeated_reaches_back_80_ms_at_most_and_fits() {
        let class = |micros| FrameClass::of(Codec::Pcmu, micros);
        let ages = |micros: u32, depth| class(micros).ages(depth).collect::<Vec<_>>();
        assert_eq!([ages(20_000, 0), ages(20_000, 1)], [vec![], vec![1]]);
        assert_eq!(
            [ages(20_000, 2), ages(20_000, 3)],
            [vec![3, 1], vec![4, 2, 1]]
        );
        assert_eq!(
            [ages(10_000, 2), ages(10_000, 3)],
            [vec![6, 2], vec![8, 4, 2]]
        );
        for micros in (10_000..=120_000).step_by(1_000) {
            for depth in 1..=class(micros).most_depth() {
                let ages = ages(micros, depth);
                let is_older = ages.windows(2).all(|pair| pair[0] > pair[1]);
                let is_within = ages[0] as u32 * micros <= SPREAD.as_micros() as u32;
                assert!(is_older && is_within, "{micros}: {ages:?}");
            }
        }
        let sizes = [0, 1, 2, 3].map(|depth| class(20_000).bytes(depth));
        assert_eq!(sizes, [173, 337, 501, 665]);
        let most = [10_000, 20_000, 30_000, 40_000, 60_000, 80_000];
        assert_eq!(
            most.map(|micros| class(micros).most_depth()),
            [3, 3, 2, 2, 1, 0]
        );
        let opus = FrameClass::usual(Codec::Opus);
        let rooms = [100, 200, 400, 800].map(|room| FrameClass { room, ..opus });
        assert_eq!(rooms.map(FrameClass::most_depth), [3, 3, 1, 0]);
    }

    #[test]
    fn another_codec_is_another_class() {
        let before = FrameClass::usual(Codec::Pcmu);
        let after = before.after(Codec::Opus, &opus(70), None);
        assert_eq!(after, FrameClass::usual(Codec::Opus));
    }
}
