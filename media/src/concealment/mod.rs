//! Sound in place of a packet that was lost: the last pitch periods go on and fade, after the idea of ITU-T G.711 Appendix I, and the
//! first packet that comes again is faded in.
//!
//! The phone gets a packet as any other, so that it has nothing to conceal itself. Opus is left to the phone, whose decoder knows
//! better, and which may find the sound in the next packet (in-band FEC, RFC 6716 section 2.1.7).

mod pitch;

use self::pitch::{HISTORY, PitchSynthesis};
use crate::codec::Codec;
use crate::g711::{compress_as, expand_as};
use crate::g722::{DELAY, G722Decoder, G722Encoder};

/// Samples in a millisecond of G.711, and bytes of it and of G.722.
const PER_MILLI: usize = 8;

/// Milliseconds of G.722 after which a decoder that has heard nothing before them is as good as in the state of the phone's: the
/// recommendation lets what came before fade by 1/128 or 1/256 in each of 8 samples a millisecond.
const SETTLED: usize = 160;

/// From concealment to the sound that comes again: 4 ms, as much more for each further 10 ms, and 10 ms at most.
const FADE: usize = 4 * PER_MILLI;
const LONGEST_FADE: usize = 10 * PER_MILLI;

/// What conceals the losses of one call, in the direction to the phone.
#[derive(Debug, Default)]
pub(crate) struct Concealer {
    codec: Option<Codec>,
    /// The newest bytes that the phone got, in its codec.
    past: Vec<u8>,
    /// Bytes of the last packet.
    packet: usize,
    synthesis: Option<PitchSynthesis>,
    /// For G.722 beside it.
    encoder: Option<G722Encoder>,
}

impl Concealer {
    /// Takes a packet for the phone, and fades it in where it follows concealed ones.
    pub(crate) fn pass(&mut self, codec: Codec, payload: &mut [u8]) {
        if !matches!(codec, Codec::Pcmu | Codec::Pcma | Codec::G722) {
            return self.forget();
        }
        if self.codec != Some(codec) {
            self.forget();
            self.codec = Some(codec);
        }
        match self.synthesis.take() {
            // The phone's decoder is where the concealed bytes led it, and finds to the sound by itself.
            Some(_) if codec == Codec::G722 => self.encoder = None,
            Some(synthesis) => fade_in(codec, payload, synthesis),
            None => {}
        }
        self.packet = payload.len();
        self.keep(payload);
    }

    /// A packet in place of one that is lost; `None` if there is nothing to go on from, or too much is lost.
    pub(crate) fn conceal(&mut self) -> Option<(Codec, Vec<u8>)> {
        let codec = self.codec.filter(|_| self.packet > 0)?;
        if self.synthesis.is_none() {
            self.begin(codec);
        }
        let synthesis = self.synthesis.as_mut();
        let synthesis = synthesis.filter(|synthesis| !synthesis.is_over())?;
        let payload: Vec<_> = match &mut self.encoder {
            Some(encoder) => encoder.encode(&synthesis.next(2 * self.packet)),
            None => {
                let samples = synthesis.next(self.packet).into_iter();
                samples.map(|sample| compress_as(codec, sample)).collect()
            }
        };
        self.keep(&payload);
        Some((codec, payload))
    }

    /// Begins to go on from what the phone got.
    fn begin(&mut self, codec: Codec) {
        if codec != Codec::G722 {
            let past: Vec<_> = self
                .past
                .iter()
                .map(|byte| expand_as(codec, *byte))
                .collect();
            self.synthesis = Some(PitchSynthesis::of(&past, PER_MILLI));
            return;
        }
        let mut decoder = G722Decoder::default();
        let past = decoder.decode(&self.past);
        let mut synthesis = PitchSynthesis::of(&past, 2 * PER_MILLI);
        let mut encoder = G722Encoder::following(decoder);
        // What is encoded is that much ahead of what was decoded.
        encoder.hear(&synthesis.next(DELAY));
        (self.synthesis, self.encoder) = (Some(synthesis), Some(encoder));
    }

    /// What the phone gets next does not go on from what it got before.
    pub(crate) fn forget(&mut self) {
        self.codec = None;
        self.past.clear();
        self.packet = 0;
        (self.synthesis, self.encoder) = (None, None);
    }

    fn keep(&mut self, payload: &[u8]) {
        self.past.extend_from_slice(payload);
        let millis = match self.codec {
            Some(Codec::G722) => SETTLED,
            _ => HISTORY,
        };
        let most = millis * PER_MILLI;
        self.past.drain(..self.past.len().saturating_sub(most));
    }
}

fn fade_in(codec: Codec, payload: &mut [u8], mut synthesis: PitchSynthesis) {
    let further = (synthesis.made() / (10 * PER_MILLI)).saturating_sub(1);
    let samples = (FADE * (1 + further)).min(LONGEST_FADE).min(payload.len());
    let concealed = synthesis.next(samples);
    for (place, (byte, before)) in payload.iter_mut().zip(concealed).enumerate() {
        let part = (place + 1) as f32 / (samples + 1) as f32;
        let after = f32::from(expand_as(codec, *byte));
        let mixed = f32::from(before) * (1.0 - part) + after * part;
        *byte = compress_as(codec, mixed as i16);
    }
}

#[cfg(test)]
mod tests;
