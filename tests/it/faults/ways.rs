//! The path of a call is lost while there are others: each engine's settings name two TURN servers over UDP and TCP, or one over TLS that takes
//! another connection. What both phones hear of it, in seconds.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{fault_lab::FaultLab, faulty_wire::WireFaults};

use super::{
    Fault, Play,
    paths::both_hear,
    scene::{Lane, Seen},
};

const HEARD: &str = "both hear each other within 2 s of it; no phone is told";

pub(super) const FAULTS: [Fault; 6] = [
    Fault {
        name: "one side's server is not reached any more, another is",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(|lab, number| breaks(lab, &[number % 2], cut)),
    },
    Fault {
        name: "UDP blocked for one side in a call, TCP passes",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(|lab, number| breaks(lab, &[number % 2], block_udp)),
    },
    Fault {
        name: "UDP blocked for both sides in a call, TCP passes",
        expected: HEARD,
        briefly: 0,
        play: Play::Alone(|lab, _| breaks(lab, &[0, 1], block_udp)),
    },
    Fault {
        name: "one side's NAT forgets its mappings in a call",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(|lab, number| breaks(lab, &[number % 2], forget)),
    },
    Fault {
        name: "both sides' NATs forget their mappings in a call",
        expected: HEARD,
        briefly: 0,
        play: Play::Alone(|lab, _| breaks(lab, &[0, 1], forget)),
    },
    Fault {
        name: "TURN over TCP is cut for one side in a call, UDP is blocked",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(tcp_is_cut),
    },
];

/// Of engines that reach their server over TLS alone.
pub(super) const TLS_FAULTS: [Fault; 1] = [Fault {
    name: "TURN over TLS is cut for one side in a call",
    expected: HEARD,
    briefly: 1,
    play: Play::Alone(|lab, number| {
        breaks(lab, &[number % 2], |lab, wires| {
            cut_for_a_moment(lab, wires);
            mend(lab);
        })
    }),
}];

/// What befalls the wires `[engine, wire]` that carry the call.
type Break = fn(&FaultLab, &[[usize; 2]]);

fn breaks(lab: &mut FaultLab, sides: &[usize], befall: Break) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    let carrying: Vec<_> = sides
        .iter()
        .map(|side| [*side, carries(lab, *side)])
        .collect();
    let fault = Instant::now();
    befall(lab, &carrying);
    // What was on its way.
    sleep(Duration::from_millis(50));
    both_hear(
        &phones,
        &calls,
        (fault, fault + Duration::from_millis(50)),
        &mut seen,
    );
    phones.clear(&calls);
    mend(lab);
    seen
}

fn tcp_is_cut(lab: &mut FaultLab, number: usize) -> Seen {
    let side = number % 2;
    block_udp(lab, &[[side, 0]]);
    // Allocations over UDP that wait for a call are noticed to be dead.
    sleep(Duration::from_secs(3));
    let seen = breaks(lab, &[side], |lab, wires| {
        cut_for_a_moment(lab, wires);
        block_udp(lab, wires);
    });
    mend(lab);
    seen
}

/// Nothing passes on these wires, and their connections end.
fn cut(lab: &FaultLab, wires: &[[usize; 2]]) {
    for [engine, wire] in wires {
        lab.turn_wires[*engine][*wire].set(WireFaults {
            is_cut: true,
            ..WireFaults::default()
        });
    }
}

/// The same for so long that both ends of a connection learn of it; what passes after that is set anew.
fn cut_for_a_moment(lab: &FaultLab, wires: &[[usize; 2]]) {
    cut(lab, wires);
    sleep(Duration::from_millis(20));
}

/// UDP is lost on all wires of these engines.
fn block_udp(lab: &FaultLab, wires: &[[usize; 2]]) {
    for [engine, _] in wires {
        for wire in &lab.turn_wires[*engine] {
            wire.set(WireFaults {
                no_udp: [true; 2],
                ..WireFaults::default()
            });
        }
    }
}

fn forget(lab: &FaultLab, wires: &[[usize; 2]]) {
    for [engine, wire] in wires {
        lab.turn_wires[*engine][*wire].forget_mappings();
    }
}

fn mend(lab: &FaultLab) {
    for wire in lab.turn_wires.iter().flatten() {
        wire.set(WireFaults::default());
    }
}

/// The wire on which the most arrives at an engine.
fn carries(lab: &FaultLab, engine: usize) -> usize {
    let passed = || lab.turn_wires[engine].iter().map(|wire| wire.passed());
    let before: Vec<_> = passed().collect();
    sleep(Duration::from_millis(400));
    let passed = passed().zip(before).map(|(now, before)| now - before);
    let busiest = passed.enumerate().max_by_key(|(_, count)| *count);
    busiest.map_or(0, |(wire, _)| wire)
}
