//! Without an allocation there is no call, and never another path; the display says why.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    CallPair, World,
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
            .any(|packet| packet.to == Endpoint::Turn(0))
    );
    assert_nothing_was_rung(&world);
}

/// What the caller's phone has said to it.
const WORDS: &str = "SIP/2.0 503 No TURN server reached: try again in a minute";

fn has_the_words(world: &World, pair: CallPair) -> bool {
    let said = world.sip(Endpoint::Engine(pair.caller), Endpoint::Phone(pair.alice));
    said.iter().any(|line| line == WORDS)
}

#[test]
fn every_error_code_of_the_server_is_told_to_the_caller_at_once() {
    for code in [300, 403, 437, 440, 441, 442, 486, 508] {
        let (mut world, pair) = World::of_two(u64::from(code));
        world.turn.refuse_with(Some(code));
        world.dial(pair.alice, world.number(pair.callee, 0));
        world.run_until("refused", Duration::from_secs(1), |world| {
            has_the_words(world, pair)
        });
        assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoMedia)));
        assert_nothing_was_rung(&world);
        world.turn.refuse_with(None);
        world.run_until_quiet(Duration::from_secs(10));
        world.call(pair);
    }
}

/// The pool has asked the servers a moment ago: no caller waits four seconds for the same answer.
#[test]
fn an_engine_that_no_turn_server_answers_asks_none_for_a_call_and_says_so() {
    let (mut world, pair) = World::of_two(6);
    world.set_turn_reached(pair.caller, false);
    let before = world.trace().len();
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_for(Duration::from_millis(500));
    assert!(has_the_words(&world, pair));
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoMedia)));
    let ours = Endpoint::Engine(pair.caller);
    let sent = world.trace()[before..].iter().filter(|packet| {
        packet.from == ours && matches!(packet.kind, PacketKind::Envelope | PacketKind::Turn)
    });
    assert_eq!(sent.count(), 0);
    // Digits that are no number are still none.
    world.dial_digits(pair.alice, "1");
    world.run_for(Duration::from_secs(1));
    let events = world.handset(pair.alice).events();
    assert!(events.contains(&&HandsetEvent::Refused(404)), "{events:?}");
    world.set_turn_reached(pair.caller, true);
    world.call(pair);
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
    assert!(has_the_words(&world, pair));
    assert_nothing_was_rung(&world);
}

#[test]
fn a_callee_who_gets_no_relayed_address_is_hung_up_and_the_caller_waits_in_vain() {
    let (mut world, pair) = World::of_two(4);
    world.take_credentials(pair.callee);
    world.ring(pair);
    world.answer(pair.bob);
    // The servers are asked again and again meanwhile.
    world.run_until("hung up", Duration::from_secs(13), |world| {
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
    world.run_until("both phones know", Duration::from_secs(65), |world| {
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
