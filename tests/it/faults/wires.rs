//! Calls are set up where the wires to the TURN servers lose or delay packets: how many ring and connect, and how long after the answer both
//! phones hear. With real processes; `slow_and_lossy_set_up` has the same in simulated time.

#![expect(clippy::print_stdout, reason = "the figures are for a person")]

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{
    fault_lab::FaultLab,
    faulty_wire::WireFaults,
    lab_plan::LabPlan,
    program::{installed, real_time},
};

use super::scene::Lane;

/// How long a person waits for a ring, and for sound.
const PATIENCE: Duration = Duration::from_secs(15);

const SECOND: Duration = Duration::from_secs(1);

/// What is expected of the calls over one kind of wire.
struct Wire {
    fault: WireFaults,
    /// The share that is set up.
    least: f64,
    /// Seconds from the answer to sound at both phones, of half of the calls.
    median: f64,
}

fn lossy(loss: f64, least: f64, median: f64) -> Wire {
    Wire {
        fault: WireFaults {
            loss,
            ..WireFaults::default()
        },
        least,
        median,
    }
}

#[test]
fn calls_are_set_up_over_a_wire_that_loses_a_fifth() {
    set_up(&[lossy(0.2, 0.75, 2.0)], 4);
}

#[test]
#[ignore = "takes a quarter of an hour: tests/run --faults"]
fn calls_are_set_up_over_wires_that_lose_or_delay() {
    let delay = Duration::from_millis(300);
    // Two round trips of 1.2 s; and three to the server for an allocation, since the calls follow each other faster than the pool makes one.
    let slow = Wire {
        fault: WireFaults {
            delay: [delay; 2],
            ..WireFaults::default()
        },
        least: 1.0,
        median: 4.6,
    };
    let rows = [
        lossy(0.0, 1.0, 0.2),
        lossy(0.05, 1.0, 0.5),
        lossy(0.1, 1.0, 0.7),
        lossy(0.2, 0.95, 1.0),
        lossy(0.3, 0.9, 2.5),
        slow,
    ];
    set_up(&rows, 20);
}

#[test]
#[ignore = "takes six minutes: tests/run --faults"]
fn a_call_outlives_allocations_and_nonces_of_a_minute() {
    if !installed(&["turnserver", "cc"]) {
        return;
    }
    // RFC 8656 allows no lifetime under ten minutes.
    for lifetime in [60, 120] {
        let lifetime = format!("max-allocate-lifetime={lifetime}");
        let plan = LabPlan {
            turn_settings: &[&lifetime],
            ..LabPlan::default()
        };
        let lab = FaultLab::start(real_time(), 1, &plan);
        let phones = Lane::of(&lab, 0).phones(Transport::Udp);
        let calls = phones.talk(&lab.engines[1].lines[0].number);
        let began = Instant::now();
        sleep(Duration::from_secs(160));
        let now = Instant::now();
        let gaps = phones.gaps(&calls, began, now);
        println!("{lifetime}: {gaps:?}");
        assert!(phones.are_up(&calls), "{lifetime}");
        assert!(
            gaps.iter().all(|(_, gap)| *gap < 2 * SECOND),
            "{lifetime}: {gaps:?}"
        );
        phones.hear(&calls, now);
        phones.clear(&calls);
    }
}

fn set_up(rows: &[Wire], calls: usize) {
    if !installed(&["turnserver", "cc"]) {
        return;
    }
    let mut lab = FaultLab::start(real_time(), 1, &LabPlan::default());
    let mut wrong = Vec::new();
    for row in rows {
        let (mut rang, mut heard) = (0, Vec::new());
        for _ in 0..calls {
            set_all(&lab, WireFaults::default());
            lab.wait_ready();
            set_all(&lab, row.fault);
            let call = one_call(&lab);
            rang += usize::from(call.is_some());
            heard.extend(call.flatten());
        }
        heard.sort_by(f64::total_cmp);
        let share = heard.len() as f64 / calls as f64;
        let at = |share: f64| {
            heard
                .get((share * (heard.len().max(1) - 1) as f64) as usize)
                .copied()
        };
        let (median, late, worst) = (at(0.5), at(0.9), at(1.0));
        println!(
            "{:?}: {calls} calls, {rang} rang, {} connected, sound after {median:.2?} / {late:.2?} / {worst:.2?} s",
            row.fault,
            heard.len()
        );
        if share < row.least || median.is_none_or(|median| median > row.median) {
            wrong.push(format!("{:?}: {share}, {median:?}", row.fault));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn set_all(lab: &FaultLab, faults: WireFaults) {
    let wires = lab.turn_wires.iter().flatten();
    wires.for_each(|wire| wire.set(faults));
}

/// Whether it rang, and if so, how many seconds after the answer both heard.
fn one_call(lab: &FaultLab) -> Option<Option<f64>> {
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let [caller, callee] = &phones.0;
    let out = caller.dial(&lab.engines[1].lines[0].number);
    let into = callee.incoming(PATIENCE)?;
    sleep(Duration::from_millis(500));
    callee.answer(&into);
    let answered = Instant::now();
    let heard = [
        caller.hears(&out, 1, answered, PATIENCE),
        callee.hears(&into, 0, answered, PATIENCE),
    ];
    phones.clear(&[out, into]);
    let [Some(one), Some(other)] = heard else {
        return Some(None);
    };
    Some(Some((one.max(other) - answered).as_secs_f64()))
}
