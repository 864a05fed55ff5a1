//! Either side hangs up at any moment: the other phone is told, and nothing is left of the call.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    CallPair, World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

const SOON: Duration = Duration::from_secs(3);

#[test]
fn the_callee_hangs_up() {
    let (mut world, pair) = World::of_two(1);
    world.call(pair);
    world.run_for(Duration::from_secs(2));
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(5));
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::HungUp)
    );
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::HungUpHere)));
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::HungUpThere)));
}

#[test]
fn a_hang_up_goes_over_the_data_channel_and_no_relay_hears_of_it() {
    let (mut world, pair) = World::of_two(2);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    let before = world.trace().len();
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
    let posted = world.trace()[before..]
        .iter()
        .find(|packet| packet.kind == PacketKind::Envelope);
    assert_eq!(posted, None);
}

#[test]
fn both_hang_up_at_once() {
    let (mut world, pair) = World::of_two(3);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.hang_up(pair.alice);
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(5));
}

#[test]
fn the_caller_hangs_up_before_the_data_channel_is_open() {
    hang_up_at(CallStep::AnswerOpened, |pair| {
        (pair.caller, pair.alice, pair.bob)
    });
    hang_up_at(CallStep::Connected, |pair| {
        (pair.caller, pair.alice, pair.bob)
    });
}

#[test]
fn the_callee_hangs_up_before_the_data_channel_is_open() {
    hang_up_at(CallStep::PickedUp, |pair| {
        (pair.callee, pair.bob, pair.alice)
    });
    hang_up_at(CallStep::AnswerAllocated, |pair| {
        (pair.callee, pair.bob, pair.alice)
    });
    hang_up_at(CallStep::AnswerSent, |pair| {
        (pair.callee, pair.bob, pair.alice)
    });
    hang_up_at(CallStep::Confirmed, |pair| {
        (pair.callee, pair.bob, pair.alice)
    });
    hang_up_at(CallStep::Connected, |pair| {
        (pair.callee, pair.bob, pair.alice)
    });
}

/// Hangs a phone up as soon as its engine has reached a step, and checks that nothing is left in the end.
fn hang_up_at(step: CallStep, who: impl Fn(CallPair) -> (usize, usize, usize)) {
    let (mut world, pair) = World::of_two(4);
    let (engine, phone, other) = who(pair);
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("the step", SOON, |world| world.has_reached(engine, step));
    // The phone itself must know that it is in a call.
    world.run_until("the phone talks", SOON, |world| {
        world.handset(phone).is_talking()
    });
    world.hang_up(phone);
    world.run_until("the other phone knows", Duration::from_secs(31), |world| {
        let handset = world.handset(other);
        handset
            .events()
            .iter()
            .any(|notice| matches!(notice, HandsetEvent::HungUp | HandsetEvent::Refused(_)))
    });
    world.run_until_quiet(Duration::from_secs(35));
    assert!(!world.handset(other).is_talking());
    let bye = world.sip(Endpoint::Phone(phone), Endpoint::Engine(engine));
    assert!(bye.iter().any(|line| line.starts_with("BYE")), "{step:?}");
}
