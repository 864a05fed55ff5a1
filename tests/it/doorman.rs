//! A line that rings for contacts only: who rings, who does not, and what is left of a stranger's call.

use std::time::Duration;

use ringfence_engine::line::command::LineCommand;
use ringfence_engine::line::saved_state::PastCall;
use ringfence_tests::world::{CallPair, World, handset::HandsetEvent};

const SOON: Duration = Duration::from_secs(2);

/// Alice and Bob, whose line rings for contacts only.
fn world(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    let only = LineCommand::ContactsOnly(true);
    let line = world.number(pair.callee, 0);
    world
        .command(pair.callee, line, only)
        .expect("it has that line");
    (world, pair)
}

/// Alice dials Bob and gives up. Whether his phone rang.
fn rings(world: &mut World, pair: CallPair) -> bool {
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_for(SOON);
    let rings = world.handset(pair.bob).is_ringing();
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(60));
    rings
}

fn history(world: &World, pair: CallPair) -> Vec<PastCall> {
    let saved = &world.host(pair.callee).saved_state.0;
    saved.calls.iter().copied().collect()
}

/// Bob dials Alice, who does or does not answer.
fn dialled_back(world: &mut World, pair: CallPair, is_answered: bool) {
    world.dial(pair.bob, world.number(pair.caller, 0));
    world.run_until("rings", SOON, |world| {
        world.handset(pair.alice).is_ringing()
    });
    if is_answered {
        world.answer(pair.alice);
        world.run_for(SOON);
    }
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(60));
}

#[test]
fn a_strangers_call_is_listed_and_no_phone_or_lamp_says_so() {
    let (mut world, pair) = world(1);
    assert!(!rings(&mut world, pair));
    let calls = history(&world, pair);
    assert_eq!(
        calls.len(),
        1,
        "the note that goes with the ring is no other call"
    );
    assert!(calls[0].is_stranger && !calls[0].is_new);
    let saved = &world.host(pair.callee).saved_state.0;
    assert_eq!(saved.news(world.number(pair.callee, 0)).missed, 0);
    let everyone = LineCommand::ContactsOnly(false);
    let line = world.number(pair.callee, 0);
    world
        .command(pair.callee, line, everyone)
        .expect("it has that line");
    assert!(rings(&mut world, pair));
}

#[test]
fn a_stranger_who_rang_an_engine_that_was_off_lights_no_lamp_either() {
    let (mut world, pair) = world(2);
    world.switch_off(pair.callee);
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_for(Duration::from_secs(40));
    world.switch_on(pair.callee);
    world.run_for(Duration::from_secs(90));
    let calls = history(&world, pair);
    assert_eq!(calls.len(), 1);
    assert!(calls[0].is_stranger && !calls[0].is_new);
}

#[test]
fn a_call_that_was_merely_answered_makes_no_contact_and_a_name_does() {
    let (mut world, pair) = World::of_two(3);
    world.call(pair);
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(60));
    let line = world.number(pair.callee, 0);
    let only = LineCommand::ContactsOnly(true);
    world
        .command(pair.callee, line, only)
        .expect("it has that line");
    assert!(
        !rings(&mut world, pair),
        "her number is pinned, and no contact"
    );
    let alices = world.number(pair.caller, 0);
    world.edit_contacts(pair.callee, |contacts| {
        contacts.name(alices, "Alice").expect("it is pinned");
    });
    assert!(rings(&mut world, pair));
}

#[test]
fn a_number_that_was_called_rings_answered_or_not() {
    // How long each counts: `line::saved_state`.
    for is_answered in [true, false] {
        let (mut world, pair) = world(4);
        assert!(!rings(&mut world, pair));
        dialled_back(&mut world, pair, is_answered);
        assert!(rings(&mut world, pair));
    }
}

#[test]
fn lines_of_one_engine_ring_each_other() {
    let mut world = World::new(5);
    let office = world.open_engine(2);
    let (desk, door) = (world.add_phone(office, 0), world.add_phone(office, 1));
    let line = world.number(office, 0);
    let only = LineCommand::ContactsOnly(true);
    world.command(office, line, only).expect("it has that line");
    world.dial(door, line);
    world.run_until("rings", SOON, |world| world.handset(desk).is_ringing());
}

#[test]
fn a_strangers_text_comes_all_the_same() {
    let (mut world, pair) = world(6);
    world.send_text(pair.alice, world.number(pair.callee, 0), "hello");
    world.run_for(Duration::from_secs(5));
    let told =
        |event: &&HandsetEvent| matches!(event, HandsetEvent::Text { body, .. } if body == "hello");
    assert!(
        world
            .handset(pair.bob)
            .events()
            .into_iter()
            .any(|event| told(&event))
    );
}

#[test]
fn a_keypad_changes_it() {
    let (mut world, pair) = World::of_two(7);
    let only = |world: &World| {
        let saved = &world.host(pair.callee).saved_state.0;
        saved.contacts_only(world.number(pair.callee, 0))
    };
    for (code, expected) in [("*77", true), ("*87", false)] {
        world.dial_digits(pair.bob, code);
        world.run_for(SOON);
        assert_eq!(only(&world), expected, "{code}");
        let events = world.handset(pair.bob).events();
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, HandsetEvent::Refused(_)))
        );
    }
}
