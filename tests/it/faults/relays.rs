//! The relay is lost, slow or still in the middle of a call set-up: what both phones hear of it, in seconds.

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

const HEARD: &str = "both hear each other within 2 s of the answer";
/// From the answer of a person to sound.
const ANSWERED: f64 = 2.0;
/// A call that nobody answers is over by then.
const UNANSWERED: Duration = Duration::from_secs(35);

pub(super) const FAULTS: [Fault; 8] = [
    Fault {
        name: "callee's relay connection lost while it rings, answered meanwhile",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(|lab, number| {
            let away = [3, 20][number % 2];
            answered_during(lab, CUT, Duration::from_secs(away))
        }),
    },
    Fault {
        name: "callee's relay connection stands still, answered meanwhile",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(|lab, number| {
            let still = [1, 3, 10][number % 3];
            answered_during(lab, STILL, Duration::from_secs(still))
        }),
    },
    Fault {
        name: "relay restarted between ring and answer",
        expected: HEARD,
        briefly: 1,
        play: Play::Alone(restarted),
    },
    Fault {
        name: "cancelled while the callee's relay connection is away for 3 s",
        expected: "the phone stops within 15 s of its return: an envelope comes within 7 s, and the first may be too early",
        briefly: 1,
        play: Play::Alone(cancelled),
    },
    Fault {
        name: "dialled while the caller's relay connection is away for 3 s",
        expected: "it rings within 2 s of its return",
        briefly: 1,
        play: Play::Alone(dialled),
    },
    Fault {
        name: "a ring delivered 8 s late, whose caller has gone after 3 s",
        expected: "the phone stops when the cancel comes, 8 s late too: it rings for 7 s at most",
        briefly: 0,
        play: Play::Alone(late),
    },
    Fault {
        name: "relay with a round trip of 8 s",
        expected: "it rings within 10 s, and both hear each other within 2 s of the answer",
        briefly: 0,
        play: Play::Alone(slow),
    },
    Fault {
        name: "callee's relay connection half-open while idle",
        expected: "noticed within 20 s; it rings within 3 s of the end",
        briefly: 0,
        play: Play::Alone(half_open),
    },
];

const CUT: WireFaults = WireFaults {
    is_cut: true,
    ..SOUND
};
const STILL: WireFaults = WireFaults {
    stalls: true,
    ..SOUND
};
const SOUND: WireFaults = WireFaults {
    no_udp: [false; 2],
    loss: 0.0,
    burst: 0.0,
    is_burst_exact: false,
    rate: None,
    jitter: Duration::ZERO,
    delay: [Duration::ZERO; 2],
    stalls: false,
    is_cut: false,
};

/// The callee picks up half a second after its wire to the relay broke; the wire is whole again later.
fn answered_during(lab: &mut FaultLab, faults: WireFaults, lasts: Duration) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.ring(&lab.engines[1].lines[0].number);
    let wire = &lab.relay_wires[1];
    wire.set(faults);
    let broken = Instant::now();
    sleep(Duration::from_millis(500));
    answer(&phones, &calls, &mut seen);
    sleep((broken + lasts).saturating_duration_since(Instant::now()));
    wire.set(SOUND);
    phones.clear(&calls);
    seen
}

/// The callee picks up while the relay is away, or after its return.
fn restarted(lab: &mut FaultLab, number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.ring(&lab.engines[1].lines[0].number);
    lab.kill_book();
    sleep(Duration::from_secs(1));
    if number.is_multiple_of(2) {
        answer(&phones, &calls, &mut seen);
    }
    lab.restart_book();
    if !number.is_multiple_of(2) {
        answer(&phones, &calls, &mut seen);
    }
    phones.clear(&calls);
    seen
}

fn cancelled(lab: &mut FaultLab, _number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let calls = phones.ring(&lab.engines[1].lines[0].number);
    let wire = &lab.relay_wires[1];
    wire.set(CUT);
    sleep(Duration::from_millis(500));
    phones.0[0].hang_up(&calls[0]);
    sleep(Duration::from_millis(2_500));
    wire.set(SOUND);
    let back = Instant::now();
    let stopped = phones.0[1].when(&calls[1], UNANSWERED, over);
    seen.within("stops after the return", back, stopped, 15.0);
    phones.clear(&calls);
    seen
}

