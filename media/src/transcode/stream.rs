//! One direction: packets of one codec in, packets of another out, with the numbers in step.

use std::time::{Duration, Instant};

use super::allowance::SoundAllowance;
use super::resampler::HalfBand;
use super::sound::{AnyDecoder, SoundDecoder, SoundEncoder, rate};
use crate::codec::Codec;
use crate::far::FarPacket;
use crate::sequence::ahead;

/// Packets of Opus in a row that are concealed. After more, the phone has had its own silence, and a burst of sound would come too late.
const MOST_CONCEALED: i32 = 5;

/// The longest sound of one packet (RFC 6716 section 2.1.4). Of more, the rest would wait for the next packet, and that without end.
const LONGEST: Duration = Duration::from_millis(120);

/// Samples a second where both codecs take any.
const USUAL_RATE: usize = 16_000;

/// One direction of a call.
#[derive(Debug)]
pub(super) struct TranscodedStream {
    from: Codec,
    to: Codec,
    /// The telephone events of both sides, if both have them.
    events: Option<(Codec, Codec)>,
    decoder: SoundDecoder,
    encoder: SoundEncoder,
    filter: HalfBand,
    allowance: SoundAllowance,
    /// Samples a second that are decoded and encoded.
    rates: (usize, usize),
    /// Samples that are too few for a packet: less than 10 ms.
    waiting: Vec<i16>,
    newest: Option<u16>,
    /// A timestamp, and what it has become.
    clock: Option<(u32, u32)>,
    clocks: (u32, u32),
}

impl TranscodedStream {
    pub(super) fn new(from: &[Codec], to: &[Codec]) -> Option<Self> {
        let events = |codecs: &[Codec]| codecs.iter().copied().find(|codec| codec.is_events());
        let events = events(from).zip(events(to));
        let (from, to) = (Codec::sound_of(from)?, Codec::sound_of(to)?);
        let opus = rate(from).or(rate(to)).unwrap_or(USUAL_RATE);
        Some(Self {
            from,
            to,
            events,
            decoder: SoundDecoder::new(from, opus)?,
            encoder: SoundEncoder::new(to, opus)?,
            filter: HalfBand::default(),
            allowance: SoundAllowance::default(),
            rates: (rate(from).unwrap_or(opus), rate(to).unwrap_or(opus)),
            waiting: Vec::new(),
            newest: None,
            clock: None,
            clocks: (from.clock(), to.clock()),
        })
    }

    /// What stands in for the packets that are missing before this one, where only the decoder knows how they may have sounded: a phone
    /// that gets G.711 or G.722 goes on by itself, but no decoder of its hears Opus.
    pub(super) fn conceal(&mut self, packet: &FarPacket, now: Instant) -> Vec<FarPacket> {
        let step = self
            .newest
            .map_or(1, |newest| ahead(packet.sequence, newest));
        let missing = step - 1;
        let is_opus = matches!(self.decoder.0, AnyDecoder::Opus(_))
            && packet.payload_type == Codec::Opus.far_payload_type();
        let is_gap = (1..=MOST_CONCEALED).contains(&missing) && !packet.marker;
        let samples = self.decoder.samples(&packet.payload);
        let Some(samples) = samples.filter(|_| is_opus && is_gap) else {
            return Vec::new();
        };
        let sound = self.time(samples) * missing.unsigned_abs();
        if !self.allowance.takes(sound, now) {
            return Vec::new();
        }
        let ticks = (samples * self.clocks.0 as usize / self.rates.0) as u32;
        let mut concealed = Vec::new();
        for age in (1..=missing.unsigned_abs()).rev() {
            let sound = match (&mut self.decoder.0, age) {
                (AnyDecoder::Opus(decoder), 1) => decoder.repair(&packet.payload, samples),
                (AnyDecoder::Opus(decoder), _) => decoder.conceal(samples),
                _ => None,
            };
            let missing = FarPacket {
                payload_type: packet.payload_type,
                marker: false,
                sequence: packet.sequence.wrapping_sub(age as u16),
                timestamp: packet.timestamp.wrapping_sub(age * ticks),
                payload: Vec::new(),
            };
            concealed.extend(sound.and_then(|sound| self.encode(sound, &missing)));
        }
        concealed
    }

