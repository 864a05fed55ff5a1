//! G.722 at 64 kbit/s, both ways (ITU-T G.722): two bands of adaptive differences, of which each byte has six bits for the lower and two
//! for the higher.
//!
//! A sender's bytes can be gone on from only in the state in which its receiver is, so that concealed sound is encoded by an encoder
//! that takes over the bands of a decoder which has heard the same.

/// Samples by which what is decoded is behind what was encoded: both filters' delay.
pub(crate) const DELAY: usize = 22;

/// The filter that splits and joins the bands (table 4-1), one half of it, which is that of the other half reversed.
const FILTER: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// Decision levels of the lower band's quantizer (table 5-1).
const LEVELS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023,
    1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];

/// The decision level of the higher band's quantizer.
const HIGH_LEVEL: i32 = 564;

/// Output of the inverse quantizers: six bits, four bits, and two bits of the higher band (tables 5-2 and 5-3).
const SIX_BITS: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];
const FOUR_BITS: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];
const TWO_BITS: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];

/// By how much a band's scale changes, by the lower band's four bits without their sign and by the higher band's two (table 5-4).
const LOW_STEPS: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1_198, 3_042];
const HIGH_STEPS: [i32; 2] = [798, -214];

/// 2 to the power of 11 and so many 32nds, from logarithm to scale (table 5-5).
const POWERS: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

/// A decoder.
#[derive(Debug, Default)]
pub(crate) struct G722Decoder {
    bands: BandPair,
    joined: [i32; 24],
}

/// An encoder.
#[derive(Debug)]
pub(crate) struct G722Encoder {
    bands: BandPair,
    heard: [i32; 24],
}

#[derive(Clone, Debug)]
struct BandPair {
    low: Band,
    high: Band,
}

/// One band: its scale, and the predictor of the next sample from two that were reconstructed and six differences.
#[derive(Clone, Debug, Default)]
struct Band {
    logarithm: i32,
    scale: i32,
    predicted: i32,
    of_differences: i32,
    reconstructed: [i32; 2],
    partial: [i32; 2],
    poles: [i32; 2],
    zeros: [i32; 6],
    differences: [i32; 6],
}

impl Default for BandPair {
    fn default() -> Self {
        let of_scale = |scale| Band {
            scale,
            ..Band::default()
        };
        Self {
            low: of_scale(32),
            high: of_scale(8),
        }
    }
}

impl BandPair {
    /// Both bands go on by one byte.
    fn update(&mut self, byte: u8) {
        let four = usize::from((byte >> 2) & 0x0f);
        // The eight values on each side of zero; the codes of both sides run from the largest.
        let size = match four {
            0 => 0,
            1..=7 => 8 - four,
            _ => 15 - four,
        };
        self.low
            .update(FOUR_BITS[four], (LOW_STEPS[size], 18_432), 8);
        let two = usize::from(byte >> 6);
        self.high
            .update(TWO_BITS[two], (HIGH_STEPS[two & 1], 22_528), 10);
    }
}

impl Band {
    /// A difference that was quantized, in the band's scale.
    const fn scaled(&self, quantized: i32) -> i32 {
        (self.scale * quantized) >> 15
    }

    /// Goes on by a quantized difference; `step` and `most` are those of the logarithm of the scale, `places` those of the scale.
    fn update(&mut self, quantized: i32, (step, most): (i32, i32), places: i32) {
        let difference = self.scaled(quantized);
        self.logarithm = (((self.logarithm * 127) >> 7) + step).clamp(0, most);
        let power = POWERS[(self.logarithm >> 6) as usize & 31];
        let shift = places - (self.logarithm >> 11);
        self.scale = match shift < 0 {
            true => power << -shift,
            false => power >> shift,
        } << 2;
        self.predict(difference);
    }

