//! An estimate of a call's audio quality: the mean opinion score (MOS, 1 to 4.5) by the E-model (ITU-T G.107), from lost packets and
//! delay.
//!
//! It uses the model's default values for everything that an engine cannot know, and the loss behaviour of G.711 with concealment (ITU-T
//! G.113 appendix I) for every codec. A wideband codec sounds better than this scale can express.

use std::time::Duration;

/// R without loss and delay, all else at its default (G.107 section 7.7).
const BEST: f64 = 93.2;
/// Robustness of G.711 with concealment against random loss, Bpl (G.113 table I.4); its Ie is 0.
const ROBUSTNESS: f64 = 25.1;

/// The mean opinion score for a share of lost packets, from 0 to 1, and the delay from mouth to ear.
#[must_use]
pub fn mos(lost: f64, delay: Duration) -> f64 {
    let percent = lost.clamp(0.0, 1.0) * 100.0;
    // Ie,eff of section 7.5, for losses without bursts.
    let equipment = 95.0 * percent / (percent + ROBUSTNESS);
    opinion(BEST - delayed(delay) - equipment)
}

/// Idd of G.107 section 7.4: the impairment by a delay beyond 100 ms.
fn delayed(delay: Duration) -> f64 {
    let millis = delay.as_secs_f64() * 1_000.0;
    if millis <= 100.0 {
        return 0.0;
    }
    let x = (millis / 100.0).log2();
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// From R to MOS (G.107 annex B).
fn opinion(r: f64) -> f64 {
    if r <= 0.0 {
        return 1.0;
    }
    if r >= 100.0 {
        return 4.5;
    }
    // The curve dips below 1 for the smallest R.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn a_whole_call_has_the_best_figure_of_the_standard() {
        assert!((mos(0.0, NONE) - 4.41).abs() < 0.005);
        assert_eq!(mos(0.0, Duration::from_millis(100)), mos(0.0, NONE));
    }

    #[test]
    fn the_curve_of_opinions_goes_through_the_points_of_the_standard() {
        // G.107 annex B, table B.1: R of 90, 80, 70, 60 and 50.
        for (r, expected) in [
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
        ] {
            assert!((opinion(r) - expected).abs() < 0.01, "{r}: {}", opinion(r));
        }
        assert_eq!(
            (opinion(-5.0), opinion(2.0), opinion(120.0)),
            (1.0, 1.0, 4.5)
        );
    }

    #[test]
    fn losses_and_delay_make_it_worse_and_never_less_than_one() {
        let mut last = 5.0;
        for lost in [0.0, 0.01, 0.05, 0.2, 1.0] {
            let now = mos(lost, NONE);
            assert!(now < last && now >= 1.0, "{lost}: {now}");
            last = now;
        }
        let late = |millis| mos(0.0, Duration::from_millis(millis));
        assert!(late(150) > late(250) && late(250) > late(400) && late(60_000) >= 1.0);
    }
}
