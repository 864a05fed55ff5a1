//! Without an allocation there is no call, and never another path.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

#[test]
fn wrong_credentials_are_told_to_the_caller_at_once() {
    let mut world = World::new(1);
    world.turn.forget_secret();
    let caller = world.open_engine(1);
    let alice = world.add_phone(caller, 0);
    world.dial(alice, world.unassigned());
    world.run_until("refused", Duration::from_secs(1), |world| {
        world
            .handset(alice)
            .events()
            .contains(&&HandsetEvent::Refused(503))
    });
    assert!(world.has_reached(caller, CallStep::Ended(EndReason::NoMedia)));
    assert_nothing_was_rung(&world);
}

#[test]
fn without_credentials_the_turn_server_is_not_even_asked() {
    let (mut world, pair) = World::of_two(2);
    world.take_credentials(pair.caller);
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_until_quiet(Duration::from_secs(1));
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::Refused(503))
    );
    assert!(
        !world
            .trace()
            .iter()
            .any(|packet| packet.to == Endpoint::Turn)
    );
    assert_nothing_was_rung(&world);
}

#[test]
fn a_server_that_does_not_answer_is_given_up_within_seconds() {
    let (mut world, pair) = World::of_two(3);
    world.links.turn.loss = 1.0;
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_until("refused", Duration::from_secs(7), |world| {
        world
            .handset(pair.alice)
            .events()
            .contains(&&HandsetEvent::Refused(503))
    });
    assert_nothing_was_rung(&world);
}

#[test]
fn a_callee_who_gets_no_relayed_address_is_hung_up_and_the_caller_waits_in_vain() {
    let (mut world, pair) = World::of_two(4);
    world.take_credentials(pair.callee);
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("hung up", Duration::from_secs(2), |world| {
        world
            .handset(pair.bob)
            .events()
            .contains(&&HandsetEvent::HungUp)
    });
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::NoMedia)));
    world.run_until_quiet(Duration::from_secs(40));
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::Refused(480))
    );
}

#[test]
fn a_call_whose_turn_server_dies_ends_on_both_sides() {
    let (mut world, pair) = World::of_two(5);
    world.call(pair);
    world.links.turn.loss = 1.0;
    world.run_until("both phones know", Duration::from_secs(30), |world| {
        [pair.alice, pair.bob]
            .into_iter()
            .all(|phone| !world.handset(phone).is_talking())
    });
}

fn assert_nothing_was_rung(world: &World) {
    assert!(
        !world
            .trace()
            .iter()
            .any(|packet| packet.kind == PacketKind::Envelope)
    );
}
