//! A caller can find out nothing about a number. Whether it is unassigned, not answered, refused, without a phone, or on a
//! machine that is off: every link outside the callee's LAN has the same packets of the same sizes at the same times, and the
//! caller's phone gets the same SIP.

use std::time::Duration;

use ringfence_book::Number;
use ringfence_engine::line::command::LineCommand;
use ringfence_tests::world::{
    World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

/// A packet: time since the caller dialled, sender, receiver, kind, size.
type Seen = (Duration, Endpoint, Endpoint, PacketKind, usize);

const CALLER: usize = 0;
const CALLEE: usize = 1;

/// Calls, runs until the caller has a final response and everything is over. Returns what could be observed outside the callee's
/// LAN.
fn seen(prepare: impl Fn(&mut World) -> Number, act: impl Fn(&mut World)) -> Vec<Seen> {
    let mut world = World::new(7);
    for wire in [
        &mut world.links.sip,
        &mut world.links.turn,
        &mut world.links.relay,
    ] {
        wire.jitter = Duration::from_micros(700);
    }
    world.open_engine(1);
    world.open_engine(1);
    let alice = world.add_phone(CALLER, 0);
    let number = prepare(&mut world);
    assert_eq!(number.to_string().len(), 5);
    let (before, dialled) = (world.trace().len(), world.clock());
    world.dial(alice, number);
    world.run_for(Duration::from_secs(5));
    act(&mut world);
    world.run_for(Duration::from_secs(60));
    assert_eq!(
        world.handset(alice).events()[1..],
        [&HandsetEvent::Ringback, &HandsetEvent::Refused(480)]
    );
    assert!(world.host(CALLER).engine.is_idle() && world.host(CALLEE).engine.is_idle());
    let at_home = |place| matches!(place, Endpoint::Phone(phone) if phone != alice);
    let outside = world.trace()[before..]
        .iter()
        .filter(|packet| !at_home(packet.from) && !at_home(packet.to));
    outside
        .map(|packet| {
            let since = packet.at - dialled;
            (since, packet.from, packet.to, packet.kind, packet.size)
        })
        .collect()
}

fn unassigned_number() -> Vec<Seen> {
    seen(|world| world.unassigned(), |_| {})
}

fn theirs(world: &mut World) -> Number {
    world.number(CALLEE, 0)
}

#[test]
fn a_phone_that_is_not_picked_up_looks_like_no_phone() {
    let ignored = seen(
        |world| {
            world.add_phone(CALLEE, 0);
            theirs(world)
        },
        |world| assert!(world.handset(1).is_ringing()),
    );
    assert_eq!(ignored, unassigned_number());
    assert!(ignored.len() > 10);
}

#[test]
fn a_refusal_looks_like_no_phone() {
    let refused = seen(
        |world| {
            world.add_phone(CALLEE, 0);
            theirs(world)
        },
        |world| world.decline(1, 603),
    );
    assert_eq!(refused, unassigned_number());
}

#[test]
fn a_line_without_a_phone_looks_like_no_line() {
    assert_eq!(seen(theirs, |_| {}), unassigned_number());
}

/// A line with a phone that rings for contacts only.
fn contacts_only(world: &mut World) -> Number {
    world.add_phone(CALLEE, 0);
    let line = theirs(world);
    let command = LineCommand::ContactsOnly(true);
    world
        .command(CALLEE, line, command)
        .expect("it has that line");
    line
}

#[test]
fn a_stranger_whom_a_line_does_not_ring_for_sees_a_number_that_nobody_has() {
    let refused = seen(contacts_only, |world| {
        assert!(world.handset(1).is_free(), "its phone does not ring");
    });
    assert_eq!(refused, unassigned_number());
}

#[test]
fn an_engine_that_is_off_looks_like_no_engine_to_the_caller() {
    let off = seen(
        |world| {
            world.disconnect(CALLEE);
            theirs(world)
        },
        |_| {},
    );
    // The relay sees its subscribers; the caller does not.
    let of_caller = |seen: Vec<Seen>| -> Vec<Seen> {
        let theirs = Endpoint::Engine(CALLEE);
        seen.into_iter()
            .filter(|(_, from, to, ..)| *from != theirs && *to != theirs)
            .collect()
    };
    assert_eq!(of_caller(off), of_caller(unassigned_number()));
}

#[test]
fn an_answered_call_does_look_different() {
    // The comparison detects a difference: here the callee's engine sends something.
    let (mut world, pair) = World::of_two(7);
    world.ring(pair);
    let before = world.trace().len();
    world.answer(pair.bob);
    world.run_for(Duration::from_secs(1));
    let spoke = world.trace()[before..].iter().any(|packet| {
        packet.from == Endpoint::Engine(pair.callee) && packet.to == Endpoint::Turn(0)
    });
    assert!(spoke);
}