    /// Adapts the predictor to a difference and predicts the next sample (section 3.6).
    fn predict(&mut self, difference: i32) {
        let reconstructed = clip(self.predicted + difference);
        let partial = clip(self.of_differences + difference);
        let is_alike = |one: i32, two: i32| (one < 0) == (two < 0);
        let [first, second] = self.poles;
        let turned = clip(first << 2);
        let turned = match is_alike(partial, self.partial[0]) {
            true => clip(-turned),
            false => turned,
        };
        let lean = if is_alike(partial, self.partial[1]) {
            128
        } else {
            -128
        };
        let second = (lean + (turned >> 7) + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        let lean = if is_alike(partial, self.partial[0]) {
            192
        } else {
            -192
        };
        let most = 15_360 - second;
        let first = clip(lean + ((first * 32_640) >> 15)).clamp(-most, most);
        self.poles = [first, second];
        let lean = if difference == 0 { 0 } else { 128 };
        for (zero, before) in self.zeros.iter_mut().zip(self.differences) {
            let lean = if is_alike(difference, before) {
                lean
            } else {
                -lean
            };
            *zero = clip(lean + ((*zero * 32_640) >> 15));
        }
        self.differences.rotate_right(1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        let weighted = |weight: i32, value: i32| (weight * clip(2 * value)) >> 15;
        let of_poles = self.poles.iter().zip(self.reconstructed);
        let of_poles: i32 = of_poles.map(|(pole, value)| weighted(*pole, value)).sum();
        let of_zeros = self.zeros.iter().zip(self.differences);
        let of_zeros: i32 = of_zeros.map(|(zero, value)| weighted(*zero, value)).sum();
        self.of_differences = clip(of_zeros);
        self.predicted = clip(clip(of_poles) + self.of_differences);
    }
}

impl G722Decoder {
    /// Two samples of 16 kHz for each byte.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Vec<i16> {
        bytes
            .iter()
            .flat_map(|byte| self.decode_byte(*byte))
            .collect()
    }

    fn decode_byte(&mut self, byte: u8) -> [i16; 2] {
        let BandPair { low, high } = &self.bands;
        let low = low.predicted + low.scaled(SIX_BITS[usize::from(byte & 0x3f)]);
        let high = high.predicted + high.scaled(TWO_BITS[usize::from(byte >> 6)]);
        let [low, high] = [low, high].map(|band| band.clamp(-16_384, 16_383));
        self.bands.update(byte);
        let newest = [low + high, low - high];
        let [even, odd] = filter(&mut self.joined, newest);
        [odd >> 11, even >> 11].map(|sample| clip(sample) as i16)
    }
}

impl G722Encoder {
    /// An encoder whose bytes go on from those that this decoder has heard.
    pub(crate) fn following(decoder: G722Decoder) -> Self {
        Self {
            bands: decoder.bands,
            heard: [0; 24],
        }
    }

    /// Takes samples as heard before the first that is encoded.
    pub(crate) fn hear(&mut self, samples: &[i16]) {
        for pair in samples.chunks_exact(2) {
            self.split([pair[0].into(), pair[1].into()]);
        }
    }

    fn split(&mut self, pair: [i32; 2]) -> [i32; 2] {
        filter(&mut self.heard, pair)
    }

    /// One byte for two samples of 16 kHz.
    pub(crate) fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        let pairs = samples.chunks_exact(2);
        pairs
            .map(|pair| self.encode_pair([pair[0].into(), pair[1].into()]))
            .collect()
    }

    fn encode_pair(&mut self, pair: [i32; 2]) -> u8 {
        let [even, odd] = self.split(pair);
        let (low, high) = ((odd + even) >> 14, (odd - even) >> 14);
        let byte = quantize_high(high, &self.bands.high) << 6 | quantize_low(low, &self.bands.low);
        self.bands.update(byte);
        byte
    }
}

fn quantize_low(sample: i32, band: &Band) -> u8 {
    let difference = clip(sample - band.predicted);
    let size = if difference < 0 {
        -(difference + 1)
    } else {
        difference
    };
    let above = LEVELS
        .iter()
        .take_while(|level| size >= (**level * band.scale) >> 12);
    let place = above.count() as u8;
    match (difference < 0, place) {
        (true, 0) => 63,
        (true, 1) => 62,
        (true, place) => 33 - place,
        (false, place) => 61 - place,
    }
}

