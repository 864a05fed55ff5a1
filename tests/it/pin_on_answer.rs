//! A number's key is pinned when a call with it is answered, on both sides, and by nothing less.

use std::time::Duration;

use ringfence_engine::{CallStep, trust::contacts::KeyStanding};
use ringfence_tests::world::{CallPair, World, links::Endpoint};

fn pinned(world: &World, engine: usize) -> usize {
    let contacts = world.host(engine).engine.contacts();
    assert_eq!(contacts, &world.host(engine).contacts, "all of it is saved");
    contacts.iter().count()
}

#[test]
fn looking_up_and_ringing_pin_nothing() {
    let (mut world, pair) = World::of_two(1);
    world.ring(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(11));
    world.ring(pair);
    world.decline(pair.bob, 603);
    world.run_until_quiet(Duration::from_secs(45));
    assert!(world.has_reached(pair.callee, CallStep::RingOpened));
    assert_eq!(
        (pinned(&world, pair.caller), pinned(&world, pair.callee)),
        (0, 0)
    );
}

#[test]
fn an_unanswered_number_may_change_its_key_in_silence() {
    let (mut world, pair) = World::of_two(2);
    world.ring(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(11));
    let (number, keys) = (world.number(pair.callee, 0), world.new_keys());
    world.show_book(pair.caller, (2, 0), &[(number, keys.listing())]);
    world.dial(pair.alice, number);
    world.run_until("rung", Duration::from_secs(5), |world| {
        let rings = world.steps_of(pair.caller);
        rings
            .iter()
            .filter(|step| **step == CallStep::RingPosted)
            .count()
            == 2
    });
}

#[test]
fn an_answered_call_pins_each_for_the_other() {
    let (mut world, pair) = World::of_two(3);
    world.call(pair);
    for (engine, other) in [(pair.caller, pair.callee), (pair.callee, pair.caller)] {
        assert_eq!(pinned(&world, engine), 1);
        let line = &world.host(other).lines[0];
        let contacts = world.host(engine).engine.contacts();
        let standing = contacts.standing(line.number, &line.identity().key());
        assert_eq!(standing, KeyStanding::Pinned);
        let contact = contacts.get(line.number).unwrap();
        assert!(!contact.verified && contact.other.is_none());
        assert_eq!(contact.since, world.wall().day());
    }
}

#[test]
fn a_callee_who_is_not_sure_of_the_caller_pins_nothing() {
    let (mut world, pair) = World::of_two(4);
    world.ring(pair);
    // The answer gets through, but nothing that the caller sends after it.
    let caller = Endpoint::Engine(pair.caller);
    world.filter_packets(move |packet| packet.from != caller);
    world.answer(pair.bob);
    world.run_for(Duration::from_secs(15));
    assert!(world.has_reached(pair.caller, CallStep::AnswerOpened));
    assert!(!world.has_reached(pair.callee, CallStep::Confirmed));
    assert_eq!(
        (pinned(&world, pair.caller), pinned(&world, pair.callee)),
        (1, 0)
    );
}

#[test]
fn lines_of_one_engine_are_contacts_like_others() {
    let mut world = World::new(5);
    let engine = world.open_engine(2);
    let (alice, bob) = (world.add_phone(engine, 0), world.add_phone(engine, 1));
    let pair = CallPair {
        caller: engine,
        callee: engine,
        alice,
        bob,
    };
    world.dial(alice, world.number(engine, 1));
    world.run_until("rings", Duration::from_secs(2), |world| {
        world.handset(pair.bob).is_ringing()
    });
    world.answer(bob);
    world.run_for(Duration::from_secs(2));
    assert_eq!(pinned(&world, engine), 2);
}

#[test]
fn a_ring_shows_the_name_of_the_contact_in_both_headers_that_phones_read() {
    let (mut world, pair) = World::of_two(9);
    world.call(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(10));
    let alice = world.number(pair.caller, 0);
    world.edit_contacts(pair.callee, |contacts| {
        contacts.name(alice, "Alice").unwrap()
    });
    let before = world.trace().len();
    world.ring(pair);
    let invite = world.trace()[before..].iter().find(|packet| {
        packet.to == Endpoint::Phone(pair.bob) && packet.first_line().starts_with("INVITE ")
    });
    let text = String::from_utf8_lossy(&invite.expect("it rings").bytes).into_owned();
    for header in ["From", "P-Asserted-Identity"] {
        let shown = format!("\r\n{header}: \"Alice\" <sip:{alice}@");
        assert!(text.contains(&shown), "{header}: {text}");
    }
}
