//! The engine's process ends in each state of a call, and starts anew: what its own phones and the other side's are told, and when
//! the own phone rings again without having registered.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{fault_lab::FaultLab, program::Signal};

use super::{
    Fault, Play,
    scene::{Lane, Phones, SOON, Seen, over},
};

/// Longer than an unanswered call lasts.
const LONG: Duration = Duration::from_secs(35);

pub(super) const FAULTS: [Fault; 7] = [
    Fault {
        name: "SIGTERM while talking",
        expected: "both phones are told at once; the phone rings after the restart",
        briefly: 2,
        play: Play::Alone(|lab, number| ends(lab, number, Ending::Term, State::Talking)),
    },
    Fault {
        name: "SIGTERM while ringing",
        expected: "the own phone is told at once",
        briefly: 1,
        play: Play::Alone(|lab, number| ends(lab, number, Ending::Term, State::Ringing)),
    },
    Fault {
        name: "SIGTERM in the milliseconds of the answer",
        expected: "both phones are told at once",
        briefly: 1,
        play: Play::Alone(|lab, number| ends(lab, number, Ending::Term, State::Answering)),
    },
    Fault {
        name: "kill -9 while talking, restart after 0.1 s",
        expected: "both phones are told within 3 s of the restart",
        briefly: 2,
        play: Play::Alone(|lab, number| ends(lab, number, Ending::Kill, State::Talking)),
    },
    Fault {
        name: "kill -9 while ringing, restart after 0.1 s",
        expected: "the phones that ring or wait are told within 3 s of the restart",
        briefly: 2,
        play: Play::Alone(|lab, number| ends(lab, number, Ending::Kill, State::Ringing)),
    },
    Fault {
        name: "kill -9 in the milliseconds of the answer, restart after 0.1 s",
        expected: "the own phone is told within 3 s of the restart",
        briefly: 1,
        play: Play::Alone(|lab, number| ends(lab, number, Ending::Kill, State::Answering)),
    },
    Fault {
        name: "restart while idle, by kill -9 or SIGTERM",
        expected: "the phone rings without registering anew",
        briefly: 1,
        play: Play::Alone(restarts_while_idle),
    },
];

/// How the process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Term,
    Kill,
}

/// How far the call is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ringing,
    Answering,
    Talking,
}

impl Ending {
    /// Ends one engine's process. Returns the moment from which seconds count: that of the signal, or that of the restart.
    fn befall(self, lab: &mut FaultLab, side: usize, seen: &mut Seen) -> Instant {
        let engine = &mut lab.engines[side];
        let mut from = Instant::now();
        match self {
            Self::Term => {
                engine.signal(Signal::TERM);
                seen.holds(
                    "it ends within 4 s",
                    engine.ends_within(Duration::from_secs(4)),
                );
            }
            Self::Kill => {
                engine.kill();
                sleep(Duration::from_millis(100));
                from = Instant::now();
            }
        }
        seen.holds("it starts again", engine.start_again());
        from
    }
}

/// A person lets a phone ring for longer than this. What ends the call is on the disk some milliseconds after the phone began to ring,
/// on a busy machine some hundred; an engine that is killed before that leaves the phone as it is, because no call waits for a disk.
const RINGS: Duration = Duration::from_secs(1);

/// In turns the caller's and the callee's engine end. With each pair of tries the end comes two milliseconds later after the answer.
fn ends(lab: &mut FaultLab, number: usize, ending: Ending, state: State) -> Seen {
    let mut seen = Seen::default();
    let (side, later) = (number % 2, number as u64 / 2 * 2);
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let callee = lab.engines[1].lines[0].number.clone();
    let calls = match state {
        State::Talking => phones.talk(&callee),
        State::Ringing | State::Answering => phones.ring(&callee),
    };
    match state {
        State::Answering => {
            if ending == Ending::Kill {
                sleep(RINGS);
            }
            phones.0[1].answer(&calls[1]);
            sleep(Duration::from_millis(later));
        }
        State::Ringing | State::Talking => sleep(RINGS),
    }
    let from = ending.befall(lab, side, &mut seen);
    let told = |side: usize, patience| phones.0[side].when(&calls[side], patience, over);
    seen.within("own phone told", from, told(side, LONG), 3.0);
    match (state, side) {
        (State::Talking, _) | (State::Ringing, 0) => {
            seen.within("other phone told", from, told(1 - side, LONG), 3.0);
        }
        (State::Answering, 0) if ending == Ending::Term => {
            seen.within("other phone told", from, told(1, LONG), 3.0);
        }
        // The answer may not have been sent: then the caller waits as if nobody had answered.
        (State::Answering, _) => {
            seen.note("other phone over", from, told(1 - side, LONG));
        }
        // A callee's engine tells nobody that it stops.
        (State::Ringing, _) => {}
    }
    phones.clear(&calls);
    lab.engines[side].wait_ready();
    rings(lab, side, &phones, Instant::now(), &mut seen);
    seen
}

fn restarts_while_idle(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    // A registration is on the disk some milliseconds after its response.
    sleep(Duration::from_secs(1));
    let (ending, side) = ([Ending::Kill, Ending::Term][number % 2], number / 2 % 2);
    let from = ending.befall(lab, side, &mut seen);
    seen.within("started", from, Some(Instant::now()), 10.0);
    lab.engines[side].wait_ready();
    seen.within("relay and TURN ready", from, Some(Instant::now()), 15.0);
    rings(lab, side, &phones, Instant::now(), &mut seen);
    seen
}

/// The phone of a restarted engine is called. It has not registered since.
fn rings(lab: &FaultLab, side: usize, phones: &Phones, from: Instant, seen: &mut Seen) {
    let other = &phones.0[1 - side];
    let call = other.dial(&lab.engines[side].lines[0].number);
    let into = phones.0[side].incoming(SOON);
    let rung = into.as_ref().map(|_| Instant::now());
    seen.within("rings after the restart", from, rung, 3.0);
    other.hang_up(&call);
    if let Some(into) = into {
        phones.0[side].when(&into, SOON, over);
    }
    other.when(&call, SOON, over);
}