fn quantize_high(sample: i32, band: &Band) -> u8 {
    let difference = clip(sample - band.predicted);
    let size = if difference < 0 {
        -(difference + 1)
    } else {
        difference
    };
    let is_large = size >= (HIGH_LEVEL * band.scale) >> 12;
    match (difference < 0, is_large) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

/// Takes two values, and sums the even ones with the half of the filter and the odd ones with its reverse.
fn filter(values: &mut [i32; 24], newest: [i32; 2]) -> [i32; 2] {
    values.rotate_left(2);
    [values[22], values[23]] = newest;
    let mut sums = [0, 0];
    for (place, pair) in values.chunks_exact(2).enumerate() {
        sums[0] += pair[0] * FILTER[place];
        sums[1] += pair[1] * FILTER[FILTER.len() - 1 - place];
    }
    sums
}

fn clip(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn encoder() -> G722Encoder {
        G722Encoder::following(G722Decoder::default())
    }

    fn tone(hertz: f32, samples: usize) -> Vec<i16> {
        let at = |place: usize| (TAU * hertz * place as f32 / 16_000.0).sin() * 8_000.0;
        (0..samples).map(|place| at(place) as i16).collect()
    }

    #[test]
    fn tones_of_both_bands_come_back_after_the_filters_delay() {
        for hertz in [200.0, 1_000.0, 3_000.0, 5_000.0, 6_500.0] {
            let said = tone(hertz, 3_200);
            let heard = G722Decoder::default().decode(&encoder().encode(&said));
            assert_eq!(heard.len(), said.len());
            let power =
                |samples: &mut dyn Iterator<Item = f32>| samples.map(|it| it * it).sum::<f32>();
            let pairs = || said[800..].iter().zip(&heard[800 + DELAY..]);
            let sound = power(&mut pairs().map(|(said, _)| f32::from(*said)));
            let noise =
                power(&mut pairs().map(|(said, heard)| f32::from(*said) - f32::from(*heard)));
            let ratio = 10.0 * (sound / noise).log10();
            assert!(
                ratio > if hertz < 4_000.0 { 20.0 } else { 10.0 },
                "{hertz}: {ratio} dB"
            );
        }
    }

    #[test]
    fn an_encoder_goes_on_where_a_decoder_is() {
        let said = tone(700.0, 6_400);
        let mut first = encoder();
        let bytes = first.encode(&said);
        let mut decoder = G722Decoder::default();
        decoder.decode(&bytes[..1_600]);
        let mut second = G722Encoder::following(decoder);
        second.hear(&said[3_200 - DELAY..3_200]);
        assert_eq!(second.encode(&said[3_200..]), bytes[1_600..]);
    }

    /// One number for all of these.
    fn digest(values: impl Iterator<Item = u16>) -> u32 {
        let add = |sum: u32, value: u16| sum.wrapping_mul(31).wrapping_add(value.into());
        values.fold(0, add)
    }

    #[test]
    fn bytes_and_samples_are_those_of_another_implementation() {
        // Both figures are of the G722 package for Python, 1.2.8.
        let said = |n: i32| ((n * n / 7 % 9_000 - 4_500) * (1 + n / 8_000)) as i16;
        let bytes = encoder().encode(&(0..32_000).map(said).collect::<Vec<_>>());
        assert_eq!(digest(bytes.into_iter().map(u16::from)), 559_821_718);
        let heard: Vec<_> = (0..20_000u32)
            .map(|n| ((n * n * 7 + n * 13) >> 3) as u8)
            .collect();
        let samples = G722Decoder::default().decode(&heard);
        assert_eq!(
            digest(samples.into_iter().map(i16::cast_unsigned)),
            3_355_141_438
        );
    }

    #[test]
    fn any_bytes_are_decoded_and_any_samples_encoded() {
        let mut rng = fastrand::Rng::with_seed(7);
        let bytes: Vec<u8> = (0..20_000).map(|_| rng.u8(..)).collect();
        let samples = G722Decoder::default().decode(&bytes);
        assert_eq!(samples.len(), 40_000);
        let loud: Vec<i16> = (0..20_000)
            .map(|_| [i16::MIN, i16::MAX][rng.usize(..2)])
            .collect();
        assert_eq!(encoder().encode(&loud).len(), 10_000);
    }
}
