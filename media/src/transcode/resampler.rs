//! Twice the samples, and half of them, between the 8 kHz of G.711 and the 16 kHz of G.722.
//!
//! One half-band filter for both: every second weight but the middle one is zero, and the others pass speech up to 3.4 kHz and
//! stop what would be heard as another tone from 4.6 kHz on. It delays by 1.5 ms.

use std::f32::consts::PI;

/// Weights on each side of the middle that are not zero.
const PAIRS: usize = 12;
/// Weights in all, the zeros included, but those at the ends.
const TAPS: usize = 4 * PAIRS - 1;

/// The filter, and the samples that it still needs: of 16 kHz, the newest last.
#[derive(Debug)]
pub(super) struct HalfBand {
    /// Half a weight of each pair, from the middle outwards.
    weights: [f32; PAIRS],
    heard: [f32; TAPS],
}

impl Default for HalfBand {
    fn default() -> Self {
        let weight = |pair: usize| {
            let off = (2 * pair + 1) as f32;
            // A sinc that ends softly (a Blackman window), as that of half the band is.
            let place = PI * off / (2 * PAIRS) as f32;
            let window = 0.42 + 0.5 * place.cos() + 0.08 * (2.0 * place).cos();
            (PI * off / 2.0).sin() / (PI * off) * window
        };
        Self {
            weights: std::array::from_fn(weight),
            heard: [0.0; TAPS],
        }
    }
}

impl HalfBand {
    /// Two samples for each one.
    pub(super) fn double(&mut self, samples: &[i16]) -> Vec<i16> {
        let mut doubled = Vec::with_capacity(2 * samples.len());
        for sample in samples {
            // Of each two, one is new and one is zero, so that both have to be twice as loud.
            for sample in [f32::from(*sample) * 2.0, 0.0] {
                self.hear(sample);
                doubled.push(self.filtered());
            }
        }
        doubled
    }

    /// One sample for each two.
    pub(super) fn halve(&mut self, samples: &[i16]) -> Vec<i16> {
        let pairs = samples.chunks_exact(2).map(|pair| {
            self.hear(pair[0].into());
            self.hear(pair[1].into());
            self.filtered()
        });
        pairs.collect()
    }

    fn hear(&mut self, sample: f32) {
        self.heard.rotate_left(1);
        self.heard[TAPS - 1] = sample;
    }

    fn filtered(&self) -> i16 {
        const MIDDLE: usize = TAPS / 2;
        let sides = self.weights.iter().enumerate().map(|(pair, weight)| {
            let off = 2 * pair + 1;
            weight * (self.heard[MIDDLE - off] + self.heard[MIDDLE + off])
        });
        // What is beyond 16 bits is cut there.
        (self.heard[MIDDLE] / 2.0 + sides.sum::<f32>()).round() as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of so many hertz at this rate, and the power of samples.
    fn tone(hertz: f32, rate: usize) -> Vec<i16> {
        let at = |place: usize| (2.0 * PI * hertz * place as f32 / rate as f32).sin();
        (0..rate)
            .map(|place| (at(place) * 10_000.0) as i16)
            .collect()
    }

    fn power(samples: &[i16]) -> f32 {
        let squares = samples[TAPS..].iter().map(|it| f32::from(*it).powi(2));
        squares.sum::<f32>() / (samples.len() - TAPS) as f32
    }

    fn decibels(after: &[i16], before: &[i16]) -> f32 {
        10.0 * (power(after) / power(before)).log10()
    }

    #[test]
    fn speech_passes_and_what_would_come_back_as_another_tone_does_not() {
        for hertz in [100.0, 1_000.0, 3_000.0, 3_400.0] {
            let doubled = HalfBand::default().double(&tone(hertz, 8_000));
            assert_eq!(doubled.len(), 16_000);
            let off = decibels(&doubled, &tone(hertz, 16_000));
            assert!(off.abs() < 0.5, "{hertz}: {off} dB");
            // Its mirror above 4 kHz is not there.
            let expected = &tone(hertz, 16_000)[..16_000 - TAPS / 2];
            let wrong: Vec<_> = expected
                .iter()
                .zip(&doubled[TAPS / 2..])
                .map(|(ours, theirs)| ours.saturating_sub(*theirs))
                .collect();
            assert!(decibels(&wrong, expected) < -25.0, "{hertz}");
            let halved = HalfBand::default().halve(&tone(hertz, 16_000));
            let off = decibels(&halved, &tone(hertz, 8_000));
            assert!(off.abs() < 0.5, "{hertz}: {off} dB");
        }
        for hertz in [4_800.0, 5_500.0, 7_000.0] {
            let halved = HalfBand::default().halve(&tone(hertz, 16_000));
            let left = decibels(&halved, &tone(hertz, 16_000));
            assert!(left < -45.0, "{hertz}: {left} dB");
        }
    }

    #[test]
    fn the_loudest_sound_is_cut_and_not_turned_round() {
        let loudest: Vec<_> = (0..400)
            .map(|at| [i16::MIN, i16::MAX][at / 7 % 2])
            .collect();
        let doubled = HalfBand::default().double(&loudest);
        let turned = doubled
            .windows(2)
            .filter(|pair| pair[0].abs_diff(pair[1]) > 50_000);
        assert_eq!(turned.count(), 0);
    }
}
