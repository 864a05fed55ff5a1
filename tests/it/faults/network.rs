//! The first engine's network changes, goes down and comes back, in namespaces that the test makes: how long until the engine can be rung
//! again, and until both phones of a call hear each other again.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{
    fault_lab::FaultLab,
    lab_plan::LabPlan,
    networks::{IPV6_UPLINK, Networks, SERVERS, SERVERS_IPV6},
    program::{real_time, skipped},
};

use super::{
    Fault, Play, caught,
    scene::{Lane, Phones, SOON, Seen, over},
    table::{self, Row},
};

pub(super) const FAULTS: [Fault; 7] = [
    Fault {
        name: "network: another address while idle",
        expected: "rung within 3 s",
        briefly: 1,
        play: Play::Moving(|lab, networks, number| idle(lab, networks, number, Change::Seamless)),
    },
    Fault {
        name: "network: down for 2 s while idle, then another",
        expected: "rung within 3 s of the new address",
        briefly: 1,
        play: Play::Moving(|lab, networks, number| idle(lab, networks, number, Change::After2s)),
    },
    Fault {
        name: "network: down for 30 s while idle, the same again",
        expected: "rung within 3 s of the address",
        briefly: 0,
        play: Play::Moving(|lab, networks, number| idle(lab, networks, number, Change::Back)),
    },
    Fault {
        name: "network: another address in a call",
        expected: "both hear each other within 2 s; no phone is told",
        briefly: 1,
        play: Play::Moving(|lab, networks, number| {
            talking(lab, networks, number, Change::Seamless)
        }),
    },
    Fault {
        name: "network: down for 2 s in a call, then another",
        expected: "both hear each other within 2 s of the new address; no phone is told",
        briefly: 1,
        play: Play::Moving(|lab, networks, number| talking(lab, networks, number, Change::After2s)),
    },
    Fault {
        name: "network: from IPv4 to IPv6 in a call, and back",
        expected: "both hear each other within 2 s each time; no phone is told",
        briefly: 1,
        play: Play::Moving(to_ipv6_and_back),
    },
    Fault {
        name: "network: a translator forgets the engine in a call",
        expected: "both hear each other within 2 s; no phone is told",
        briefly: 1,
        play: Play::Moving(is_forgotten),
    },
];

/// Tries the faults of networks; nothing without the rights for namespaces.
pub(super) fn try_in(faults: Vec<Fault>, tries: fn(&Fault) -> usize) -> Vec<Row> {
    let mut rows: Vec<_> = faults.into_iter().map(Row::new).collect();
    let Some(networks) = Networks::lay() else {
        skipped("no network namespaces: they need root and iproute2");
        return rows;
    };
    networks.world.inside(|| {
        let plan = LabPlan {
            servers: SERVERS,
            turn_ipv6: Some(SERVERS_IPV6),
            first: Some(&networks.home),
            ..LabPlan::default()
        };
        let mut lab = FaultLab::start(real_time(), 1, &plan);
        for row in &mut rows {
            let fault = row.fault;
            let Play::Moving(play) = fault.play else {
                continue;
            };
            for number in 0..tries(&fault) {
                let result = caught(|| {
                    lab.wait_ready();
                    play(&mut lab, &networks, number)
                });
                table::print_try(&fault, &result);
                if !result.wrong.is_empty() {
                    table::print_logs(&lab);
                }
                row.add(result);
            }
        }
    });
    rows
}

#[derive(Clone, Copy)]
enum Change {
    Seamless,
    After2s,
    Back,
}

impl Change {
    /// Carries it out; returns when the last address came. In turns an uplink goes down at the house's end and at the other.
    fn befall(self, networks: &Networks, number: usize) -> Instant {
        let uplink = networks.uplink();
        let other = 1 - uplink;
        match self {
            Self::Seamless => networks.move_to(other),
            Self::After2s if number % 2 == 1 => {
                networks.plug(uplink, false);
                sleep(Duration::from_secs(2));
                networks.move_to(other);
                let moved = Instant::now();
                networks.plug(uplink, true);
                return moved;
            }
            Self::After2s => {
                networks.disconnect(uplink);
                sleep(Duration::from_secs(2));
                networks.connect(other);
            }
            Self::Back => {
                networks.disconnect(uplink);
                sleep(Duration::from_secs(30));
                networks.connect(uplink);
            }
        }
        Instant::now()
    }
}

