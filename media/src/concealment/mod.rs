//! Sound in place of a packet that was lost: the last pitch periods go on and fade, after the idea of ITU-T G.711 Appendix I, and the
//! first packet that comes again is faded in.
//!
//! The phone gets a packet as any other, so that it has nothing to conceal itself. Opus is left to the phone, whose decoder knows
//! better, and which may find the sound in the next packet (in-band FEC, RFC 6716 section 2.1.7).

mod pitch;

use self::pitch::{HISTORY, LONGEST, PitchSynthesis};
use crate::codec::Codec;
use crate::g711;

/// Samples in a millisecond of G.711.
const PER_MILLI: usize = 8;

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
}

impl Concealer {
    /// Takes a packet for the phone, and fades it in where it follows concealed ones.
    pub(crate) fn pass(&mut self, codec: Codec, payload: &mut [u8]) {
        if !matches!(codec, Codec::Pcmu | Codec::Pcma) {
            return self.forget();
        }
        if self.codec != Some(codec) {
            self.forget();
            self.codec = Some(codec);
        }
        if let Some(synthesis) = self.synthesis.take() {
            fade_in(codec, payload, synthesis);
        }
        self.packet = payload.len();
        self.keep(payload);
    }

    /// A packet in place of one that is lost; `None` if there is nothing to go on from, or too much is lost.
    pub(crate) fn conceal(&mut self) -> Option<(Codec, Vec<u8>)> {
        let codec = self.codec.filter(|_| self.packet > 0)?;
        let synthesis = match &mut self.synthesis {
            Some(synthesis) => synthesis,
            None => {
                let past: Vec<_> = self.past.iter().map(|byte| expand(codec, *byte)).collect();
                self.synthesis.insert(PitchSynthesis::of(&past, PER_MILLI))
            }
        };
        if synthesis.made() >= LONGEST * PER_MILLI {
            return None;
        }
        let samples = synthesis.next(self.packet);
        let payload: Vec<_> = samples
            .iter()
            .map(|sample| compress(codec, *sample))
            .collect();
        self.keep(&payload);
        Some((codec, payload))
    }

    /// What the phone gets next does not go on from what it got before.
    pub(crate) fn forget(&mut self) {
        self.codec = None;
        self.past.clear();
        self.packet = 0;
        self.synthesis = None;
    }

    fn keep(&mut self, payload: &[u8]) {
        self.past.extend_from_slice(payload);
        let most = HISTORY * PER_MILLI;
        self.past.drain(..self.past.len().saturating_sub(most));
    }
}

fn fade_in(codec: Codec, payload: &mut [u8], mut synthesis: PitchSynthesis) {
    let further = (synthesis.made() / (10 * PER_MILLI)).saturating_sub(1);
    let samples = (FADE * (1 + further)).min(LONGEST_FADE).min(payload.len());
    let concealed = synthesis.next(samples);
    for (place, (byte, before)) in payload.iter_mut().zip(concealed).enumerate() {
        let part = (place + 1) as f32 / (samples + 1) as f32;
        let after = f32::from(expand(codec, *byte));
        let mixed = f32::from(before) * (1.0 - part) + after * part;
        *byte = compress(codec, mixed as i16);
    }
}

fn expand(codec: Codec, byte: u8) -> i16 {
    let table = g711::conversion(codec, Codec::Pcmu);
    g711::expand(table.map_or(byte, |table| table[usize::from(byte)]))
}

fn compress(codec: Codec, sample: i16) -> u8 {
    let byte = g711::compress(sample);
    let table = g711::conversion(Codec::Pcmu, codec);
    table.map_or(byte, |table| table[usize::from(byte)])
}

#[cfg(test)]
mod tests;
