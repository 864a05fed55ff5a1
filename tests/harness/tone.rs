//! Tones: made for one end of a call, looked for at the other.
//!
//! The search is Goertzel's, over frames of 20 ms: a frame holds the tone when it is loud enough and most of its energy
//! is at that one frequency. A call is judged by seconds of tone and by the longest hole, not by "no hole at all":
//! phones conceal and skip single frames of their own accord on a busy machine.
//! G.711 mu-law (ITU-T G.711, table 2) is here for the ends that are played by the test itself.

use std::{f64::consts::TAU, time::Duration};

use crate::wav::Sound;

/// What a caller's microphone plays in these tests.
pub const LOW: f64 = 440.0;
/// What a callee's microphone plays.
pub const HIGH: f64 = 1000.0;

const FRAMES_PER_SECOND: u32 = 50;
const FRAME: Duration = Duration::from_millis(20);
/// Root mean square below which a frame counts as silence; the generator's is 8,485.
const QUIET: f64 = 100.0;
/// Share of a frame's energy that must be at the frequency.
const PURE: f64 = 0.8;

/// A sine at a bit more than a third of full scale.
pub fn sine(hz: f64, rate: u32, seconds: u32) -> Sound {
    let step = TAU * hz / f64::from(rate);
    let samples = (0..rate * seconds).map(|n| (12_000.0 * (step * f64::from(n)).sin()) as i16);
    Sound {
        rate,
        samples: samples.collect(),
    }
}

/// How much of a tone a recording holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Length of the recording.
    pub recorded: Duration,
    /// All frames with the tone together.
    pub tone: Duration,
    /// The longest hole between the first and the last frame with the tone.
    pub longest_gap: Duration,
}

impl Heard {
    /// Holes below this are the phones' own, on a busy machine.
    pub const TOLERATED_GAP: Duration = Duration::from_millis(200);

    /// Whether a call of this length was heard: more than 85 % of it, without a long hole.
    pub fn carried(&self, call: Duration) -> bool {
        self.tone > call.mul_f64(0.85) && self.longest_gap < Self::TOLERATED_GAP
    }
}

/// Looks for one frequency in a recording.
pub fn listen(sound: &Sound, hz: f64) -> Heard {
    let frame = (sound.rate / FRAMES_PER_SECOND).max(1) as usize;
    let (mut frames, mut with_tone, mut gap, mut longest) = (0, 0, 0, 0);
    for samples in sound.samples.chunks_exact(frame) {
        frames += 1;
        if holds(samples, hz / f64::from(sound.rate)) {
            longest = if with_tone > 0 { longest.max(gap) } else { 0 };
            with_tone += 1;
            gap = 0;
        } else {
            gap += 1;
        }
    }
    Heard {
        recorded: FRAME * frames,
        tone: FRAME * with_tone,
        longest_gap: FRAME * longest,
    }
}

/// Goertzel's recurrence for one frequency, given in cycles per sample.
fn holds(samples: &[i16], cycles_per_sample: f64) -> bool {
    let turn = 2.0 * (TAU * cycles_per_sample).cos();
    let (mut newer, mut older, mut energy) = (0.0, 0.0, 0.0);
    for sample in samples.iter().copied().map(f64::from) {
        (newer, older) = (sample + turn * newer - older, newer);
        energy += sample * sample;
    }
    let count = samples.len() as f64;
    let at_frequency = (newer * newer + older * older - turn * newer * older) * 2.0 / count;
    energy > QUIET * QUIET * count && at_frequency > PURE * energy
}

const MU_LAW_BIAS: i32 = 132;
const MU_LAW_CLIP: i32 = 32_635;

/// One sample as a G.711 mu-law byte.
pub fn to_mu_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(MU_LAW_CLIP) + MU_LAW_BIAS;
    let segment = (24 - magnitude.leading_zeros()).min(7);
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | (segment as u8) << 4 | step as u8)
}

/// One sample from a G.711 mu-law byte.
pub fn from_mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let (segment, step) = (byte >> 4 & 7, i32::from(byte & 0x0f));
    let magnitude = (((step << 3) + MU_LAW_BIAS) << segment) - MU_LAW_BIAS;
    (if byte & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_at_its_own_frequency_and_at_no_other() {
        for rate in [8_000, 16_000, 48_000] {
            let sound = sine(LOW, rate, 2);
            assert_eq!(listen(&sound, LOW).tone, Duration::from_secs(2));
            assert_eq!(listen(&sound, HIGH).tone, Duration::ZERO);
        }
    }

    #[test]
    fn a_hole_is_measured_and_the_silence_around_the_call_is_not() {
        let mut sound = sine(HIGH, 8_000, 2);
        sound.samples[4_000..6_400].fill(0);
        sound.samples.splice(0..0, [0; 8_000]);
        sound.samples.extend([0; 8_000]);
        let heard = listen(&sound, HIGH);
        assert_eq!(heard.longest_gap, Duration::from_millis(300));
        assert_eq!(heard.tone, Duration::from_millis(1_700));
        assert!(!heard.carried(Duration::from_secs(2)));
    }

    #[test]
    fn a_call_that_stopped_early_was_not_carried() {
        let heard = listen(&sine(LOW, 8_000, 2), LOW);
        assert!(heard.carried(Duration::from_secs(2)));
        assert!(!heard.carried(Duration::from_secs(3)));
    }

    #[test]
    fn mu_law_follows_the_table_of_the_recommendation() {
        // G.711 table 2a: the ends of the segments, and both zeros.
        for (byte, sample) in [
            (0x80, 32_124),
            (0x00, -32_124),
            (0xff, 0),
            (0x7f, 0),
            (0xfe, 8),
            (0xef, 132),
            (0xf0, 120),
        ] {
            assert_eq!(from_mu_law(byte), sample);
        }
        for byte in 0..=255 {
            assert_eq!(from_mu_law(to_mu_law(from_mu_law(byte))), from_mu_law(byte));
        }
    }

    #[test]
    fn a_tone_survives_mu_law() {
        let mut sound = sine(HIGH, 8_000, 1);
        for sample in &mut sound.samples {
            *sample = from_mu_law(to_mu_law(*sample));
        }
        assert!(listen(&sound, HIGH).carried(Duration::from_secs(1)));
    }
}