/// The engine is rung again and again, each time by another call, until its phone rings.
fn idle(lab: &mut FaultLab, networks: &Networks, number: usize, change: Change) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    // So long that the connections were good ones, and at another moment of the looks each time.
    sleep(Duration::from_millis(1_500 + 137 * number as u64));
    let there = change.befall(networks, number);
    let rung = ring_until_heard(lab, &phones, there);
    seen.within("rung after the new address", there, rung, 3.0);
    seen
}

/// When the first engine's phone rang, for a call that began at the moment, or one of its successors.
fn ring_until_heard(lab: &FaultLab, phones: &Phones, from: Instant) -> Option<Instant> {
    let [first, second] = &phones.0;
    let number = &lab.engines[0].lines[0].number;
    while from.elapsed() < Duration::from_secs(90) {
        let call = second.dial(number);
        let into = first.incoming(Duration::from_millis(600));
        let at = Instant::now();
        second.hang_up(&call);
        second.when(&call, SOON, over);
        if let Some(into) = into {
            first.when(&into, SOON, over);
            return Some(at);
        }
    }
    None
}

/// In turns the caller moves and the callee.
fn lane(lab: &FaultLab, number: usize) -> Lane<'_> {
    let Lane {
        caller: one,
        callee: two,
        engines: [here, there],
    } = Lane::of(lab, 0);
    match number / 2 % 2 {
        0 => Lane::of(lab, 0),
        _ => Lane {
            caller: two,
            callee: one,
            engines: [there, here],
        },
    }
}

fn talking(lab: &mut FaultLab, networks: &Networks, number: usize, change: Change) -> Seen {
    in_a_call(lab, number, |phones, calls, seen| {
        let there = change.befall(networks, number);
        hear(phones, calls, there, seen);
    })
}

/// Only the TURN server has an address of IPv6 here, so that no ring comes while the house has no IPv4.
fn to_ipv6_and_back(lab: &mut FaultLab, networks: &Networks, number: usize) -> Seen {
    in_a_call(lab, number, |phones, calls, seen| {
        let uplink = networks.uplink();
        for next in [IPV6_UPLINK, uplink] {
            networks.move_to(next);
            hear(phones, calls, Instant::now() + LEFT_OVER, seen);
            sleep(Duration::from_secs(2));
        }
    })
}

fn is_forgotten(lab: &mut FaultLab, _: &Networks, number: usize) -> Seen {
    in_a_call(lab, number, |phones, calls, seen| {
        let fault = Instant::now();
        lab.turn_wires[0][0].forget_mappings();
        hear(phones, calls, fault + LEFT_OVER, seen);
    })
}

/// Something befalls a call that runs, at another moment of the looks at the network each time.
fn in_a_call(
    lab: &FaultLab,
    number: usize,
    befall: impl FnOnce(&Phones, &[String; 2], &mut Seen),
) -> Seen {
    let mut seen = Seen::default();
    let lane = lane(lab, number);
    let phones = lane.phones(Transport::Udp);
    let calls = phones.talk(&lane.callee.number);
    sleep(Duration::from_millis(1_500 + 137 * number as u64));
    let fault = Instant::now();
    befall(&phones, &calls, &mut seen);
    finish(&phones, &calls, fault, &mut seen);
    seen
}

/// What was on its way when the fault came.
const LEFT_OVER: Duration = Duration::from_millis(50);

fn hear(phones: &Phones, calls: &[String; 2], since: Instant, seen: &mut Seen) {
    let [caller, callee] = &phones.0;
    let at = caller.hears(&calls[0], 1, since, SOON);
    seen.within("caller hears again", since, at, 2.0);
    let at = callee.hears(&calls[1], 0, since, SOON);
    seen.within("callee hears again", since, at, 2.0);
}

/// The gaps, once all is over; and the call's end.
fn finish(phones: &Phones, calls: &[String; 2], fault: Instant, seen: &mut Seen) {
    sleep(Duration::from_secs(1));
    for (whose, gap) in phones.gaps(calls, fault, Instant::now()) {
        seen.figures.push((whose, Some(gap.as_secs_f64())));
    }
    seen.holds("the call is up on both sides", phones.are_up(calls));
    phones.clear(calls);
}
