//! Tones and the hearing of tones: the proof that sound crosses the whole system.
//!
//! Sound is samples at 8 kHz in frames of 20 ms. A frame counts as heard when most of
//! its energy lies at the expected frequency (Goertzel's algorithm), so that noise, silence and the other side's tone do not.

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use crate::softphone::{FRAME, FRAME_TIME, RATE};

/// Peak of the tone: 12 dB below full scale, a loud voice.
const AMPLITUDE: f64 = 8_000.0;
/// Mean square below which a frame is silence: 40 dB below our tone.
const FLOOR: f64 = AMPLITUDE * AMPLITUDE / 2.0 / 10_000.0;
/// Part of a frame's energy that must lie at the expected frequency.
const SHARE: f64 = 0.6;

/// An endless tone.
#[derive(Clone, Debug)]
pub struct Tone {
    step: f64,
    phase: f64,
}

impl Tone {
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

/// Hears one tone in what arrives, and the gaps in it.
#[derive(Clone, Debug)]
pub struct Ear {
    step: f64,
    frames: u32,
    last: Option<Instant>,
    longest_gap: Duration,
}

impl Ear {
    /// An ear for `hertz`.
    #[must_use]
    pub fn new(hertz: f64) -> Self {
        Self {
            step: TAU * hertz / f64::from(RATE),
            frames: 0,
            last: None,
            longest_gap: Duration::ZERO,
        }
    }

    /// A frame arrived. Returns whether the tone was in it.
    pub fn hear(&mut self, frame: &[i16], now: Instant) -> bool {
        if frame.len() != FRAME || share_of_tone(frame, self.step) < SHARE {
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

    /// How much of the tone was heard.
    #[must_use]
    pub fn heard(&self) -> Duration {
        FRAME_TIME * self.frames
    }

    /// The longest time without the tone between its first and its last frame, by the clock of arrival.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.longest_gap
    }
}

/// Which part of a frame's energy lies at one frequency; 0 for silence.
fn share_of_tone(frame: &[i16], step: f64) -> f64 {
    let (mut before, mut last, mut energy) = (0.0, 0.0, 0.0);
    let factor = 2.0 * step.cos();
    for sample in frame {
        let sample = f64::from(*sample);
        energy += sample * sample;
        (before, last) = (last, sample + factor * last - before);
    }
    #[expect(clippy::cast_precision_loss, reason = "a frame has 160 samples")]
    let count = frame.len() as f64;
    if count == 0.0 || energy / count < FLOOR {
        return 0.0;
    }
    let power = last * last + before * before - factor * last * before;
    power * 2.0 / (count * energy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(
        ear: &mut Ear,
        tone: &mut Tone,
        start: Instant,
        millis: impl IntoIterator<Item = u64>,
    ) {
        for at in millis {
            ear.hear(&tone.frame(), start + Duration::from_millis(at));
        }
    }

    #[test]
    fn each_tone_is_heard_by_its_own_ear_only() {
        for (hertz, other) in [(440.0, 1_000.0), (1_000.0, 440.0)] {
            let (mut right, mut wrong) = (Ear::new(hertz), Ear::new(other));
            let mut tone = Tone::new(hertz);
            let now = Instant::now();
            for _ in 0..50 {
                let frame = tone.frame();
                right.hear(&frame, now);
                wrong.hear(&frame, now);
            }
            assert_eq!(right.heard(), Duration::from_secs(1));
            assert_eq!(wrong.heard(), Duration::ZERO);
        }
    }

    #[test]
    fn silence_noise_and_odd_sizes_are_not_heard() {
        let mut ear = Ear::new(440.0);
        let now = Instant::now();
        assert!(!ear.hear(&[0; FRAME], now));
        let mut noise = [0; FRAME];
        let mut state = 1_u32;
        for sample in &mut noise {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = i16::from_be_bytes([state.to_be_bytes()[0], 0]);
        }
        assert!(!ear.hear(&noise, now));
        assert!(!ear.hear(&[], now));
        assert!(!ear.hear(&Tone::new(440.0).frame()[..100], now));
    }

    #[test]
    fn the_longest_gap_is_the_time_beyond_one_frame() {
        let (mut ear, mut tone) = (Ear::new(440.0), Tone::new(440.0));
        listen(&mut ear, &mut tone, Instant::now(), [0, 20, 40, 100, 115]);
        assert_eq!(ear.longest_gap(), Duration::from_millis(40));
        assert_eq!(ear.heard(), Duration::from_millis(100));
    }
}
