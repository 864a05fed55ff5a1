//! The path of a call is lost, and the call goes on: what both phones hear of it, in seconds.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::fault_lab::FaultLab;

use super::{
    Fault, Play,
    scene::{Lane, SOON, Seen},
};

pub(super) const FAULTS: [Fault; 2] = [
    Fault {
        name: "one side's TURN server restarted in a call, back after 1 s",
        expected: "both hear each other within 2 s of its return; no phone is told",
        briefly: 2,
        play: Play::Alone(|lab, number| restarts(lab, number, Duration::from_secs(1))),
    },
    Fault {
        name: "one side's TURN server restarted in a call, back after 5 s",
        expected: "both hear each other within 2 s of its return; no phone is told",
        briefly: 0,
        play: Play::Alone(|lab, number| restarts(lab, number, Duration::from_secs(5))),
    },
];

/// In turns the caller's and the callee's server. It has forgotten everything when it is back.
fn restarts(lab: &mut FaultLab, number: usize, away: Duration) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let callee = lab.engines[1].lines[0].number.clone();
    let calls = phones.talk(&callee);
    sleep(Duration::from_secs(1));
    let server = &mut lab.coturns[number % 2];
    let fault = Instant::now();
    server.kill();
    sleep(away);
    server.restart();
    let back = Instant::now();
    let [caller, callee] = &phones.0;
    let at = caller.hears(&calls[0], 1, back, SOON);
    seen.within("caller hears after the return", back, at, 2.0);
    let at = callee.hears(&calls[1], 0, back, SOON);
    seen.within("callee hears after the return", back, at, 2.0);
    sleep(Duration::from_secs(1));
    for (whose, gap) in phones.gaps(&calls, fault, Instant::now()) {
        seen.figures.push((whose, Some(gap.as_secs_f64())));
    }
    seen.holds("the call is up on both sides", phones.are_up(&calls));
    phones.clear(&calls);
    seen
}
