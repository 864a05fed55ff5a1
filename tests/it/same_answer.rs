//! What a caller can find out about a number: nothing. A number that nobody has, one whose owner ignores the call, refuses
//! it, has no phone plugged in or is switched off: the same packets of the same sizes at the same moments on every wire
//! outside the callee's house, and the same SIP at the caller's phone.

use std::time::Duration;

use ringfence_phonebook::Number;
use ringfence_tests::world::{
    World,
    handset::Notice,
    links::{Kind, Place},
};

/// Since the caller dialled; from, to, what, how many bytes.
type Seen = (Duration, Place, Place, Kind, usize);

const CALLER: usize = 0;
const CALLEE: usize = 1;

/// Calls, waits until the caller hears a final answer and everything is over, and says what could be seen outside the
/// callee's house.
fn seen(prepare: impl Fn(&mut World) -> Number, act: impl Fn(&mut World)) -> Vec<Seen> {
    let mut world = World::new(7);
    for wire in [
        &mut world.wires.sip,
        &mut world.wires.turn,
        &mut world.wires.relay,
    ] {
        wire.jitter = Duration::from_micros(700);
    }
    world.open_engine(1);
    world.open_engine(1);
    let alice = world.plug_in(CALLER, 0);
    let number = prepare(&mut world);
    assert_eq!(number.to_string().len(), 5);
    let (before, dialled) = (world.trace().len(), world.clock());
    world.dial(alice, number);
    world.run_for(Duration::from_secs(5));
    act(&mut world);
    world.run_for(Duration::from_secs(60));
    assert_eq!(
        world.handset(alice).notices()[1..],
        [&Notice::HearsRingback, &Notice::Refused(480)]
    );
    assert!(world.seat(CALLER).engine.is_idle() && world.seat(CALLEE).engine.is_idle());
    let at_home = |place| matches!(place, Place::Phone(phone) if phone != alice);
    let outside = world.trace()[before..]
        .iter()
        .filter(|passage| !at_home(passage.from) && !at_home(passage.to));
    outside
        .map(|passage| {
            let since = passage.at - dialled;
            (since, passage.from, passage.to, passage.kind, passage.size)
        })
        .collect()
}

fn nobody() -> Vec<Seen> {
    seen(|world| world.unassigned(), |_| {})
}

fn theirs(world: &mut World) -> Number {
    world.number(CALLEE, 0)
}

#[test]
fn a_phone_that_nobody_picks_up_looks_like_no_phone() {
    let ignored = seen(
        |world| {
            world.plug_in(CALLEE, 0);
            theirs(world)
        },
        |world| assert!(world.handset(1).is_ringing()),
    );
    assert_eq!(ignored, nobody());
    assert!(ignored.len() > 10);
}

#[test]
fn a_refusal_looks_like_no_phone() {
    let refused = seen(
        |world| {
            world.plug_in(CALLEE, 0);
            theirs(world)
        },
        |world| world.decline(1, 603),
    );
    assert_eq!(refused, nobody());
}

#[test]
fn a_line_without_a_phone_looks_like_no_line() {
    assert_eq!(seen(theirs, |_| {}), nobody());
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
    // The relay sees who listens; the caller does not.
    let of_caller = |seen: Vec<Seen>| -> Vec<Seen> {
        let theirs = Place::Engine(CALLEE);
        seen.into_iter()
            .filter(|(_, from, to, ..)| *from != theirs && *to != theirs)
            .collect()
    };
    assert_eq!(of_caller(off), of_caller(nobody()));
}

#[test]
fn an_answered_call_does_look_different() {
    // The comparison would notice: here the callee's engine says something.
    let (mut world, pair) = World::of_two(7);
    world.ring(pair);
    let before = world.trace().len();
    world.answer(pair.bob);
    world.run_for(Duration::from_secs(1));
    let spoke = world.trace()[before..]
        .iter()
        .any(|passage| passage.from == Place::Engine(pair.callee) && passage.to == Place::Relay);
    assert!(spoke);
}
