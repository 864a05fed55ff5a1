//! Generates and detects tones, which proves that audio crosses the whole system.
//!
//! Audio is samples at 8 kHz in frames of 20 ms. A frame counts if most of its energy lies at the expected frequency (Goertzel's
//! algorithm), so that noise, silence and the other tone do not count.

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use crate::softphone::{FRAME, FRAME_TIME, RATE};

/// Peak of the tone: 12 dB below full scale, as loud as a voice.
const AMPLITUDE: f64 = 8_000.0;
/// Mean square below which a frame is silence: 40 dB below our tone.
const FLOOR: f64 = AMPLITUDE * AMPLITUDE / 2.0 / 10_000.0;
/// Part of a frame's energy that must lie at the expected frequency.
const SHARE: f64 = 0.6;

/// An endless tone.
#[derive(Clone, Debug)]
pub struct ToneGenerator {
    step: f64,
    phase: f64,
}

impl ToneGenerator {
    /// A tone of `hertz`, up to 4,000.
    #[must_use]
    pub fn new(hertz: f64) -> Self {
        Self {
            step: TAU * hertz / f64::from(RATE),
            phase: 0.0,
        }
    }

    /// The next 20 ms.
    pub fn frame(&mut self) -> [i16; FRAME] {
        let mut frame = [0; FRAME];
        for sample in &mut frame {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a sine times 8,000 fits 16 bits"
            )]
            let value = (self.phase.sin() * AMPLITUDE) as i16;
            *sample = value;
            self.phase = (self.phase + self.step) % TAU;
        }
        frame
    }
}

/// Detects one tone and the gaps in it.
#[derive(Clone, Debug)]
pub struct ToneDetector {
    step: f64,
    frames: u32,
    last: Option<Instant>,
    longest_gap: Duration,
}

impl ToneDetector {
    /// Detects a tone of `hertz`.
    #[must_use]
    pub fn new(hertz: f64) -> Self {
        Self {
            step: TAU * hertz / f64::from(RATE),
            frames: 0,
            last: None,
            longest_gap: Duration::ZERO,
        }
    }

    /// Handles a frame. Returns whether it holds the tone.
    pub fn detect(&mut self, frame: &[i16], now: Instant) -> bool {
        if frame.len() != FRAME || share_of_tone(frame, self.step, FLOOR) < SHARE {
            return false;
        }
        if let Some(last) = self.last {
            let silent = now
                .saturating_duration_since(last)
                .saturating_sub(FRAME_TIME);
            self.longest_gap = self.longest_gap.max(silent);
        }
        self.last = Some(now);
        self.frames += 1;
        true
    }

    /// For how long the tone was detected.
    #[must_use]
    pub fn detected(&self) -> Duration {
        FRAME_TIME * self.frames
    }

    /// The longest time without the tone between its first and its last frame, by the clock of arrival.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.longest_gap
    }
}

/// The share of a frame's energy at one frequency (Goertzel's algorithm), given in radians per sample; 0 for silence, a mean
/// square below `floor`.
#[must_use]
pub fn share_of_tone(frame: &[i16], step: f64, floor: f64) -> f64 {
    let (mut before, mut last, mut energy) = (0.0, 0.0, 0.0);
    let factor = 2.0 * step.cos();
    for sample in frame {
        let sample = f64::from(*sample);
        energy += sample * sample;
        (before, last) = (last, sample + factor * last - before);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a frame has some hundred samples"
    )]
    let count = frame.len() as f64;
    if count == 0.0 || energy / count < floor {
        return 0.0;
    }
    let power = last * last + before * before - factor * last * before;
    power * 2.0 / (count * energy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(
        detector: &mut ToneDetector,
        tone: &mut ToneGenerator,
        start: Instant,
        millis: impl IntoIterator<Item = u64>,
    ) {
        for at in millis {
            detector.detect(&tone.frame(), start + Duration::from_millis(at));
        }
    }

    #[test]
    fn each_tone_is_detected_by_its_own_detector_only() {
        for (hertz, other) in [(440.0, 1_000.0), (1_000.0, 440.0)] {
            let (mut right, mut wrong) = (ToneDetector::new(hertz), ToneDetector::new(other));
            let mut tone = ToneGenerator::new(hertz);
            let now = Instant::now();
            for _ in 0..50 {
                let frame = tone.frame();
                right.detect(&frame, now);
                wrong.detect(&frame, now);
            }
            assert_eq!(right.detected(), Duration::from_secs(1));
            assert_eq!(wrong.detected(), Duration::ZERO);
        }
    }

    #[test]
    fn silence_noise_and_odd_sizes_are_not_detected() {
        let mut detector = ToneDetector::new(440.0);
        let now = Instant::now();
        assert!(!detector.detect(&[0; FRAME], now));
        let mut noise = [0; FRAME];
        let mut state = 1_u32;
        for sample in &mut noise {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = i16::from_be_bytes([state.to_be_bytes()[0], 0]);
        }
        assert!(!detector.detect(&noise, now));
        assert!(!detector.detect(&[], now));
        assert!(!detector.detect(&ToneGenerator::new(440.0).frame()[..100], now));
    }

    #[test]
    fn the_longest_gap_is_the_time_beyond_one_frame() {
        let (mut detector, mut tone) = (ToneDetector::new(440.0), ToneGenerator::new(440.0));
        listen(
            &mut detector,
            &mut tone,
            Instant::now(),
            [0, 20, 40, 100, 115],
        );
        assert_eq!(detector.longest_gap(), Duration::from_millis(40));
        assert_eq!(detector.detected(), Duration::from_millis(100));
    }
}
