//! Calls of Linphone and of baresip with Opus: two phones of one model in each call, both models at once. These phones' pace is their own
//! and may tell them apart, so the learner gets sizes and headers alone.

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_tests::{
    real_phone::{PhoneAccount, PhoneModel, RealPhone},
    tone::HIGH,
};

use super::lab::{Lab, Lot, RecordedCall};
use super::scene::{CYCLE, SETTLE};

const MODELS: [(PhoneModel, &str); 2] = [
    (PhoneModel::Linphone, "linphone"),
    (PhoneModel::Baresip, "baresip"),
];
const KINDS: [&str; 4] = ["speech", "silence", "digits", "hold"];
/// Calls at once: more phones than these would wait for each other on two cores.
const CALLS: usize = 4;
const CYCLES: u32 = 3;
const SOON: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(8);

struct Call {
    record: RecordedCall,
    kind: &'static str,
    /// The phone of each engine.
    phones: [RealPhone; 2],
}

/// Makes so many batches of calls, and writes them into a folder ([`Lab::start`]).
pub(super) fn record_phones(batches: usize, folder: &Path) {
    let mut lab = Lab::start(CALLS, folder);
    let mut lot = Lot::new(14);
    for _ in 0..batches {
        let kinds = lot.shuffled(&KINDS, CALLS);
        let calls = kinds.into_iter().enumerate();
        let mut calls: Vec<_> = calls
            .map(|(place, kind)| set_up(&mut lab, &mut lot, place, kind))
            .collect();
        sleep(SETTLE);
        let begin = Instant::now();
        for call in &mut calls {
            call.record.begin = begin;
        }
        for cycle in 0..CYCLES {
            run_cycle(&mut calls, begin + CYCLE * cycle);
        }
        for call in &mut calls {
            sleep(lot.between(200, 1_000));
            call.record.end = Instant::now();
            call.phones[call.record.ender].command("hang-up");
        }
        sleep(FAREWELL);
        for call in calls {
            lab.write(&call.record, CYCLES);
        }
    }
    lab.finish();
}

/// Starts two phones of a model, and connects them.
fn set_up(lab: &mut Lab, lot: &mut Lot, place: usize, kind: &'static str) -> Call {
    let [caller, ender] = [(); 2].map(|()| lot.below(2));
    let (model, name) = MODELS[place % MODELS.len()];
    let line = |engine: usize| lab.deployment.line(engine, place);
    let mut phones = [0, 1].map(|engine| {
        let account = PhoneAccount {
            codecs: "opus",
            // The first engine's phone is the one that does things; a tone of 0 Hz is silence.
            microphone: if kind == "silence" && engine == 0 {
                0.0
            } else {
                HIGH
            },
            contact: &line(1 - engine).number,
            ..PhoneAccount::plain(&line(engine).user, &line(engine).password, line(engine).udp)
        };
        RealPhone::start(model, &account)
    });
    phones.iter_mut().for_each(RealPhone::wait_registered);
    let number = line(1 - caller).number.clone();
    let dialled = Instant::now();
    phones[caller].command(&format!("call {number}"));
    phones[1 - caller].wait_call("incoming", SOON);
    phones[1 - caller].command("answer");
    for phone in &mut phones {
        phone.wait_call("talking", SOON);
    }
    let record = RecordedCall {
        kind: format!("{name} {kind}"),
        caller,
        ender,
        flows: lab.next_flows(),
        dialled,
        begin: dialled,
        end: dialled,
    };
    Call {
        record,
        kind,
        phones,
    }
}

/// Ten seconds in which keys are pressed and calls are held and resumed.
fn run_cycle(calls: &mut [Call], begin: Instant) {
    for (seconds, kind, command) in [
        (1, "hold", "hold"),
        (2, "digits", "digits 12"),
        (5, "digits", "digits 345"),
        (7, "hold", "resume"),
    ] {
        let at = begin + Duration::from_secs(seconds);
        sleep(at.saturating_duration_since(Instant::now()));
        for call in calls.iter_mut().filter(|call| call.kind == kind) {
            call.phones[0].command(command);
        }
    }
    let end = begin + CYCLE;
    sleep(end.saturating_duration_since(Instant::now()));
}
