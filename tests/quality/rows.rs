//! The wires of the laboratory: one row of the table for each.
//!
//! Loss is on the hop between the first engine and its TURN server, each way, if a row does not say otherwise. The last three are the
//! profiles of Signal's call simulator (`call_sim` of RingRTC): its delays, their deviations and its losses, on one hop. Their jitter has
//! the exponential distribution here, of the same mean and deviation as the tables of netem there; packets overtake each other, as there.

use std::time::Duration;

use ringfence_tests::faulty_wire::WireFaults;

/// A wire.
#[derive(Clone, Debug)]
pub(super) struct LossRow {
    pub(super) name: &'static str,
    /// What befalls both hops, from which moment of the speech on.
    pub(super) phases: Vec<(Duration, [WireFaults; 2])>,
}

impl LossRow {
    /// Whatever happens from the beginning on.
    fn steady(name: &'static str, near: WireFaults, far: WireFaults) -> Self {
        Self {
            name,
            phases: vec![(Duration::ZERO, [near, far])],
        }
    }

    fn of(name: &'static str, percent: u8, burst: f64) -> Self {
        Self::steady(name, losing(percent, burst), WireFaults::default())
    }
}

/// All of them.
pub(super) fn all() -> Vec<LossRow> {
    let two_hops = losing(5, 1.0);
    let jittery = |mean, deviation| WireFaults {
        delay: [millis(mean - deviation); 2],
        jitter: millis(deviation),
        ..WireFaults::default()
    };
    let with_loss = |faults, percent, burst| WireFaults {
        loss: f64::from(percent) / 100.0,
        burst,
        ..faults
    };
    let none = WireFaults::default();
    let (good, bad) = (jittery(50, 10), with_loss(jittery(100, 20), 30, 4.0));
    vec![
        LossRow::of("clean", 0, 1.0),
        LossRow::of("1 %", 1, 1.0),
        LossRow::of("3 %", 3, 1.0),
        LossRow::of("5 %", 5, 1.0),
        LossRow::of("10 %", 10, 1.0),
        LossRow::of("20 %", 20, 1.0),
        LossRow::of("30 %", 30, 1.0),
        LossRow::of("10 % by 3", 10, 3.0),
        LossRow::of("10 % by 6", 10, 6.0),
        LossRow::of("20 % by 3", 20, 3.0),
        LossRow::steady("5 % on each hop", two_hops, two_hops),
        LossRow::steady("10 ms of jitter", jittery(30, 10), none),
        LossRow::steady("moderate", with_loss(jittery(100, 25), 5, 1.0), none),
        LossRow::steady("international", with_loss(jittery(250, 100), 11, 4.0), none),
        LossRow {
            name: "spiky",
            phases: [(0, good), (8, bad), (16, good)]
                .map(|(second, near)| (Duration::from_secs(second), [near, none]))
                .to_vec(),
        },
    ]
}

fn losing(percent: u8, burst: f64) -> WireFaults {
    WireFaults {
        loss: f64::from(percent) / 100.0,
        burst,
        ..WireFaults::default()
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
