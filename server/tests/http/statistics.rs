//! Two samples of times, and whether they can be told apart.

/// What was found.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The chance that a time of the first sample is longer than one of the second: one half, if nothing tells them apart.
    pub(crate) longer: f64,
    /// Two-sided p of the Mann-Whitney U test, by its normal approximation: how often chance alone gives at least as much.
    pub(crate) p: f64,
    /// Welch's t of the fastest nine tenths, as dudect has it (Reparaz, Balasch, Verbauwhede 2017); beyond 4.5 it speaks of a leak.
    pub(crate) t: f64,
    /// The medians, nanoseconds.
    pub(crate) medians: (u64, u64),
}

pub(crate) fn compare(first: &[u64], second: &[u64]) -> Comparison {
    let (longer, p) = mann_whitney(first, second);
    Comparison {
        longer,
        p,
        t: welch(first, second),
        medians: (quantile(first, 0.5), quantile(second, 0.5)),
    }
}

fn mann_whitney(first: &[u64], second: &[u64]) -> (f64, f64) {
    let mut all: Vec<(u64, bool)> = first.iter().map(|time| (*time, true)).collect();
    all.extend(second.iter().map(|time| (*time, false)));
    all.sort_unstable();
    let (mut ranks, mut before) = (0.0, 0);
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let rank = before as f64 + (tied.len() + 1) as f64 / 2.0;
        ranks += rank * tied.iter().filter(|(_, of_first)| *of_first).count() as f64;
        before += tied.len();
    }
    let (n, m) = (first.len() as f64, second.len() as f64);
    let u = ranks - n * (n + 1.0) / 2.0;
    let z = (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt();
    (u / (n * m), two_sided(z))
}

fn welch(first: &[u64], second: &[u64]) -> f64 {
    let both: Vec<u64> = [first, second].concat();
    let crop = quantile(&both, 0.9);
    let moments = |sample: &[u64]| {
        let kept: Vec<f64> = sample
            .iter()
            .filter(|time| **time <= crop)
            .map(|time| *time as f64)
            .collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let spread = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
        (mean, spread / (count - 1.0) / count)
    };
    let ((a, va), (b, vb)) = (moments(first), moments(second));
    (a - b) / (va + vb).sqrt()
}

fn quantile(sample: &[u64], part: f64) -> u64 {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable();
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// The two tails of the normal distribution beyond z (Abramowitz and Stegun 7.1.26; error below 1.5e-7).
fn two_sided(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [
        0.254_829_592,
        -0.284_496_736,
        1.421_413_741,
        -1.453_152_027,
        1.061_405_429,
    ];
    let sum = series
        .iter()
        .rev()
        .fold(0.0, |sum, factor| (sum + factor) * t);
    sum * (-x * x).exp()
}

#[test]
fn alike_is_told_from_different() {
    let even: Vec<u64> = (0..1_000).map(|time| time * 2).collect();
    let odd: Vec<u64> = (0..1_000).map(|time| time * 2 + 1).collect();
    let alike = compare(&even, &odd);
    assert!(
        alike.p > 0.9 && alike.t.abs() < 1.0 && (alike.longer - 0.5).abs() < 0.01,
        "{alike:?}"
    );
    let later: Vec<u64> = odd.iter().map(|time| time + 400).collect();
    let different = compare(&later, &even);
    assert!(
        different.p < 1e-6 && different.t > 4.5 && different.longer > 0.55,
        "{different:?}"
    );
}

#[test]
fn the_tails_are_those_of_the_tables() {
    for (z, p) in [(0.0, 1.0), (1.96, 0.05), (-2.576, 0.01), (3.291, 0.001)] {
        assert!((two_sided(z) - p).abs() < 1e-4, "{z}");
    }
}
