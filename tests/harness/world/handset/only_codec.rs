//! A phone with one codec: it encodes what [`ToneSource`](super::ToneSource) says, and decodes what [`ReceivedAudio`](super::ReceivedAudio)
//! hears; both know mu-law alone.

use ringfence_media::{
    Codec, g711,
    transcode::sound::{SoundDecoder, SoundEncoder, rate},
};

use super::send::lists;

const HEADER: usize = 12;
const EVENTS: u8 = 101;
const RATE: usize = 8_000;

/// The codec of a phone that has no other.
#[derive(Debug)]
pub(super) struct OnlyCodec {
    codec: Codec,
    encoder: SoundEncoder,
    decoder: SoundDecoder,
}

impl OnlyCodec {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            encoder: SoundEncoder::new(codec, RATE).expect("a codec for sound"),
            decoder: SoundDecoder::new(codec, RATE).expect("a codec for sound"),
        }
    }

    /// Its telephone events.
    fn events(&self) -> Codec {
        match self.codec.clock() {
            48_000 => Codec::Events48k,
            _ => Codec::Events8k,
        }
    }

    /// The payload types of its SDP, and the lines that explain them.
    pub(super) fn lines(&self, has_events: bool) -> (String, String) {
        let codecs = [self.codec, self.events()];
        let codecs = codecs.iter().take(if has_events { 2 } else { 1 });
        let number = |codec: &Codec| codec.far_payload_type();
        let numbers: Vec<_> = codecs.clone().map(|it| number(it).to_string()).collect();
        let lines = codecs.map(|it| format!("a=rtpmap:{} {}\r\n", number(it), it.rtpmap()));
        (numbers.join(" "), lines.collect())
    }

    /// Whether an SDP lists it.
    pub(super) fn is_listed(&self, sdp: &[u8]) -> bool {
        lists(sdp, self.codec.far_payload_type())
    }

    /// How often its clock ticks while that of mu-law ticks once.
    fn ticks(&self) -> u32 {
        self.codec.clock() / RATE as u32
    }

    /// A packet of mu-law or a key press as this phone sends it.
    pub(super) fn say(&mut self, packet: &[u8]) -> Vec<u8> {
        let timestamp = timestamp(packet).wrapping_mul(self.ticks());
        let payload = &packet[HEADER..];
        if packet[1] & 0x7f == EVENTS {
            let press = scaled(payload, |millis| millis * self.ticks());
            return with(packet, self.events(), timestamp, &press);
        }
        let sound = payload.iter().map(|byte| g711::expand(*byte));
        let twice = if rate(self.codec) == Some(2 * RATE) {
            2
        } else {
            1
        };
        let sound: Vec<_> = sound.flat_map(|sample| vec![sample; twice]).collect();
        let payload = self.encoder.encode(&sound).expect("20 ms");
        with(packet, self.codec, timestamp, &payload)
    }

    /// A packet that this phone gets, as mu-law or a key press; `None` for another codec.
    pub(super) fn hear(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let payload = packet.get(HEADER..)?;
        let timestamp = timestamp(packet) / self.ticks();
        let number = packet[1] & 0x7f;
        if number == self.events().far_payload_type() {
            let press = scaled(payload, |ticks| ticks / self.ticks());
            return Some(with(packet, Codec::Events8k, timestamp, &press));
        }
        if number != self.codec.far_payload_type() {
            return None;
        }
        let sound = self.decoder.decode(payload)?;
        let half = if rate(self.codec) == Some(2 * RATE) {
            2
        } else {
            1
        };
        let sound = sound.iter().step_by(half);
        let payload: Vec<_> = sound.map(|sample| g711::compress(*sample)).collect();
        Some(with(packet, Codec::Pcmu, timestamp, &payload))
    }
}

fn timestamp(packet: &[u8]) -> u32 {
    u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]])
}

/// A telephone event with another duration.
fn scaled(press: &[u8], scale: impl Fn(u32) -> u32) -> Vec<u8> {
    let mut press = press.to_vec();
    let ticks = u32::from(u16::from_be_bytes([press[2], press[3]]));
    let ticks = u16::try_from(scale(ticks)).expect("a short press");
    press[2..4].copy_from_slice(&ticks.to_be_bytes());
    press
}

/// The packet with another payload.
fn with(packet: &[u8], codec: Codec, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut header = packet[..HEADER].to_vec();
    header[1] = header[1] & 0x80 | codec.far_payload_type();
    header[4..8].copy_from_slice(&timestamp.to_be_bytes());
    [&header, payload].concat()
}