    /// A packet in the other codec. `None` for one that is behind another, cannot be decoded, is too short by itself, or is too much.
    pub(super) fn carry(&mut self, packet: &FarPacket, now: Instant) -> Option<FarPacket> {
        if self.is_late(packet) {
            return None;
        }
        self.newest = Some(packet.sequence);
        let codec = Codec::from_far_payload_type(packet.payload_type)?;
        if codec.is_events() {
            return self.carry_press(packet);
        }
        // Of another codec, while the sides change theirs: it would be noise.
        if codec != self.from {
            return None;
        }
        if packet.marker {
            self.waiting.clear();
        }
        let samples = self.decoder.samples(&packet.payload)?;
        let length = self.time(samples);
        if length > LONGEST || !self.allowance.takes(length, now) {
            return None;
        }
        let sound = self.decoder.decode(&packet.payload)?;
        self.encode(sound, packet)
    }

    /// Whether others of its numbers or later ones came before.
    pub(super) fn is_late(&self, packet: &FarPacket) -> bool {
        let is_late = |newest| ahead(packet.sequence, newest) <= 0;
        self.newest.is_some_and(is_late)
    }

    /// How long so many samples are that were decoded.
    fn time(&self, samples: usize) -> Duration {
        Duration::from_micros((samples * 1_000_000 / self.rates.0) as u64)
    }

    fn encode(&mut self, sound: Vec<i16>, packet: &FarPacket) -> Option<FarPacket> {
        let waited = self.waiting.len();
        self.waiting.extend(match self.rates {
            (8_000, 16_000) => self.filter.double(&sound),
            (16_000, 8_000) => self.filter.halve(&sound),
            _ => sound,
        });
        let timestamp = self.timestamp(packet.timestamp);
        let before = waited * self.clocks.1 as usize / self.rates.1;
        let samples: Vec<_> = self
            .waiting
            .drain(..self.encoder.takes(self.waiting.len()))
            .collect();
        if samples.is_empty() {
            return None;
        }
        Some(FarPacket {
            payload_type: self.to.far_payload_type(),
            timestamp: timestamp.wrapping_sub(before as u32),
            payload: self.encoder.encode(&samples)?,
            ..*packet
        })
    }

    /// A telephone event: its duration has the clock of its timestamps (RFC 4733 section 2.3.5).
    fn carry_press(&mut self, packet: &FarPacket) -> Option<FarPacket> {
        let Some((from, to)) = self.events else {
            // The near leg says it beside the sound.
            return Some(packet.clone());
        };
        let [event, flags, high, low] = *packet.payload.first_chunk()?;
        let ticks = u32::from(u16::from_be_bytes([high, low]));
        let ticks = ticks * (to.clock() / 1_000) / (from.clock() / 1_000);
        let [high, low] = u16::try_from(ticks).unwrap_or(u16::MAX).to_be_bytes();
        Some(FarPacket {
            payload_type: to.far_payload_type(),
            timestamp: self.timestamp(packet.timestamp),
            payload: vec![event, flags, high, low],
            ..*packet
        })
    }

    /// A timestamp in the other clock, as far from the ones before as it was.
    fn timestamp(&mut self, timestamp: u32) -> u32 {
        let (before, became) = self.clock.unwrap_or((timestamp, timestamp));
        let (from, to) = (i64::from(self.clocks.0), i64::from(self.clocks.1));
        let step = timestamp.wrapping_sub(before).cast_signed();
        // Towards less, back as forward: the packets of one key press have one timestamp, whatever sound lies between them.
        let ticks = (i64::from(step) * to).div_euclid(from);
        let now = became.wrapping_add_signed(ticks as i32);
        if step > 0 || self.clock.is_none() {
            // Only what is whole in both, so that no rest adds up.
            let whole = (ticks * from / to) as i32;
            self.clock = Some((before.wrapping_add_signed(whole), now));
        }
        now
    }
}
