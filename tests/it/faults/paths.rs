//! The path of a call is lost, and the call goes on: what both phones hear of it, in seconds. Each engine's settings name one TURN server;
//! with more than one, see `ways`.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{fault_lab::FaultLab, faulty_wire::WireFaults};

use super::{
    Fault, Play,
    scene::{Lane, Phones, SOON, Seen, over},
};

/// From the moment at which a TURN server answers to sound at both ears.
pub(super) const BACK: f64 = 2.0;
/// A relay connection that was shorter is tried again less often.
const USED: Duration = Duration::from_secs(4);
/// A call without a path ends after a minute.
const MINUTE: Duration = Duration::from_secs(75);

const HEARD: &str = "both hear each other within 2 s of its return; no phone is told";

pub(super) const FAULTS: [Fault; 10] = [
    Fault {
        name: "one side's TURN server restarted in a call, back after 1 s",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(|lab, number| restarts(lab, &[number % 2], Duration::from_secs(1))),
    },
    Fault {
        name: "one side's TURN server restarted in a call, back after 5 s",
        expected: HEARD,
        briefly: 0,
        play: Play::Alone(|lab, number| restarts(lab, &[number % 2], Duration::from_secs(5))),
    },
    Fault {
        name: "both sides' TURN servers restarted in a call, back after 3 s",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(|lab, _| restarts(lab, &[0, 1], Duration::from_secs(3))),
    },
    Fault {
        name: "the one box rebooted in a call: TURN, relay and phone book away for 5 s",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(|lab, _| reboots(lab, State::Talking)),
    },
    Fault {
        name: "the one box rebooted while both phones are silent, as on hold",
        expected: HEARD,
        briefly: 0,
        play: Play::Alone(|lab, _| reboots(lab, State::Silent)),
    },
    Fault {
        name: "the one box rebooted while it rings, answered after its return",
        expected: "both hear each other within 2.5 s of the answer, which goes over the relay after 2 s",
        briefly: 1,
        play: Play::Alone(|lab, _| reboots(lab, State::Ringing)),
    },
    Fault {
        name: "the one box rebooted while it rings, answered while it is away",
        expected: "both hear each other within 5 s of its return: the answer goes over the relay after 2 s",
        briefly: 0,
        play: Play::Alone(|lab, _| reboots(lab, State::Answering)),
    },
    Fault {
        name: "hung up while the other side's TURN server is away for 5 s",
        expected: "the other phone is told within 2 s of its return, or at once",
        briefly: 0,
        play: Play::Alone(hung_up_in_outage),
    },
    Fault {
        name: "no path for a minute: one side's TURN server stays away",
        expected: "both phones are told within 65 s, with a Reason",
        briefly: 0,
        play: Play::Alone(never_back),
    },
    Fault {
        name: "one direction of one side's wire dead for 20 s",
        expected: "both hear each other within 2 s of its end; no phone is told",
        briefly: 0,
        play: Play::Alone(one_direction),
    },
];

/// How far the call is when the box loses its power.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Talking,
    Silent,
    Ringing,
    Answering,
}

/// The servers have forgotten everything when they are back.
fn restarts(lab: &mut FaultLab, servers: &[usize], away: Duration) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    sleep(Duration::from_secs(1));
    let fault = Instant::now();
    for server in servers {
        lab.coturns[*server].kill();
    }
    sleep(away);
    for server in servers {
        lab.coturns[*server].restart();
    }
    both_hear(&phones, &calls, (fault, Instant::now()), &mut seen);
    phones.clear(&calls);
    seen
}

fn reboots(lab: &mut FaultLab, state: State) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let number = lab.engines[1].lines[0].number.clone();
    let calls = match state {
        State::Talking | State::Silent => phones.talk(&number),
        State::Ringing | State::Answering => phones.ring(&number),
    };
    phones.mute(&calls, state == State::Silent);
    sleep(USED);
    let fault = Instant::now();
    lab.kill_book();
    lab.coturns.iter_mut().for_each(|server| server.kill());
    sleep(Duration::from_secs(1));
    if state == State::Answering {
        phones.0[1].answer(&calls[1]);
    }
    sleep(Duration::from_secs(4));
    lab.coturns.iter_mut().for_each(|server| server.restart());
    lab.restart_book();
    let back = Instant::now();
    match state {
        State::Talking => both_hear(&phones, &calls, (fault, back), &mut seen),
        State::Silent => {
            sleep(Duration::from_secs_f64(BACK));
            phones.mute(&calls, false);
            both_hear(&phones, &calls, (fault, Instant::now()), &mut seen);
        }
        State::Ringing => {
            sleep(Duration::from_secs(1));
            phones.0[1].answer(&calls[1]);
            hears_after(&phones, &calls, Instant::now(), 2.5, &mut seen);
        }
        State::Answering => hears_after(&phones, &calls, back, 5.0, &mut seen),
    }
    phones.clear(&calls);
    seen
}

/// In turns the caller and the callee hang up, while the callee's or the caller's server is away.
fn hung_up_in_outage(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    let (who, server) = (number % 2, number / 2 % 2);
    lab.coturns[server].kill();
    sleep(Duration::from_secs(2));
    phones.0[who].hang_up(&calls[who]);
    sleep(Duration::from_secs(3));
    lab.coturns[server].restart();
    let back = Instant::now();
    let told = phones.0[1 - who].when(&calls[1 - who], MINUTE, over);
    seen.within("other phone told after the return", back, told, BACK);
    phones.clear(&calls);
    seen
}

fn never_back(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    let fault = Instant::now();
    lab.coturns[number % 2].kill();
    for (name, side) in [("caller told", 0), ("callee told", 1)] {
        let told = phones.0[side].when(&calls[side], MINUTE, over);
        seen.within(name, fault, told, 65.0);
        let reason = phones.0[side].log(&calls[side]).reason;
        seen.holds("a phone is told a Reason", reason.is_some());
    }
    lab.coturns[number % 2].restart();
    seen
}

/// In turns what one engine sends, and what it receives, is lost.
fn one_direction(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    let fault = Instant::now();
    let wire = &lab.turn_wires[number / 2 % 2][0];
    let no_udp = [number.is_multiple_of(2), !number.is_multiple_of(2)];
    wire.set(WireFaults {
        no_udp,
        ..WireFaults::default()
    });
    sleep(Duration::from_secs(20));
    wire.set(WireFaults::default());
    both_hear(&phones, &calls, (fault, Instant::now()), &mut seen);
    phones.clear(&calls);
    seen
}

/// Both hear each other soon after the moment at which the fault is over, and no phone was told of it.
pub(super) fn both_hear(
    phones: &Phones,
    calls: &[String; 2],
    (fault, back): (Instant, Instant),
    seen: &mut Seen,
) {
    hears_after(phones, calls, back, BACK, seen);
    sleep(Duration::from_secs(1));
    for (whose, gap) in phones.gaps(calls, fault, Instant::now()) {
        seen.figures.push((whose, Some(gap.as_secs_f64())));
    }
    seen.holds("the call is up on both sides", phones.are_up(calls));
}

fn hears_after(phones: &Phones, calls: &[String; 2], since: Instant, limit: f64, seen: &mut Seen) {
    let [caller, callee] = &phones.0;
    let at = caller.hears(&calls[0], 1, since, SOON);
    seen.within("caller hears", since, at, limit);
    let at = callee.hears(&calls[1], 0, since, SOON);
    seen.within("callee hears", since, at, limit);
}
