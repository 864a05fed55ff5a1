//! Sound that goes on from what was heard last: its last pitch period again and again, then the last two and three so that it does not
//! buzz, fading to silence. The idea is that of ITU-T G.711 Appendix I; samples that are out cannot be held back here, so that
//! nothing overlaps at the first joint, where one period follows upon another.

/// Milliseconds of what was heard that are used: three of the longest periods, and a quarter of one to overlap.
pub(super) const HISTORY: usize = 49;

/// Milliseconds after which nothing is left.
const LONGEST: usize = 60;

/// The shortest and the longest pitch period, in milliseconds: 200 Hz to 66 Hz.
const PERIODS: (usize, usize) = (5, 15);

/// Milliseconds over which periods are compared.
const COMPARED: usize = 20;

/// Milliseconds before the sound begins to fade, and after which one more period is repeated.
const STAGE: usize = 10;

/// The most periods that are repeated together.
const MOST_PERIODS: usize = 3;

/// Sound that goes on.
#[derive(Debug)]
pub(super) struct PitchSynthesis {
    past: Vec<f32>,
    per_milli: usize,
    period: usize,
    cycle: PitchCycle,
    /// The cycle before, while it fades into this one, and the samples that are left of that.
    before: Option<(PitchCycle, usize)>,
    made: usize,
}

/// Some periods that are repeated, and where in them the next sample is.
#[derive(Debug)]
struct PitchCycle {
    samples: Vec<f32>,
    at: usize,
}

impl PitchCycle {
    /// The last so many periods, the end of which fades into what precedes them.
    fn of(past: &[f32], period: usize, periods: usize, at: usize) -> Self {
        let start = past.len() - period * periods;
        let overlap = period / 4;
        let mut samples = past[start..].to_vec();
        let end = samples.len() - overlap;
        for place in 0..overlap {
            let part = (place + 1) as f32 / (overlap + 1) as f32;
            samples[end + place] =
                samples[end + place] * (1.0 - part) + past[start - overlap + place] * part;
        }
        Self { samples, at }
    }

    fn next(&mut self) -> f32 {
        let sample = self.samples[self.at];
        self.at = (self.at + 1) % self.samples.len();
        sample
    }
}

impl PitchSynthesis {
    /// What goes on from these samples, of which there are so many in a millisecond.
    pub(super) fn of(heard: &[i16], per_milli: usize) -> Self {
        let length = HISTORY * per_milli;
        let heard = &heard[heard.len().saturating_sub(length)..];
        let mut past = vec![0.0; length - heard.len()];
        past.extend(heard.iter().map(|sample| f32::from(*sample)));
        let period = period_of(&past, per_milli);
        Self {
            cycle: PitchCycle::of(&past, period, 1, 0),
            past,
            per_milli,
            period,
            before: None,
            made: 0,
        }
    }

    /// Whether all that follows is silence.
    pub(super) const fn is_over(&self) -> bool {
        self.made >= LONGEST * self.per_milli
    }

    /// Samples so far.
    pub(super) const fn made(&self) -> usize {
        self.made
    }

    /// The next samples.
    pub(super) fn next(&mut self, samples: usize) -> Vec<i16> {
        (0..samples).map(|_| self.sample() as i16).collect()
    }

    fn sample(&mut self) -> f32 {
        let stage = STAGE * self.per_milli;
        if self.made > 0 && self.made.is_multiple_of(stage) {
            self.lengthen(1 + self.made / stage);
        }
        let overlap = self.period / 4;
        let mut sample = self.cycle.next();
        if let Some((cycle, left)) = &mut self.before {
            let part = *left as f32 / (overlap + 1) as f32;
            sample = sample * (1.0 - part) + cycle.next() * part;
            *left -= 1;
            if *left == 0 {
                self.before = None;
            }
        }
        let faded = self.made.saturating_sub(stage) as f32;
        let gain = 1.0 - faded / ((LONGEST - STAGE) * self.per_milli) as f32;
        self.made += 1;
        sample.clamp(i16::MIN.into(), i16::MAX.into()) * gain.max(0.0)
    }

    /// Repeats so many periods together from now on, in phase with those before.
    fn lengthen(&mut self, periods: usize) {
        let overlap = self.period / 4;
        if periods > MOST_PERIODS || overlap == 0 {
            return;
        }
        let at = self.cycle.at % self.period;
        let longer = PitchCycle::of(&self.past, self.period, periods, at);
        let before = std::mem::replace(&mut self.cycle, longer);
        self.before = Some((before, overlap));
    }
}

/// The shift at which the end of these samples is most like what precedes it.
fn period_of(past: &[f32], per_milli: usize) -> usize {
    let (shortest, longest) = (PERIODS.0 * per_milli, PERIODS.1 * per_milli);
    let start = past.len() - COMPARED * per_milli;
    let end = &past[start..];
    let likeness = |shift: usize| {
        let earlier = &past[start - shift..past.len() - shift];
        let product: f32 = end.iter().zip(earlier).map(|(one, two)| one * two).sum();
        let energy: f32 = earlier.iter().map(|sample| sample * sample).sum();
        product / energy.max(1.0).sqrt()
    };
    let shifts = (shortest..=longest).map(|shift| (shift, likeness(shift)));
    let best = shifts.max_by(|(_, one), (_, two)| one.total_cmp(two));
    best.map_or(longest, |(shift, _)| shift)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    #[test]
    fn what_is_repeated_of_a_swelling_tone_has_no_joints() {
        // Lost at its peak, where each period is higher than the one before by more than two samples ever differ.
        let heard: Vec<i16> = (0..=640)
            .map(|at| {
                let level = 1_000.0 + 8_000.0 * (at.max(320) - 320) as f32 / 320.0;
                ((at as f32 * TAU / 64.0).cos() * level) as i16
            })
            .collect();
        let mut synthesis = PitchSynthesis::of(&heard, 8);
        let made = synthesis.next(480);
        let steps = made.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
        let most = steps.max().unwrap();
        assert!(most < 1_000, "{most}");
        assert!(synthesis.is_over() && synthesis.next(1) == [0]);
    }
}
