//! Phones that die, fall silent, move, lose their connection, or answer in the same millisecond. No engine is touched, so several of
//! these are tried at the same time.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::lab_phone::LabPhone;

use super::{
    Fault, Play,
    scene::{LIVE, Lane, SOON, Seen, device, over},
};

pub(super) const FAULTS: [Fault; 9] = [
    Fault {
        name: "a UDP phone is gone while idle, then called",
        expected: "its registration is gone soon",
        briefly: 1,
        play: Play::Beside(gone_while_idle),
    },
    Fault {
        name: "the callee's phone dies in a call, no BYE",
        expected: "both ends are over within 40 s",
        briefly: 1,
        play: Play::Beside(|lane, _| dies_in_a_call(lane, Transport::Udp)),
    },
    Fault {
        name: "the same over TCP",
        expected: "both ends are over within 40 s",
        briefly: 1,
        play: Play::Beside(|lane, _| dies_in_a_call(lane, Transport::Tcp)),
    },
    Fault {
        name: "a phone sends no RTP for 40 s, and lives",
        expected: "the call stays",
        briefly: 1,
        play: Play::Beside(silent_and_alive),
    },
    Fault {
        name: "a TCP connection is reset in a call and away for 35 s, sound flows",
        expected: "the call stays; a hang-up goes over the next connection",
        briefly: 1,
        play: Play::Beside(|lane, _| connection_is_reset(lane, Duration::from_secs(35))),
    },
    Fault {
        name: "a TCP connection is reset in a call and back after 2 s",
        expected: "the call stays; a hang-up goes over the new connection",
        briefly: 1,
        play: Play::Beside(|lane, _| connection_is_reset(lane, Duration::from_secs(2))),
    },
    Fault {
        name: "the callee's phone boots again in a call",
        expected: "the other end is over within 10 s",
        briefly: 1,
        play: Play::Beside(boots_again),
    },
    Fault {
        name: "a phone goes on from another RTP port",
        expected: "both hear each other again within 2 s",
        briefly: 2,
        play: Play::Beside(moves_its_port),
    },
    Fault {
        name: "two phones of one address answer in the same millisecond",
        expected: "one talks, and both ends hear; the other is hung up",
        briefly: 6,
        play: Play::Beside(same_millisecond),
    },
];

fn gone_while_idle(lane: &Lane<'_>, _: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = lane.phones(Transport::Udp);
    let [caller, callee] = &phones.0;
    let number = &lane.callee.number;
    let registered = lane.engines[1].phones_of(number);
    seen.holds(&format!("{registered} is 1 phone"), registered == 1);
    callee.die();
    let died = Instant::now();
    let call = caller.dial(number);
    // The phone is asked only if the ring arrived, which takes seconds on a busy machine.
    sleep(SOON);
    caller.hang_up(&call);
    let gone = loop {
        if lane.engines[1].phones_of(number) == 0 {
            break Some(Instant::now());
        }
        if died.elapsed() > Duration::from_secs(120) {
            break None;
        }
        sleep(Duration::from_secs(1));
    };
    seen.within("registration gone", died, gone, 90.0);
    callee.boot_again();
    callee.wait_registered();
    seen
}

fn dies_in_a_call(lane: &Lane<'_>, transport: Transport) -> Seen {
    let mut seen = Seen::default();
    let phones = lane.phones(transport);
    let [out, _] = phones.talk(&lane.callee.number);
    let [caller, callee] = &phones.0;
    sleep(Duration::from_secs(1));
    callee.die();
    let died = Instant::now();
    let at = caller.when(&out, Duration::from_secs(60), over);
    seen.within("caller's phone over", died, at, 40.0);
    if at.is_none() {
        caller.hang_up(&out);
    }
    callee.boot_again();
    callee.wait_registered();
    seen
}

fn silent_and_alive(lane: &Lane<'_>, _: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = lane.phones(Transport::Udp);
    let calls = phones.talk(&lane.callee.number);
    let [caller, callee] = &phones.0;
    callee.mute(&calls[1], true);
    sleep(Duration::from_secs(40));
    seen.holds("the call stays", phones.are_up(&calls));
    callee.mute(&calls[1], false);
    let begin = Instant::now();
    let heard = caller.hears(&calls[0], 1, begin, SOON);
    seen.within("heard again", begin, heard, 1.0);
    phones.clear(&calls);
    seen
}