fn dialled(lab: &mut FaultLab, _number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let wire = &lab.relay_wires[0];
    // A relay to which no connection lasts is not hurried for ever.
    sleep(Duration::from_secs(3));
    wire.set(CUT);
    sleep(Duration::from_millis(100));
    let out = phones.0[0].dial(&lab.engines[1].lines[0].number);
    sleep(Duration::from_secs(3));
    wire.set(SOUND);
    let back = Instant::now();
    let into = phones.0[1].incoming(SOON);
    let rung = into.as_ref().map(|_| Instant::now());
    seen.within("rings after the return", back, rung, 2.0);
    if let Some(into) = into {
        let calls = [out, into];
        answer(&phones, &calls, &mut seen);
        phones.clear(&calls);
    }
    seen
}

/// What the relay sends comes 8 s late.
fn late(lab: &mut FaultLab, _number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    let wire = &lab.relay_wires[1];
    wire.set(WireFaults {
        delay: [Duration::ZERO, Duration::from_secs(8)],
        ..SOUND
    });
    let out = phones.0[0].dial(&lab.engines[1].lines[0].number);
    sleep(Duration::from_secs(3));
    phones.0[0].hang_up(&out);
    if let Some(into) = phones.0[1].incoming(UNANSWERED) {
        let rung = Instant::now();
        let stopped = phones.0[1].when(&into, UNANSWERED, over);
        seen.within("rings for", rung, stopped, 7.5);
    }
    wire.set(SOUND);
    seen
}

fn slow(lab: &mut FaultLab, _number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    // New connections: one that was quick and is slow at once counts as lost.
    lab.relay_wires.iter().for_each(|wire| wire.set(CUT));
    sleep(Duration::from_millis(100));
    for wire in &lab.relay_wires {
        wire.set(WireFaults {
            delay: [Duration::from_secs(4); 2],
            ..SOUND
        });
    }
    sleep(Duration::from_secs(5));
    lab.wait_ready();
    let dialled = Instant::now();
    let out = phones.0[0].dial(&lab.engines[1].lines[0].number);
    let into = phones.0[1].incoming(UNANSWERED);
    let rung = into.as_ref().map(|_| Instant::now());
    seen.within("rings", dialled, rung, 10.0);
    if let Some(into) = into {
        let calls = [out, into];
        answer(&phones, &calls, &mut seen);
        phones.clear(&calls);
    }
    lab.relay_wires.iter().for_each(|wire| wire.set(SOUND));
    seen
}

fn half_open(lab: &mut FaultLab, _number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = Lane::of(lab, 0).phones(Transport::Udp);
    lab.relay_wires[1].set(STILL);
    let broken = Instant::now();
    let give_up = broken + Duration::from_secs(40);
    let listening = || lab.engines[1].figure("ringfence_relays{state=\"listening\"}") >= 1.0;
    while listening() && Instant::now() < give_up {
        sleep(Duration::from_millis(100));
    }
    let noticed = (!listening()).then(Instant::now);
    seen.within("noticed", broken, noticed, 20.0);
    lab.relay_wires[1].set(SOUND);
    let back = Instant::now();
    while !listening() && Instant::now() < give_up {
        sleep(Duration::from_millis(20));
    }
    let listens = listening().then(Instant::now);
    seen.within("listens after the return", back, listens, 3.0);
    let calls = phones.talk(&lab.engines[1].lines[0].number);
    phones.clear(&calls);
    seen
}

/// The callee picks up.
fn answer(phones: &Phones, calls: &[String; 2], seen: &mut Seen) {
    let [caller, callee] = &phones.0;
    let answered = Instant::now();
    callee.answer(&calls[1]);
    let at = caller.hears(&calls[0], 1, answered, UNANSWERED);
    seen.within("caller hears after the answer", answered, at, ANSWERED);
    let at = callee.hears(&calls[1], 0, answered, SOON);
    seen.within("callee hears after the answer", answered, at, ANSWERED);
}
