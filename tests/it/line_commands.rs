//! Line commands of the status page and the command line have the same effect on calls and texts as feature codes.

use std::time::Duration;

use ringfence_engine::line::command::{LineCommand, LineCommandError};
use ringfence_tests::world::{CallPair, World, handset::HandsetEvent};

const SOON: Duration = Duration::from_secs(5);

fn called(world: &World, pair: CallPair) -> ringfence_book::Number {
    world.number(pair.callee, 0)
}

fn command(world: &mut World, pair: CallPair, command: LineCommand) {
    let line = called(world, pair);
    world
        .command(pair.callee, line, command)
        .expect("it can be done");
}

/// Alice calls and cancels; whether Bob's phone rang.
fn rings(world: &mut World, pair: CallPair) -> bool {
    world.dial(pair.alice, called(world, pair));
    let silent = world.never(SOON, |world: &World| world.handset(pair.bob).is_ringing());
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(11));
    !silent
}

fn texts(world: &World, phone: usize) -> usize {
    let is_text = |notice: &&&HandsetEvent| matches!(notice, HandsetEvent::Text { .. });
    world.handset(phone).events().iter().filter(is_text).count()
}

#[test]
fn do_not_disturb_silences_a_line_until_it_is_turned_off() {
    let (mut world, pair) = World::of_two(1);
    command(&mut world, pair, LineCommand::DoNotDisturb(true));
    assert!(!rings(&mut world, pair));
    command(&mut world, pair, LineCommand::DoNotDisturb(false));
    assert!(rings(&mut world, pair));
}

#[test]
fn a_number_can_be_blocked_that_has_never_rung_and_unblocked() {
    let (mut world, pair) = World::of_two(2);
    let alice = world.number(pair.caller, 0);
    command(&mut world, pair, LineCommand::Block(alice));
    assert!(!rings(&mut world, pair));
    world.send_text(pair.alice, called(&world, pair), "hello?");
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), 0);
    command(&mut world, pair, LineCommand::Unblock(alice));
    assert!(rings(&mut world, pair));
}

#[test]
fn missed_calls_that_were_seen_are_no_longer_new() {
    let (mut world, pair) = World::of_two(3);
    assert!(rings(&mut world, pair));
    let new = |world: &World| {
        let calls = &world.host(pair.callee).saved_state.0.calls;
        calls.iter().filter(|call| call.is_new).count()
    };
    assert_eq!(new(&world), 1);
    command(&mut world, pair, LineCommand::MissedSeen);
    assert_eq!(new(&world), 0);
}

#[test]
fn a_text_that_was_read_at_a_screen_waits_for_no_phone() {
    let mut world = World::new(4);
    let (here, there) = (world.open_engine(1), world.open_engine(1));
    let alice = world.add_phone(here, 0);
    let line = world.number(there, 0);
    world.send_text(alice, line, "read me");
    world.run_for(SOON);
    let waiting = world
        .host(there)
        .engine
        .saved_state()
        .texts
        .front()
        .map(|text| text.id);
    let id = waiting.expect("no phone is there to take it");
    world
        .command(there, line, LineCommand::TextRead(id))
        .expect("it is there");
    assert_eq!(
        world.command(there, line, LineCommand::TextRead(id)),
        Err(LineCommandError::NoSuchText)
    );
    let bob = world.add_phone(there, 0);
    world.run_for(SOON);
    assert_eq!(texts(&world, bob), 0);
}

#[test]
fn a_line_of_another_engine_takes_no_commands() {
    let (mut world, pair) = World::of_two(5);
    let line = called(&world, pair);
    assert_eq!(
        world.command(pair.caller, line, LineCommand::DoNotDisturb(true)),
        Err(LineCommandError::NoSuchLine)
    );
    assert!(rings(&mut world, pair));
}
