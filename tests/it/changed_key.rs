//! A number that has answered once is pinned to its key. When the phone book lists another key, no call is placed and no phone
//! rings until the user has accepted it.

use std::time::Duration;

use ringfence_book::Day;
use ringfence_engine::{
    CallStep, EndReason,
    line::identity::Identity,
    trust::contacts::{KeyStanding, ShownBy},
};
use ringfence_tests::world::{
    CallPair, World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

/// Two parties that have had a call with each other.
fn acquainted(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    talk(&mut world, pair);
    (world, pair)
}

fn talk(world: &mut World, pair: CallPair) {
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
}

/// The phone book lists the callee with another party's keys, and the caller dials.
fn dial_changed(world: &mut World, pair: CallPair) -> Identity {
    let (number, thief) = (world.number(pair.callee, 0), world.new_keys());
    world.show_book(pair.caller, (2, 0), &[(number, thief.listing())]);
    world.dial(pair.alice, number);
    world.run_for(Duration::from_secs(3));
    thief
}

#[test]
fn a_call_to_a_changed_key_is_refused_with_a_reason_on_the_display() {
    let (mut world, pair) = acquainted(1);
    // The envelopes of the first call go on for a while.
    world.run_for(Duration::from_secs(45));
    let before = world.trace().len();
    let thief = dial_changed(&mut world, pair);
    let display = world.handset(pair.alice).events();
    assert_eq!(display.last(), Some(&&HandsetEvent::Refused(403)));
    let said = world.sip(Endpoint::Engine(pair.caller), Endpoint::Phone(pair.alice));
    let reason = "SIP/2.0 403 Key changed - see ringfence contacts";
    assert!(said.iter().any(|line| line == reason), "{said:?}");
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::KeyChanged)));
    // Nothing left the machine: neither a ring nor an allocation.
    let left = |packet: &&_| -> bool {
        let packet: &ringfence_tests::world::links::TracedPacket = packet;
        packet.from == Endpoint::Engine(pair.caller) && packet.kind != PacketKind::Sip
    };
    assert_eq!(world.trace()[before..].iter().filter(left).count(), 0);
    let contacts = &world.host(pair.caller).contacts;
    let contact = contacts.get(world.number(pair.callee, 0)).unwrap();
    let other = contact.other.unwrap();
    assert_eq!(
        (other.identity, other.shown_by),
        (thief.key(), ShownBy::Book)
    );
}

#[test]
fn the_user_can_accept_the_new_key() {
    let (mut world, pair) = acquainted(2);
    let thief = dial_changed(&mut world, pair);
    let (number, today) = (world.number(pair.callee, 0), world.wall().day());
    world.edit_contacts(pair.caller, |contacts| {
        contacts.accept(number, today).unwrap();
    });
    world.dial(pair.alice, number);
    world.run_for(Duration::from_secs(3));
    let posted = world.steps_of(pair.caller);
    let posted = posted.iter().filter(|step| **step == CallStep::RingPosted);
    assert_eq!(posted.count(), 2);
    let contacts = world.host(pair.caller).engine.contacts();
    assert_eq!(contacts.standing(number, &thief.key()), KeyStanding::Pinned);
}

#[test]
fn a_ring_with_a_changed_key_rings_no_phone_and_is_noted() {
    let (mut world, pair) = acquainted(3);
    let (claimed, callee) = (world.number(pair.caller, 0), world.number(pair.callee, 0));
    let thief = world.new_keys();
    let opened = |world: &World| {
        let steps = world.steps_of(pair.callee);
        steps
            .iter()
            .filter(|step| **step == CallStep::RingOpened)
            .count()
    };
    let before = opened(&world);
    world.show_book(pair.callee, (2, 0), &[(claimed, thief.listing())]);
    world.ring_as(&thief, claimed, callee);
    assert!(!world.handset(pair.bob).is_ringing());
    assert_eq!(opened(&world), before);
    assert_eq!(world.host(pair.callee).engine.counters().changed_keys, 1);
    let contact = world.host(pair.callee).contacts.get(claimed).unwrap();
    let other = contact.other.unwrap();
    assert_eq!(
        (other.identity, other.shown_by),
        (thief.key(), ShownBy::Ring)
    );
    // Calls with the pinned key work as before, once the book lists it again.
    world.show_book(pair.callee, (3, 0), &[]);
    talk(&mut world, pair);
    // The same ring makes the phone ring when its number is not pinned to another key.
    let stranger = world.unassigned();
    world.show_book(pair.callee, (4, 0), &[(stranger, thief.listing())]);
    world.ring_as(&thief, stranger, callee);
    assert!(world.handset(pair.bob).is_ringing());
}

#[test]
fn a_renewed_ring_key_is_no_change() {
    let (mut world, pair) = acquainted(4);
    let (number, today) = (world.number(pair.callee, 0), world.wall().day());
    let mut renewed = world.renew_ring_key(pair.callee, 0, today);
    world.show_book(pair.caller, (2, 0), &[(number, renewed.listing())]);
    talk(&mut world, pair);
    assert!(
        world
            .host(pair.caller)
            .contacts
            .get(number)
            .unwrap()
            .other
            .is_none()
    );
    // Callers with an old copy of the book can use the previous ring key for seven days.
    assert!(!renewed.forget_old_keys(today.plus(7)));
    assert!(renewed.forget_old_keys(Day::new(today.count() + 8)));
}
