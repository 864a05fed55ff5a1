//! Line commands of the status page and the command line have the same effect on calls and texts as feature codes.

use std::time::Duration;

use ringfence_engine::line::command::{LineCommand, LineCommandError};
use ringfence_engine::line::saved_state::CallWay;
use ringfence_engine::line::written::TextFate;
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

#[test]
fn a_call_from_the_screen_rings_the_own_phone_first_and_then_both_hear_each_other() {
    let (mut world, pair) = World::of_two(6);
    let (alice, bob) = (world.number(pair.caller, 0), called(&world, pair));
    world
        .command(pair.caller, alice, LineCommand::Call(bob))
        .expect("a phone is there");
    world.run_until("the own phone rings", SOON, |world| {
        world.handset(pair.alice).is_ringing()
    });
    let shown = HandsetEvent::Ringing {
        caller: bob.to_string(),
    };
    assert!(world.handset(pair.alice).events().contains(&&shown));
    // Nothing leaves this engine before a person picks up here.
    assert!(world.never(SOON, |world| world.handset(pair.bob).is_ringing()));
    world.answer(pair.alice);
    world.run_until("it rings there", SOON, |world| {
        world.handset(pair.bob).is_ringing()
    });
    world.answer(pair.bob);
    world.run_for(SOON);
    for phone in [pair.alice, pair.bob] {
        assert!(world.handset(phone).is_talking());
        assert!(world.handset(phone).received_audio().packets() > 100);
    }
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(11));
    assert!(world.handset(pair.bob).is_free());
    let past = &world.host(pair.caller).saved_state.0.calls;
    let call = past.back().expect("it is written down");
    assert_eq!((past.len(), call.number, call.way), (1, bob, CallWay::Out));
    assert!(call.talked.is_some());
}

#[test]
fn a_call_from_the_screen_that_nobody_picks_up_here_rings_nobody_there() {
    let (mut world, pair) = World::of_two(7);
    let (alice, bob) = (world.number(pair.caller, 0), called(&world, pair));
    let call = LineCommand::Call(bob);
    world
        .command(pair.caller, alice, call)
        .expect("a phone is there");
    world.run_until("the own phone rings", SOON, |world| {
        world.handset(pair.alice).is_ringing()
    });
    let half_a_minute = Duration::from_secs(35);
    assert!(world.never(half_a_minute, |world| world.handset(pair.bob).is_ringing()));
    assert!(!world.handset(pair.alice).is_ringing());
    // Declined here.
    world
        .command(pair.caller, alice, call)
        .expect("a phone is there");
    world.run_until("the own phone rings", SOON, |world| {
        world.handset(pair.alice).is_ringing()
    });
    world.decline(pair.alice, 603);
    assert!(world.never(SOON, |world| world.handset(pair.bob).is_ringing()));
    // Not taken there: the own phone is released.
    world
        .command(pair.caller, alice, call)
        .expect("a phone is there");
    world.run_until("the own phone rings", SOON, |world| {
        world.handset(pair.alice).is_ringing()
    });
    world.answer(pair.alice);
    world.run_for(Duration::from_secs(40));
    assert!(world.handset(pair.alice).is_free());
    let unknown = world.unassigned();
    for (number, why) in [
        (
            ringfence_book::Number::new(112),
            LineCommandError::Emergency,
        ),
        (
            ringfence_book::Number::new(7),
            LineCommandError::NoSuchNumber,
        ),
    ] {
        let told = world.command(pair.caller, alice, LineCommand::Call(number));
        assert_eq!(told, Err(why));
    }
    // A number that nobody has is called like any other: the screen tells no more than a phone.
    assert_eq!(
        world.command(pair.caller, alice, LineCommand::Call(unknown)),
        Ok(())
    );
}

#[test]
fn a_call_is_ended_at_the_screen_in_each_of_its_states() {
    for state in ["calling", "ringing", "talking there", "talking here"] {
        let (mut world, pair) = World::of_two(8);
        match state {
            "calling" | "ringing" => world.ring(pair),
            _ => world.call(pair),
        }
        let engine = match state {
            "calling" | "talking here" => pair.caller,
            _ => pair.callee,
        };
        let line = world.number(engine, 0);
        let live = world.host(engine).engine.live_calls();
        let [call] = live[..] else {
            panic!("{state}: {live:?}");
        };
        let hang_up = LineCommand::HangUp(call.label);
        world.command(engine, line, hang_up).expect("it is there");
        // The callee's engine hears of a ring that is taken back with the next envelope.
        world.run_for(Duration::from_secs(10));
        let is_decline = state == "ringing";
        assert!(!world.handset(pair.bob).is_ringing(), "{state}");
        assert!(world.handset(pair.bob).is_free(), "{state}");
        // A caller is not told that a person declined.
        assert_eq!(world.handset(pair.alice).is_free(), !is_decline, "{state}");
        let again = world.command(engine, line, hang_up);
        assert_eq!(again, Err(LineCommandError::NoSuchCall), "{state}");
        world.run_until_quiet(Duration::from_secs(60));
        assert!(world.handset(pair.alice).is_free(), "{state}");
    }
}

#[test]
fn a_text_from_the_screen_arrives_and_the_screen_is_told_what_became_of_it() {
    let (mut world, pair) = World::of_two(9);
    let (alice, bob) = (world.number(pair.caller, 0), called(&world, pair));
    world
        .write(pair.caller, (alice, bob), "from the screen")
        .expect("it is a text");
    world.run_for(SOON);
    let arrived = |notice: &&&HandsetEvent| {
        matches!(notice, HandsetEvent::Text { from, body, .. }
            if *from == alice.to_string() && body == "from the screen")
    };
    assert_eq!(
        world
            .handset(pair.bob)
            .events()
            .iter()
            .filter(arrived)
            .count(),
        1
    );
    let fates = |world: &World| -> Vec<TextFate> {
        let written = world.host(pair.caller).engine.written();
        written.iter().map(|text| text.fate).collect()
    };
    assert_eq!(fates(&world), [TextFate::Posted]);
    for (to, text, why) in [
        (bob, "", LineCommandError::NotAText),
        (bob, &*"x".repeat(6_481), LineCommandError::NotAText),
        (
            ringfence_book::Number::new(7),
            "x",
            LineCommandError::NoSuchNumber,
        ),
    ] {
        assert_eq!(world.write(pair.caller, (alice, to), text), Err(why));
    }
    for _ in 0..40 {
        world
            .write(pair.caller, (alice, bob), "again")
            .expect("it is a text");
    }
    assert!(fates(&world).len() <= 16);
}
