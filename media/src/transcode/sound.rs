//! Samples of a packet of any codec, and packets of samples: the codecs behind one face, for the transcoder and the tests' phones.

use std::fmt;

use super::opus;
use crate::codec::Codec;
use crate::g711;
use crate::g722::{G722Decoder, G722Encoder};

/// Decodes one codec.
pub struct SoundDecoder(pub(super) AnyDecoder);

/// Encodes one codec.
pub struct SoundEncoder(AnyEncoder);

pub(super) enum AnyDecoder {
    /// Either law of G.711.
    G711(Codec),
    G722(Box<G722Decoder>),
    Opus(Box<opus::MonoDecoder>),
}

enum AnyEncoder {
    G711(Codec),
    G722(Box<G722Encoder>),
    Opus(Box<opus::MonoEncoder>),
}

/// Samples a second of a codec; `None` for Opus, which takes any rate.
#[must_use]
pub const fn rate(codec: Codec) -> Option<usize> {
    match codec {
        Codec::Opus => None,
        Codec::G722 => Some(16_000),
        _ => Some(8_000),
    }
}

impl SoundDecoder {
    /// A decoder of a codec to samples of its own rate, or of this one. `None` for telephone events.
    #[must_use]
    pub fn new(codec: Codec, opus: usize) -> Option<Self> {
        let decoder = match codec {
            Codec::Pcmu | Codec::Pcma => AnyDecoder::G711(codec),
            Codec::G722 => AnyDecoder::G722(Box::default()),
            Codec::Opus => AnyDecoder::Opus(Box::new(opus::MonoDecoder::new(opus)?)),
            Codec::Events8k | Codec::Events48k => return None,
        };
        Some(Self(decoder))
    }

    /// How many samples a packet has, which need not be sound; `None` for what is no packet.
    pub(super) fn samples(&self, payload: &[u8]) -> Option<usize> {
        match &self.0 {
            AnyDecoder::G711(_) => Some(payload.len()),
            AnyDecoder::G722(_) => Some(2 * payload.len()),
            AnyDecoder::Opus(decoder) => decoder.samples(payload),
        }
    }

    /// The samples of a packet; `None` for what is none.
    pub fn decode(&mut self, payload: &[u8]) -> Option<Vec<i16>> {
        match &mut self.0 {
            AnyDecoder::G711(law) => {
                let samples = payload.iter().map(|byte| g711::expand_as(*law, *byte));
                Some(samples.collect())
            }
            AnyDecoder::G722(decoder) => Some(decoder.decode(payload)),
            AnyDecoder::Opus(decoder) => decoder.decode(payload),
        }
    }
}

impl SoundEncoder {
    /// An encoder of a codec from samples of its own rate, or of this one. `None` for telephone events.
    #[must_use]
    pub fn new(codec: Codec, opus: usize) -> Option<Self> {
        let encoder = match codec {
            Codec::Pcmu | Codec::Pcma => AnyEncoder::G711(codec),
            Codec::G722 => {
                let encoder = G722Encoder::following(G722Decoder::default());
                AnyEncoder::G722(Box::new(encoder))
            }
            Codec::Opus => AnyEncoder::Opus(Box::new(opus::MonoEncoder::new(opus)?)),
            Codec::Events8k | Codec::Events48k => return None,
        };
        Some(Self(encoder))
    }

    /// How many of so many samples the next packet takes.
    pub(super) const fn takes(&self, samples: usize) -> usize {
        match &self.0 {
            AnyEncoder::G711(_) => samples,
            AnyEncoder::G722(_) => samples - samples % 2,
            AnyEncoder::Opus(encoder) => encoder.takes(samples),
        }
    }

    /// A packet of these samples; of Opus, 10 ms or some of them, up to 120.
    pub fn encode(&mut self, samples: &[i16]) -> Option<Vec<u8>> {
        match &mut self.0 {
            AnyEncoder::G711(law) => {
                let bytes = samples.iter().map(|it| g711::compress_as(*law, *it));
                Some(bytes.collect())
            }
            AnyEncoder::G722(encoder) => Some(encoder.encode(samples)),
            AnyEncoder::Opus(encoder) => encoder.encode(samples),
        }
    }
}

impl fmt::Debug for SoundDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoundDecoder").finish_non_exhaustive()
    }
}

impl fmt::Debug for SoundEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoundEncoder").finish_non_exhaustive()
    }
}
