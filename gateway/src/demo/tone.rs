//! Tones and the hearing of tones: the proof that sound crosses the whole system.
//!
//! Sound is G.711 mu-law at 8 kHz in frames of 20 ms (ITU-T G.711, RFC 3551 section 4.5.14). A frame counts as heard when most of
//! its energy lies at the expected frequency (Goertzel's algorithm), so that noise, silence and the other side's tone do not.

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

/// Samples per second.
const RATE: f64 = 8_000.0;
/// Samples per frame.
pub const FRAME: usize = 160;
/// Length of a frame.
pub const FRAME_TIME: Duration = Duration::from_millis(20);
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
            step: TAU * hertz / RATE,
            phase: 0.0,
        }
    }

    /// The next 20 ms, as mu-law.
    pub fn frame(&mut self) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        for sample in &mut frame {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a sine times 8,000 fits 16 bits"
            )]
            let value = (self.phase.sin() * AMPLITUDE) as i16;
            *sample = compress(value);
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
            step: TAU * hertz / RATE,
            frames: 0,
            last: None,
            longest_gap: Duration::ZERO,
        }
    }

    /// A frame arrived. Returns whether the tone was in it.
    pub fn hear(&mut self, payload: &[u8], now: Instant) -> bool {
        if payload.len() != FRAME || share_of_tone(payload, self.step) < SHARE {
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
fn share_of_tone(payload: &[u8], step: f64) -> f64 {
    let (mut before, mut last, mut energy) = (0.0, 0.0, 0.0);
    let factor = 2.0 * step.cos();
    for byte in payload {
        let sample = f64::from(expand(*byte));
        energy += sample * sample;
        (before, last) = (last, sample + factor * last - before);
    }
    #[expect(clippy::cast_precision_loss, reason = "a frame has 160 samples")]
    let count = payload.len() as f64;
    if count == 0.0 || energy / count < FLOOR {
        return 0.0;
    }
    let power = last * last + before * before - factor * last * before;
    power * 2.0 / (count * energy)
}

/// 16-bit sample to mu-law (ITU-T G.711 table 2): sign, three bits of segment, four of step, all inverted.
fn compress(sample: i16) -> u8 {
    const BIAS: u16 = 132;
    const CLIP: u16 = 32_635;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(CLIP) + BIAS;
    // The bias puts the highest set bit between 7 and 14.
    let segment = 8_u32.saturating_sub(magnitude.leading_zeros());
    let step = (magnitude >> (segment + 3)) & 0x0f;
    let code = sign | u16::try_from(segment << 4).unwrap_or(0x70) | step;
    !u8::try_from(code).unwrap_or(u8::MAX)
}

/// Mu-law to a 16-bit sample.
fn expand(code: u8) -> i16 {
    let code = !code;
    let (segment, step) = ((code >> 4) & 7, i16::from(code & 0x0f));
    let magnitude = (((step << 3) + 132) << segment) - 132;
    if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
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
    fn the_companding_survives_its_own_round_trip_and_hits_known_codes() {
        for code in 0..=255 {
            // There are two zeros; both expand to 0, which compresses to the positive one.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(compress(expand(code)), expected);
        }
        assert_eq!(
            (compress(0), compress(i16::MAX), compress(i16::MIN)),
            (0xff, 0x80, 0x00)
        );
        assert_eq!((expand(0x00), expand(0x80)), (-32_124, 32_124));
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
        assert!(!ear.hear(&[0xff; FRAME], now));
        let mut noise = [0; FRAME];
        let mut state = 1_u32;
        for byte in &mut noise {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_be_bytes()[0];
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
