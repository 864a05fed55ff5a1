//! The state folder's disk is full while a call has no path; and files of it that are damaged while the engine is off: cut, with one bit
//! turned, or full of zeros.
//!
//! Power loss alone does no such thing, because files are written beside and renamed. The tests of the keystore damage every byte;
//! here the whole program starts.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{
    fault_lab::FaultLab,
    program::{Signal, skipped},
    small_disk,
};

use super::{
    Fault, Play,
    paths::both_hear,
    scene::{Lane, Seen},
};

pub(super) const FAULTS: [Fault; 4] = [
    Fault {
        name: "the disk is full, and no TURN server there for 3 s, in a call",
        expected: "both hear each other within 2 s of its return; health says what is not saved; it is saved once there is room",
        briefly: 0,
        play: Play::Alone(disk_is_full),
    },
    Fault {
        name: "the call history is damaged",
        expected: "the engine starts without it and says so; calls work",
        briefly: 0,
        play: Play::Alone(|lab, number| starts_without(lab, "ledger.json", number)),
    },
    Fault {
        name: "the contacts are damaged",
        expected: "the engine starts without them and says so; calls work",
        briefly: 1,
        play: Play::Alone(|lab, number| starts_without(lab, "contacts.json", number)),
    },
    Fault {
        name: "a line's file is damaged",
        expected: "it is noticed, with a remedy before a new code",
        briefly: 0,
        play: Play::Alone(line_is_damaged),
    },
];

/// Until the engine has noticed that a disk is full, or has room again: it tries every two seconds.
const NOTICED: Duration = Duration::from_secs(6);

/// Until nothing is left of a call whose hang-up had no echo, and it is written down: `LINGER_IN_OUTAGE` of the engine, and a moment.
const ENDED: Duration = Duration::from_secs(11);

fn disk_is_full(lab: &mut FaultLab, _: usize) -> Seen {
    let mut seen = Seen::default();
    if !lab.engines[0].move_to_small_disk() {
        skipped("no disk of our own");
        return seen;
    }
    lab.wait_ready();
    let state = lab.engines[0].state();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    sleep(Duration::from_secs(1));
    let (fault, before, junk) = (Instant::now(), calls_in(&state), state.join("junk"));
    small_disk::fill(&junk);
    lab.coturns.iter_mut().for_each(|server| server.kill());
    sleep(Duration::from_secs(3));
    lab.coturns.iter_mut().for_each(|server| server.restart());
    both_hear(&phones, &calls, (fault, Instant::now()), &mut seen);
    phones.clear(&calls);
    // The end of the call is written down once its engines are done with it.
    sleep(ENDED);
    let (engine, ended) = (&lab.engines[0], Instant::now());
    let says_so = || engine.health().contains("cannot be saved");
    let said = wait_for(says_so);
    seen.within("health says so", ended, said, NOTICED.as_secs_f64());
    seen.holds("the disk takes nothing", calls_in(&state) == before);
    fs::remove_file(&junk).expect("we made it");
    let emptied = Instant::now();
    let saved = wait_for(|| calls_in(&state) != before && !says_so());
    seen.within("the call is saved", emptied, saved, NOTICED.as_secs_f64());
    lab.engines[0].leave_small_disk();
    seen
}

/// The file with the calls of the past.
fn calls_in(state: &Path) -> Vec<u8> {
    fs::read(state.join("ledger.json")).unwrap_or_default()
}

fn wait_for(holds: impl Fn() -> bool) -> Option<Instant> {
    let give_up = Instant::now() + NOTICED;
    while Instant::now() < give_up {
        if holds() {
            return Some(Instant::now());
        }
        sleep(Duration::from_millis(100));
    }
    None
}

/// Stops the first engine, damages a file of it, and starts it. Returns whether it starts, and what it prints.
fn start_with(lab: &mut FaultLab, file: &Path, number: usize) -> (bool, String) {
    let engine = &mut lab.engines[0];
    engine.signal(Signal::TERM);
    assert!(
        engine.ends_within(Duration::from_secs(5)),
        "it does not end"
    );
    let mut bytes = fs::read(file).expect("the file is there once an engine has run");
    let middle = bytes.len() / 2 + number;
    match number % 3 {
        0 => bytes.truncate(middle),
        1 => bytes[middle] ^= 1 << (number % 8),
        _ => bytes.fill(0),
    }
    fs::write(file, bytes).expect("the folder is ours");
    let starts = engine.start_again();
    (starts, engine.output())
}

/// Puts a whole file back and starts the first engine.
fn restore(lab: &mut FaultLab, file: &Path, whole: &[u8]) {
    let engine = &mut lab.engines[0];
    engine.signal(Signal::TERM);
    engine.ends_within(Duration::from_secs(5));
    fs::write(file, whole).expect("the folder is ours");
    assert!(engine.start_again(), "it does not start with a whole file");
    engine.wait_ready();
}

fn starts_without(lab: &mut FaultLab, name: &str, number: usize) -> Seen {
    let mut seen = Seen::default();
    let file = lab.engines[0].state().join(name);
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let callee = lab.engines[1].lines[0].number.clone();
    // A call, so that there is a history and a contact.
    phones.clear(&phones.talk(&callee));
    sleep(Duration::from_secs(1));
    let whole = fs::read(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (starts, output) = start_with(lab, &file, number);
    seen.holds("it starts", starts);
    seen.holds(
        "it names the file",
        output.contains(name.trim_end_matches(".json")),
    );
    if starts {
        lab.engines[0].wait_ready();
        phones.0[0].register();
        phones.0[0].wait_registered();
        phones.clear(&phones.talk(&callee));
    }
    restore(lab, &file, &whole);
    seen
}

fn line_is_damaged(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let file: PathBuf = {
        let number = &lab.engines[0].lines[1].number;
        lab.engines[0].state().join(format!("lines/{number}.json"))
    };
    let whole = fs::read(&file).expect("each line has a file");
    let (_, output) = start_with(lab, &file, number);
    let name = lab.engines[0].lines[1].number.clone();
    seen.holds("it names the line", output.contains(&name));
    let code = output.find("activation code");
    let backup = output.find("backup");
    seen.holds(
        "a backup is named before a new code",
        code.is_none_or(|code| backup.is_some_and(|backup| backup < code)),
    );
    restore(lab, &file, &whole);
    seen
}