fn connection_is_reset(lane: &Lane<'_>, away: Duration) -> Seen {
    let mut seen = Seen::default();
    let phones = lane.phones(Transport::Tcp);
    let calls = phones.talk(&lane.callee.number);
    let [caller, callee] = &phones.0;
    let reset = Instant::now();
    callee.lose_connection();
    sleep(away);
    callee.reconnect();
    callee.wait_registered();
    sleep(Duration::from_secs(1));
    seen.holds("the call stays", phones.are_up(&calls));
    for (what, gap) in phones.gaps(&calls, reset, Instant::now()) {
        seen.within(what, reset, Some(reset + gap), 0.5);
    }
    let hung_up = Instant::now();
    caller.hang_up(&calls[0]);
    let told = callee.when(&calls[1], SOON, over);
    seen.within("BYE over the new connection", hung_up, told, 2.0);
    phones.clear(&calls);
    seen
}

fn boots_again(lane: &Lane<'_>, _: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = lane.phones(Transport::Udp);
    let [out, _] = phones.talk(&lane.callee.number);
    let [caller, callee] = &phones.0;
    sleep(Duration::from_secs(1));
    callee.die();
    sleep(Duration::from_secs(1));
    callee.boot_again();
    let back = callee.wait_registered();
    let told = caller.when(&out, Duration::from_secs(60), over);
    seen.within("caller's phone over", back, told, 10.0);
    if told.is_none() {
        caller.hang_up(&out);
    }
    seen
}

fn moves_its_port(lane: &Lane<'_>, number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = lane.phones(Transport::Udp);
    let calls = phones.talk(&lane.callee.number);
    sleep(Duration::from_secs(1));
    let (moving, other) = (number % 2, 1 - number % 2);
    let [tone, tone_there] = [moving, other];
    phones.0[moving].move_rtp(&calls[moving]);
    let moved = Instant::now();
    // What the old port sent is still on its way.
    let since = moved + Duration::from_millis(300);
    let heard = phones.0[other].hears(&calls[other], tone, since, SOON);
    seen.within("the other end hears it", moved, heard, 2.0);
    let hears = phones.0[moving].hears(&calls[moving], tone_there, moved, SOON);
    seen.within("it hears the other end", moved, hears, 2.0);
    phones.clear(&calls);
    seen
}

fn same_millisecond(lane: &Lane<'_>, number: usize) -> Seen {
    let mut seen = Seen::default();
    let phones = lane.phones(Transport::Udp);
    let second = LabPhone::boot(lane.callee, Transport::Udp, 2, &device());
    second.wait_registered();
    let [caller, first] = &phones.0;
    let [out, into] = phones.ring(&lane.callee.number);
    let into_second = second.incoming(SOON).expect("both phones ring");
    let mut answering = [(first, into), (&second, into_second)];
    if number % 2 == 1 {
        answering.reverse();
    }
    for (phone, call) in &answering {
        phone.answer(call);
    }
    sleep(Duration::from_secs(2));
    let (winners, losers): (Vec<_>, Vec<_>) = answering.iter().partition(|(phone, call)| {
        let log = phone.log(call);
        log.up.is_some() && log.over.is_none()
    });
    seen.holds("one phone talks", winners.len() == 1 && losers.len() == 1);
    let now = Instant::now();
    let live = |phone: &LabPhone, call: &str| phone.log(call).longest_gap(now - LIVE, now) < LIVE;
    seen.holds("the caller hears", live(caller, &out));
    for (phone, call) in winners {
        seen.holds("the winner hears", live(phone, call));
    }
    for (phone, call) in losers {
        seen.holds("the loser is hung up", phone.log(call).over.is_some());
    }
    caller.hang_up(&out);
    for (phone, call) in &answering {
        phone.when(call, Duration::from_secs(3), over);
    }
    second.unregister();
    seen
}
