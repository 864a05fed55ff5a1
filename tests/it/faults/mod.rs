//! Faults with real processes: engines that are killed, phones that die, clocks that jump, relays and TURN servers that are lost, networks
//! that change, and what the phones of both sides hear and see of it, in seconds.
//!
//! A short form with each fault once is among the ordinary tests. `tests/run --faults` tries each twenty times, prints a table and
//! writes `target/faults.json`; with a word in `RINGFENCE_FAULT`, only faults with that word in their name. The same behaviour in simulated time, with its edges, is in `restarts` and `dead_phones`.

mod clocks;
mod files;
mod network;
mod paths;
mod phones;
mod relays;
mod restarts;
mod scene;
mod soak;
mod table;
mod ways;
mod wires;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread,
};

use ringfence_tests::{
    fault_lab::FaultLab,
    lab_plan::LabPlan,
    networks::Networks,
    program::{installed, real_time},
};

use scene::{Lane, Seen};
use table::Row;

/// Pairs of lines on which faults of phones are tried at the same time.
const LANES: usize = 5;
/// How often the long form tries each fault.
const TRIES: usize = 20;

/// A fault, what is expected, and how it is tried. The number of the try varies who is hit and when.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    name: &'static str,
    expected: &'static str,
    /// Tries in the short form; 0 while the engine does not do what is expected.
    briefly: usize,
    play: Play,
}

/// A fault of an engine needs the lab for itself; a fault of a phone needs two lines.
#[derive(Clone, Copy)]
enum Play {
    Alone(fn(&mut FaultLab, usize) -> Seen),
    Beside(fn(&Lane<'_>, usize) -> Seen),
    Moving(fn(&mut FaultLab, &Networks, usize) -> Seen),
}

/// Where faults are tried.
#[derive(Clone, Copy)]
enum LabKind {
    /// Each engine's settings name one TURN server.
    OneServer,
    /// Each engine's settings name two.
    TwoServers,
    /// Each engine's settings name one TURN server, over TLS.
    Tls,
    /// The first engine has several networks.
    Networks,
}

/// The faults of a lab. Those of an engine that lost its contacts are the last: it is unhealthy until a person has acted.
fn faults_of(kind: LabKind) -> Vec<Fault> {
    let rooms = match kind {
        LabKind::OneServer => vec![
            phones::FAULTS.as_slice(),
            &restarts::FAULTS,
            &clocks::FAULTS,
            &relays::FAULTS,
            &paths::FAULTS,
            &files::FAULTS,
        ],
        LabKind::TwoServers => vec![ways::FAULTS.as_slice()],
        LabKind::Tls => vec![ways::TLS_FAULTS.as_slice()],
        LabKind::Networks => vec![network::FAULTS.as_slice()],
    };
    let word = std::env::var("RINGFENCE_FAULT").unwrap_or_default();
    let faults = rooms.into_iter().flatten().copied();
    faults.filter(|fault| fault.name.contains(&word)).collect()
}

#[test]
fn calls_and_phones_outlive_restarts_dead_phones_lost_paths_and_wrong_clocks() {
    try_all(|fault| fault.briefly);
}

#[test]
#[ignore = "takes hours: tests/run --faults"]
fn every_fault_twenty_times() {
    try_all(|_| TRIES);
}

fn try_all(tries: fn(&Fault) -> usize) {
    if !installed(&["turnserver", "cc"]) {
        return;
    }
    let mut rows = Vec::new();
    for kind in [
        LabKind::OneServer,
        LabKind::TwoServers,
        LabKind::Tls,
        LabKind::Networks,
    ] {
        let faults = faults_of(kind);
        if faults.iter().all(|fault| tries(fault) == 0) {
            continue;
        }
        let plan = LabPlan {
            names_both: matches!(kind, LabKind::TwoServers),
            is_tls: matches!(kind, LabKind::Tls),
            ..LabPlan::default()
        };
        rows.extend(match kind {
            LabKind::OneServer | LabKind::TwoServers | LabKind::Tls => try_in(
                &mut FaultLab::start(real_time(), LANES, &plan),
                faults,
                tries,
            ),
            LabKind::Networks => network::try_in(faults, tries),
        });
    }
    table::print(&rows);
    table::store(&rows);
    let wrong: Vec<_> = rows.iter().filter_map(Row::complaint).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn try_in(lab: &mut FaultLab, faults: Vec<Fault>, tries: fn(&Fault) -> usize) -> Vec<Row> {
    // The faults of phones at the same time, each on a pair of lines of its own.
    let work = faults.iter().enumerate().flat_map(|(place, fault)| {
        let Play::Beside(play) = fault.play else {
            return Vec::new();
        };
        (0..tries(fault))
            .map(|number| (place, number, play))
            .collect()
    });
    let work: Mutex<VecDeque<_>> = Mutex::new(work.collect());
    let seen = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in 0..LANES {
            let (lane, work, seen, faults) = (Lane::of(lab, lane), &work, &seen, &faults);
            scope.spawn(move || {
                let next = || lock(work).pop_front();
                while let Some((place, number, play)) = next() {
                    let result = caught(|| play(&lane, number));
                    table::print_try(&faults[place], &result);
                    lock(seen).push((place, result));
                }
            });
        }
    });
    let mut rows: Vec<_> = faults.into_iter().map(Row::new).collect();
    for (place, result) in seen.into_inner().unwrap_or_else(PoisonError::into_inner) {
        rows[place].add(result);
    }
    for row in &mut rows {
        let fault = row.fault;
        if let Play::Alone(play) = fault.play {
            for number in 0..tries(&fault) {
                let result = caught(|| {
                    lab.wait_ready();
                    play(lab, number)
                });
                table::print_try(&fault, &result);
                if !result.wrong.is_empty() {
                    table::print_logs(lab);
                }
                row.add(result);
            }
        }
    }
    rows
}

/// A try that fails on the way to its fault is a complaint, too.
fn caught(play: impl FnOnce() -> Seen) -> Seen {
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Seen::failed(text.unwrap_or_default())
    })
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
