//! Tones: generated at one end of a call, measured at the other.
//!
//! Detection is by Goertzel's algorithm over frames of 20 ms: a frame holds the tone when it is loud enough and most of its
//! energy is at that frequency. A call is judged by the duration of the tone and the longest gap. It may have gaps, because
//! phones conceal and skip single frames on a busy machine.

use std::{f64::consts::TAU, time::Duration};

use ringfence::selfcall::tone::share_of_tone;

use crate::audio_file::AudioClip;

/// The tone of a caller in these tests.
pub const LOW: f64 = 440.0;
/// The tone of a callee.
pub const HIGH: f64 = 1000.0;

const FRAMES_PER_SECOND: u32 = 50;
const FRAME: Duration = Duration::from_millis(20);
/// Root mean square below which a frame counts as silence; that of the generated tone is 8,485.
const QUIET: f64 = 100.0;
/// Smallest share of a frame's energy at the frequency.
const PURE: f64 = 0.8;

/// A sine wave at a bit more than a third of full scale.
pub fn sine(hz: f64, rate: u32, seconds: u32) -> AudioClip {
    let step = TAU * hz / f64::from(rate);
    let samples = (0..rate * seconds).map(|n| (12_000.0 * (step * f64::from(n)).sin()) as i16);
    AudioClip {
        rate,
        samples: samples.collect(),
    }
}

/// How much of a tone a recording contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToneMeasurement {
    /// Length of the recording.
    pub recorded: Duration,
    /// Total duration of all frames with the tone.
    pub tone: Duration,
    /// The longest gap between the first and the last frame with the tone.
    pub longest_gap: Duration,
}

impl ToneMeasurement {
    /// Shorter gaps are caused by the phones themselves on a busy machine.
    pub const TOLERATED_GAP: Duration = Duration::from_millis(200);

    /// Whether the tone was received for a call of this length: more than 85 % of it, without a long gap.
    pub fn carried(&self, call: Duration) -> bool {
        self.tone > call.mul_f64(0.85) && self.longest_gap < Self::TOLERATED_GAP
    }
}

/// Measures one frequency in a recording.
pub fn measure(sound: &AudioClip, hz: f64) -> ToneMeasurement {
    let frame = (sound.rate / FRAMES_PER_SECOND).max(1) as usize;
    let step = TAU * hz / f64::from(sound.rate);
    let (mut frames, mut with_tone, mut gap, mut longest) = (0, 0, 0, 0);
    for samples in sound.samples.chunks_exact(frame) {
        frames += 1;
        if share_of_tone(samples, step, QUIET * QUIET) > PURE {
            longest = if with_tone > 0 { longest.max(gap) } else { 0 };
            with_tone += 1;
            gap = 0;
        } else {
            gap += 1;
        }
    }
    ToneMeasurement {
        recorded: FRAME * frames,
        tone: FRAME * with_tone,
        longest_gap: FRAME * longest,
    }
}

#[cfg(test)]
mod tests {
    use ringfence_media::g711::{compress, expand};

    use super::*;

    #[test]
    fn a_tone_is_found_at_its_own_frequency_and_at_no_other() {
        for rate in [8_000, 16_000, 48_000] {
            let sound = sine(LOW, rate, 2);
            assert_eq!(measure(&sound, LOW).tone, Duration::from_secs(2));
            assert_eq!(measure(&sound, HIGH).tone, Duration::ZERO);
        }
    }

    #[test]
    fn a_hole_is_measured_and_the_silence_around_the_call_is_not() {
        let mut sound = sine(HIGH, 8_000, 2);
        sound.samples[4_000..6_400].fill(0);
        sound.samples.splice(0..0, [0; 8_000]);
        sound.samples.extend([0; 8_000]);
        let heard = measure(&sound, HIGH);
        assert_eq!(heard.longest_gap, Duration::from_millis(300));
        assert_eq!(heard.tone, Duration::from_millis(1_700));
        assert!(!heard.carried(Duration::from_secs(2)));
    }

    #[test]
    fn a_call_that_stopped_early_was_not_carried() {
        let heard = measure(&sine(LOW, 8_000, 2), LOW);
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
            assert_eq!(expand(byte), sample);
        }
        for byte in 0..=255 {
            assert_eq!(expand(compress(expand(byte))), expand(byte));
        }
    }

    #[test]
    fn a_tone_survives_mu_law() {
        let mut sound = sine(HIGH, 8_000, 1);
        for sample in &mut sound.samples {
            *sample = expand(compress(*sample));
        }
        assert!(measure(&sound, HIGH).carried(Duration::from_secs(1)));
    }
}
