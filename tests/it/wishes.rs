//! What somebody wants of a line at a screen (the status page, the command line) holds for calls and texts as star codes do.

use std::time::Duration;

use ringfence_engine::wish::{Wish, WishFault};
use ringfence_tests::world::{Pair, World, handset::Notice};

const SOON: Duration = Duration::from_secs(5);

fn called(world: &World, pair: Pair) -> ringfence_phonebook::Number {
    world.number(pair.callee, 0)
}

fn wish(world: &mut World, pair: Pair, wish: Wish) {
    let line = called(world, pair);
    world.wish(pair.callee, line, wish).expect("it can be done");
}

/// Alice rings until she gives up; whether Bob's phone rang.
fn rings(world: &mut World, pair: Pair) -> bool {
    world.dial(pair.alice, called(world, pair));
    let silent = world.never(SOON, |world: &World| world.handset(pair.bob).is_ringing());
    world.hang_up(pair.alice);
    world.run_until_quiet(SOON);
    !silent
}

fn texts(world: &World, phone: usize) -> usize {
    let is_text = |notice: &&&Notice| matches!(notice, Notice::Text { .. });
    world
        .handset(phone)
        .notices()
        .iter()
        .filter(is_text)
        .count()
}

#[test]
fn a_line_that_is_not_to_be_disturbed_is_silent_until_it_may_be() {
    let (mut world, pair) = World::of_two(1);
    wish(&mut world, pair, Wish::Undisturbed(true));
    assert!(!rings(&mut world, pair));
    wish(&mut world, pair, Wish::Undisturbed(false));
    assert!(rings(&mut world, pair));
}

#[test]
fn a_number_can_be_blocked_that_has_never_rung_and_unblocked() {
    let (mut world, pair) = World::of_two(2);
    let alice = world.number(pair.caller, 0);
    wish(&mut world, pair, Wish::Block(alice));
    assert!(!rings(&mut world, pair));
    world.write(pair.alice, called(&world, pair), "hello?");
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), 0);
    wish(&mut world, pair, Wish::Unblock(alice));
    assert!(rings(&mut world, pair));
}

#[test]
fn missed_calls_that_were_seen_are_new_no_more() {
    let (mut world, pair) = World::of_two(3);
    assert!(rings(&mut world, pair));
    let new = |world: &World| {
        let calls = &world.seat(pair.callee).ledger.0.calls;
        calls.iter().filter(|call| call.is_new).count()
    };
    assert_eq!(new(&world), 1);
    wish(&mut world, pair, Wish::MissedSeen);
    assert_eq!(new(&world), 0);
}

#[test]
fn a_text_that_was_read_at_a_screen_waits_for_no_phone() {
    let mut world = World::new(4);
    let (here, there) = (world.open_engine(1), world.open_engine(1));
    let alice = world.plug_in(here, 0);
    let line = world.number(there, 0);
    world.write(alice, line, "read me");
    world.run_for(SOON);
    let waiting = world
        .seat(there)
        .engine
        .ledger()
        .texts
        .front()
        .map(|text| text.id);
    let id = waiting.expect("no phone is there to take it");
    world
        .wish(there, line, Wish::TextRead(id))
        .expect("it is there");
    assert_eq!(
        world.wish(there, line, Wish::TextRead(id)),
        Err(WishFault::NoSuchText)
    );
    let bob = world.plug_in(there, 0);
    world.run_for(SOON);
    assert_eq!(texts(&world, bob), 0);
}

#[test]
fn a_line_of_somebody_else_takes_no_wishes() {
    let (mut world, pair) = World::of_two(5);
    let line = called(&world, pair);
    assert_eq!(
        world.wish(pair.caller, line, Wish::Undisturbed(true)),
        Err(WishFault::NoSuchLine)
    );
    assert!(rings(&mut world, pair));
}
