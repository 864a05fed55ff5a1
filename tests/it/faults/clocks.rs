//! Wall clocks that are wrong, jump, or have gone on while the machine slept. Last of all, because the world's clocks never go back.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{coturn::CoturnServer, fault_lab::FaultLab, program::Signal};

use super::{
    Fault, Play,
    paths::both_hear,
    scene::{Lane, Phones, SOON, Seen, over},
};

pub(super) const FAULTS: [Fault; 4] = [
    Fault {
        name: "the clock jumps in a call",
        expected: "no gap; the hang-up crosses",
        briefly: 1,
        play: Play::Alone(jumps_in_a_call),
    },
    Fault {
        name: "the clock jumps by an hour in a call while one side's TURN server is away for 5 s",
        expected: "both hear each other within 2 s of its return; the hang-up crosses",
        briefly: 1,
        play: Play::Alone(jumps_in_an_outage),
    },
    Fault {
        name: "the clock is 65 s wrong",
        expected: "status and health name the clock",
        briefly: 1,
        play: Play::Alone(is_wrong),
    },
    Fault {
        name: "the machine slept for 2 h",
        expected: "the first call works, in and out",
        briefly: 1,
        play: Play::Alone(slept),
    },
];

/// Two hours, in seconds.
const SLEEP: i64 = 7_200;

fn jumps_in_a_call(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let jump = [120, -120, 3_600, -3_600][number % 4];
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    let begin = Instant::now();
    lab.engines[0].clock.jump(jump);
    sleep(Duration::from_secs(4));
    seen.holds("the call stays", phones.are_up(&calls));
    for (what, gap) in phones.gaps(&calls, begin, Instant::now()) {
        seen.within(what, begin, Some(begin + gap), 0.5);
    }
    let hung_up = Instant::now();
    phones.0[0].hang_up(&calls[0]);
    let told = phones.0[1].when(&calls[1], SOON, over);
    seen.within("the other phone is told", hung_up, told, 2.0);
    lab.engines[0].clock.jump(-jump);
    phones.clear(&calls);
    seen
}

/// In turns forward and back, of the caller's machine and the callee's, while the caller's server is away and the callee's.
fn jumps_in_an_outage(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let (jump, side, server) = ([3_600, -3_600][number % 2], number / 2 % 2, number / 4 % 2);
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    sleep(Duration::from_secs(1));
    let fault = Instant::now();
    lab.coturns[server].kill();
    sleep(Duration::from_secs(2));
    lab.engines[side].clock.jump(jump);
    sleep(Duration::from_secs(3));
    lab.coturns[server].restart();
    both_hear(&phones, &calls, (fault, Instant::now()), &mut seen);
    let hung_up = Instant::now();
    phones.0[0].hang_up(&calls[0]);
    let told = phones.0[1].when(&calls[1], SOON, over);
    seen.within("the other phone is told", hung_up, told, 2.0);
    lab.engines[side].clock.jump(-jump);
    phones.clear(&calls);
    seen
}

fn is_wrong(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    // Without a phone the engine is unhealthy for that reason.
    let _phones = Lane::of(lab, 0).phones(Transport::Udp);
    let engine = &mut lab.engines[0];
    let jump = [65, -65][number % 2];
    engine.clock.jump(jump);
    let begin = Instant::now();
    let named = wait(|| names_the_clock(&engine.status()));
    seen.within("status names the clock", begin, named, 20.0);
    let named = wait(|| !engine.health().starts_with("ok"));
    seen.within("health is not ok", begin, named, 20.0);
    engine.clock.jump(-jump);
    let begin = Instant::now();
    let healthy = || engine.health().starts_with("ok") && !names_the_clock(&engine.status());
    seen.within("all is well again", begin, wait(healthy), 20.0);
    seen
}

fn names_the_clock(status: &serde_json::Value) -> bool {
    let warnings = status["warnings"].as_array().into_iter().flatten();
    let mut texts = warnings.filter_map(|warning| warning["what"].as_str());
    texts.any(|text| text.contains("clock"))
}

fn wait(mut holds: impl FnMut() -> bool) -> Option<Instant> {
    let give_up = Instant::now() + Duration::from_secs(40);
    while Instant::now() < give_up {
        if holds() {
            return Some(Instant::now());
        }
        sleep(Duration::from_millis(200));
    }
    None
}

/// The first engine's machine sleeps. While it does, the world's clocks go on, its TURN allocation ends with its lifetime, and the
/// other engine starts anew, so that no jump of its own clock is measured. Outgoing and incoming calls come first in turns.
fn slept(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    lab.engines[0].signal(Signal::STOP);
    lab.book_clock.jump(SLEEP);
    lab.engines[1].kill();
    lab.engines[1].clock.jump(SLEEP);
    lab.coturns.iter_mut().for_each(CoturnServer::restart);
    assert!(lab.engines[1].start_again(), "the other engine starts");
    lab.engines[1].wait_ready();
    phones.0[1].register();
    phones.0[1].wait_registered();
    sleep(Duration::from_secs(1));
    lab.engines[0].clock.jump(SLEEP);
    lab.engines[0].signal(Signal::CONT);
    let woke = Instant::now();
    let ways = [("first call out", 0), ("first call in", 1)];
    let first = number % 2;
    for (what, from) in [ways[first], ways[1 - first]] {
        let begin = if from == first { woke } else { Instant::now() };
        let heard = call(lab, &phones, from);
        seen.within(what, begin, heard, 5.0);
    }
    seen
}

/// One phone calls the other, which answers at once. Returns when both heard each other.
fn call(lab: &FaultLab, phones: &Phones, from: usize) -> Option<Instant> {
    let to = 1 - from;
    let out = phones.0[from].dial(&lab.engines[to].lines[0].number);
    let into = phones.0[to].incoming(SOON);
    let heard = into.as_ref().and_then(|into| {
        phones.0[to].answer(into);
        let begin = Instant::now();
        let here = phones.0[from].hears(&out, to, begin, SOON)?;
        let there = phones.0[to].hears(into, from, begin, SOON)?;
        Some(here.max(there))
    });
    phones.0[from].hang_up(&out);
    phones.0[from].when(&out, SOON, over);
    if let Some(into) = into {
        phones.0[to].when(&into, SOON, over);
    }
    heard
}
