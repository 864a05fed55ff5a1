//! The wires of the laboratory: one row of the table for each.
//!
//! Loss is on the hop between the first engine and its TURN server, each way, if a row does not say otherwise. The profiles of Signal's
//! call simulator (`call_sim` of RingRTC) are on that hop too: its delays, their deviations, its losses, rates and queues. Their jitter has
//! the exponential distribution here, of the same mean and deviation as the tables of netem there; packets overtake each other, as there.
//! Its simple losses are rows of the percentage alone, and its bursty ones those by so many.

use std::time::Duration;

use ringfence_tests::{faulty_wire::WireFaults, wire_chance::WireRate};

use super::SpeechPath;

/// A wire.
#[derive(Clone, Debug)]
pub(super) struct LossRow {
    pub(super) name: &'static str,
    /// What befalls both hops, from which moment of the speech on.
    pub(super) phases: Vec<(Duration, [WireFaults; 2])>,
    usual: UsualPaths,
}

/// The paths that are measured over a wire where no wire is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsualPaths {
    /// Every path, real phones too.
    Each,
    /// All but those that only a few wires are enough for.
    Most,
    /// Ringfence with G.711 phones.
    Narrow,
    /// The same, and Opus through Ringfence and with redundancy through Chromium: Signal's own profiles.
    Signal,
    /// None.
    Named,
}

impl LossRow {
    /// Whether it is measured where no wire is named.
    pub(super) const fn is_usual(&self, path: SpeechPath) -> bool {
        use SpeechPath::{Baresip, Baresip4, ChromiumRed, Linphone, Opus, OpusFec, Pcmu, Pjsua};
        match self.usual {
            UsualPaths::Each => true,
            UsualPaths::Most => !matches!(path, OpusFec | Linphone | Baresip | Baresip4 | Pjsua),
            UsualPaths::Narrow => matches!(path, Pcmu),
            UsualPaths::Signal => matches!(path, Pcmu | Opus | ChromiumRed),
            UsualPaths::Named => false,
        }
    }

    /// Whatever happens from the beginning on.
    fn steady(name: &'static str, usual: UsualPaths, near: WireFaults, far: WireFaults) -> Self {
        Self {
            name,
            phases: vec![(Duration::ZERO, [near, far])],
            usual,
        }
    }

    fn near(name: &'static str, usual: UsualPaths, near: WireFaults) -> Self {
        Self::steady(name, usual, near, WireFaults::default())
    }

    fn of(name: &'static str, usual: UsualPaths, percent: u8, burst: f64) -> Self {
        Self::near(name, usual, losing(percent, burst))
    }

    /// Bursts of exactly that length.
    fn exact(name: &'static str, percent: u8, burst: f64) -> Self {
        let faults = WireFaults {
            is_burst_exact: true,
            ..losing(percent, burst)
        };
        Self::near(name, UsualPaths::Most, faults)
    }

    /// A wire of so many kilobits a second, and the queue that it has in Signal's profile.
    fn slow(name: &'static str, usual: UsualPaths, kilobits: u32) -> Self {
        let faults = WireFaults {
            rate: rate(kilobits, 16),
            ..WireFaults::default()
        };
        Self::near(name, usual, faults)
    }
}

/// All of them.
pub(super) fn all() -> Vec<LossRow> {
    use UsualPaths::{Each, Most, Named, Narrow, Signal};
    let two_hops = losing(5, 1.0);
    let jittery = |mean, deviation| WireFaults {
        delay: [millis(mean - deviation); 2],
        jitter: millis(deviation),
        ..WireFaults::default()
    };
    let (good, bad) = (jittery(50, 10), with_loss(jittery(100, 20), 30, 4.0));
    let international = WireFaults {
        rate: rate(300, 250),
        ..with_loss(jittery(250, 100), 11, 4.0)
    };
    vec![
        LossRow::of("clean", Each, 0, 1.0),
        LossRow::of("1 %", Narrow, 1, 1.0),
        LossRow::of("3 %", Narrow, 3, 1.0),
        LossRow::of("5 %", Each, 5, 1.0),
        LossRow::of("10 %", Each, 10, 1.0),
        LossRow::of("20 %", Most, 20, 1.0),
        LossRow::of("30 %", Signal, 30, 1.0),
        LossRow::of("40 %", Named, 40, 1.0),
        LossRow::of("50 %", Signal, 50, 1.0),
        LossRow::exact("10 % always 3", 10, 3.0),
        LossRow::exact("10 % always 6", 10, 6.0),
        LossRow::of("10 % by 3", Narrow, 10, 3.0),
        LossRow::of("10 % by 4", Named, 10, 4.0),
        LossRow::of("10 % by 6", Narrow, 10, 6.0),
        LossRow::of("20 % by 3", Narrow, 20, 3.0),
        LossRow::of("20 % by 4", Signal, 20, 4.0),
        LossRow::of("30 % by 4", Named, 30, 4.0),
        LossRow::steady("5 % on each hop", Narrow, two_hops, two_hops),
        LossRow::near("10 ms of jitter", Narrow, jittery(30, 10)),
        LossRow::near("moderate", Most, with_loss(jittery(100, 25), 5, 1.0)),
        LossRow::near("international", Most, international),
        LossRow {
            name: "spiky",
            phases: [(0, good), (8, bad), (16, good)]
                .map(|(second, near)| (Duration::from_secs(second), [near, WireFaults::default()]))
                .to_vec(),
            usual: Most,
        },
        LossRow::slow("300 kbit", Named, 300),
        LossRow::slow("100 kbit", Signal, 100),
        LossRow::slow("50 kbit", Signal, 50),
        LossRow::slow("25 kbit", Named, 25),
    ]
}

fn losing(percent: u8, burst: f64) -> WireFaults {
    with_loss(WireFaults::default(), percent, burst)
}

fn with_loss(faults: WireFaults, percent: u8, burst: f64) -> WireFaults {
    WireFaults {
        loss: f64::from(percent) / 100.0,
        burst,
        ..faults
    }
}

fn rate(kilobits: u32, queue: usize) -> Option<WireRate> {
    Some(WireRate {
        bits: 1_000 * kilobits,
        queue,
    })
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
