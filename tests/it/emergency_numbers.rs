//! An emergency number is refused with words before anything else may refuse it, and nothing of it leaves the machine.

use std::time::Duration;

use ringfence_engine::{CallStep, EMERGENCY_NUMBERS, EndReason};
use ringfence_tests::world::{
    CallPair, World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

const SOON: Duration = Duration::from_secs(1);

/// Alice dials digits that are an emergency number: what her display shows, and that only her phone was told.
fn assert_told(world: &mut World, pair: CallPair, digits: &str) {
    let before = world.trace().len();
    world.dial_digits(pair.alice, digits);
    world.run_for(SOON);
    let events = world.handset(pair.alice).events();
    assert!(
        events.contains(&&HandsetEvent::Refused(503)),
        "{digits}: {events:?}"
    );
    let text = |event: &&&HandsetEvent| matches!(event, HandsetEvent::Text { from, body, .. } if from == digits && body.starts_with("Use other phone"));
    assert!(events.iter().any(|event| text(&event)), "{events:?}");
    let said = world.sip(Endpoint::Engine(pair.caller), Endpoint::Phone(pair.alice));
    let phrase = "SIP/2.0 503 Use other phone: no emergency calls here";
    assert!(said.iter().any(|line| line == phrase), "{said:?}");
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::EmergencyNumber)));
    let ours = Endpoint::Engine(pair.caller);
    let left = world.trace()[before..].iter();
    let of_a_call = [PacketKind::Envelope, PacketKind::Turn];
    let left = left.filter(|packet| packet.from == ours && of_a_call.contains(&packet.kind));
    assert_eq!(left.count(), 0);
}

#[test]
fn an_emergency_number_is_refused_with_words_for_a_small_display() {
    for (seed, digits) in (1..).zip(EMERGENCY_NUMBERS) {
        let (mut world, pair) = World::of_two(seed);
        assert_told(&mut world, pair, digits);
        assert!(world.host(pair.caller).saved_state.0.calls.is_empty());
        world.call(pair);
    }
}

#[test]
fn neither_a_missing_relay_nor_too_many_calls_hides_the_words() {
    let mut world = World::new(4);
    world.most_calls = Some(1);
    let (caller, callee) = (world.open_engine(1), world.open_engine(1));
    let alice = world.add_phone(caller, 0);
    let bob = world.add_phone(callee, 0);
    let second = world.add_phone(caller, 0);
    let pair = CallPair {
        caller,
        callee,
        alice,
        bob,
    };
    world.call(pair);
    world.relay.is_down = true;
    let pair = CallPair {
        alice: second,
        ..pair
    };
    assert_told(&mut world, pair, "112");
}

#[test]
fn a_person_whom_the_phone_book_lists_under_an_emergency_number_is_not_reached() {
    let mut world = World::new(5);
    let callee = world.open_engine(1);
    let listed = world.number(callee, 0);
    world.emergency_numbers = vec![listed.to_string()];
    let caller = world.open_engine(1);
    let alice = world.add_phone(caller, 0);
    let bob = world.add_phone(callee, 0);
    let pair = CallPair {
        caller,
        callee,
        alice,
        bob,
    };
    assert_told(&mut world, pair, &listed.to_string());
    world.send_text(alice, listed, "help");
    world.run_for(SOON);
    let events = world.handset(alice).events();
    assert!(events.contains(&&HandsetEvent::TextStatus(503)));
    let events = world.handset(bob).events();
    let is_text = |event: &&&HandsetEvent| matches!(event, HandsetEvent::Text { .. });
    assert_eq!(events.iter().filter(is_text).count(), 0);
    assert!(!world.handset(bob).is_ringing());
}

#[test]
fn a_call_cannot_be_transferred_to_an_emergency_number_and_goes_on() {
    let (mut world, pair) = World::of_two(6);
    world.call(pair);
    world.transfer(pair.alice, "112");
    world.run_for(SOON);
    let said = world.sip(Endpoint::Engine(pair.caller), Endpoint::Phone(pair.alice));
    let refused = "SIP/2.0 503 Service Unavailable";
    assert!(said.iter().any(|line| line == refused), "{said:?}");
    assert!(!world.handset(pair.alice).is_free());
}
