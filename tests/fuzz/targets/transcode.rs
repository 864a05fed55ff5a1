//! Any packets of a phone and of the other side in a call of two codecs, with jumps of numbers and time: the transcoder never panics, what
//! it makes fits the size class of its length (so a frame never grows by it), and of all but Opus it makes no more than twice the sound of the time that passes.
//! Arbitrary Opus goes to the decoder as it is.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use ringfence_media::Codec;
use ringfence_media::far::FarPacket;
use ringfence_media::frame::class::{FrameClass, OPUS_BITS};
use ringfence_media::transcode::Transcoder;

const SOUND: [Codec; 4] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];

/// Packets of one input, so that the decoders do not spend all the time on a few of them.
const MOST_PACKETS: usize = 200;

/// Before each packet's bytes: which way it goes and what it says it is, its step of number, timestamp and time, and its length.
const HEADER: usize = 7;

/// What one packet of the call brings to the phone: itself, and what stands in for five before it.
const MOST_AT_ONCE: usize = 6;

/// Sound made in one direction, and what was allowed at most.
struct Made {
    to: Codec,
    sound: Duration,
}

impl Made {
    fn count(&mut self, packet: &FarPacket) {
        if packet.payload_type != self.to.far_payload_type() {
            return;
        }
        let bits = if self.to == Codec::Opus { OPUS_BITS } else { 64_000 };
        let class = FrameClass::usual(self.to).after(self.to, &packet.payload, None);
        let room = bits / 8 * class.micros() as usize / 1_000_000;
        assert!(class.room() <= room, "{} bytes of {:?}", packet.payload.len(), self.to);
        assert!(class.micros() <= 120_000);
        if self.to != Codec::Opus {
            self.sound += Duration::from_micros(125) * packet.payload.len() as u32;
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[pair], mut bytes)) = bytes.split_first_chunk() else { return };
    let (phone, carried) = (SOUND[usize::from(pair) % 4], SOUND[usize::from(pair) / 4 % 4]);
    let with_events = |codec: Codec| match (pair >> 4 & 3, codec.clock()) {
        (3, _) => vec![codec],
        (_, 48_000) => vec![codec, Codec::Events48k],
        _ => vec![codec, Codec::Events8k],
    };
    let Some(mut transcoder) = Transcoder::between(&with_events(phone), &with_events(carried)) else { return };
    let (start, mut passed) = (Instant::now(), Duration::ZERO);
    let mut numbers = [(0_u16, 0_u32); 2];
    let mut made = [carried, phone].map(|to| Made { to, sound: Duration::ZERO });
    for _ in 0..MOST_PACKETS {
        let Some((&[kind, step, ticks, millis, high, low, marker], rest)) = bytes.split_first_chunk::<HEADER>() else { break };
        let length = usize::from(u16::from_be_bytes([high, low])) % 1_500;
        let (payload, rest) = rest.split_at(length.min(rest.len()));
        bytes = rest;
        let way = usize::from(kind & 1);
        let from = [phone, carried][way];
        let payload_type = match kind >> 1 & 7 {
            0 => Codec::Events8k.far_payload_type(),
            1 => Codec::Events48k.far_payload_type(),
            2 => SOUND[usize::from(kind >> 4) % 4].far_payload_type(),
            3 => kind >> 1,
            _ => from.far_payload_type(),
        };
        let (sequence, timestamp) = &mut numbers[way];
        // Mostly by one, and as far as it goes in one byte.
        *sequence = sequence.wrapping_add(match step {
            0..=199 => 1,
            far => (u16::from(far) - 200) * 1_191,
        });
        *timestamp = timestamp.wrapping_add(match ticks {
            0..=199 => from.clock() / 50,
            far => (u32::from(far) - 200) * 78_090_000,
        });
        passed += Duration::from_millis(millis.into());
        let packet = FarPacket { payload_type, marker: marker & 1 == 1, sequence: *sequence, timestamp: *timestamp, payload: payload.to_vec() };
        if way == 0 {
            if let Some(out) = transcoder.send(&packet, start + passed) {
                assert_eq!((out.sequence, out.marker), (packet.sequence, packet.marker));
                made[0].count(&out);
            }
        } else {
            transcoder.receive(&packet, start + passed);
            let out: Vec<_> = std::iter::from_fn(|| transcoder.poll()).collect();
            assert!(out.len() <= MOST_AT_ONCE);
            out.iter().for_each(|packet| made[1].count(packet));
        }
    }
    for Made { to, sound } in made {
        // What came at once, twice the time, and less than a packet of Opus that waited.
        let most = Duration::from_secs(1) + 2 * passed + Duration::from_millis(10);
        assert!(sound <= most, "{sound:?} of {to:?} in {passed:?}");
    }
});
