//! Two lines of one engine call each other over the relay and the TURN server, on the same path as lines of two engines.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{CallPair, World, handset::HandsetEvent};

fn one_engine(seed: u64) -> (World, CallPair) {
    let mut world = World::new(seed);
    let engine = world.open_engine(2);
    // A second engine, so that Bob's number is not the only one in the book.
    world.open_engine(1);
    let (alice, bob) = (world.add_phone(engine, 0), world.add_phone(engine, 1));
    let pair = CallPair {
        caller: engine,
        callee: engine,
        alice,
        bob,
    };
    (world, pair)
}

#[test]
fn one_line_calls_the_other() {
    let (mut world, pair) = one_engine(1);
    world.dial(pair.alice, world.number(pair.callee, 1));
    world.run_until("rings", Duration::from_secs(2), |world| {
        world.handset(pair.bob).is_ringing()
    });
    world.answer(pair.bob);
    let talk = Duration::from_secs(3);
    world.run_for(talk);
    world.assert_both_hear(pair, talk);
    assert_eq!(world.turn.relays(), 2);
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(5));
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::HungUp)
    );
}

#[test]
fn a_line_that_calls_itself_harms_nothing() {
    let (mut world, pair) = one_engine(2);
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_until_quiet(Duration::from_secs(45));
    assert!(!world.handset(pair.alice).is_talking());
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoAnswer)));
    // The line's own phone was busy dialling.
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::Refused(480))
    );
}
