//! Missed calls, and how the callee learns of them: call history, message waiting (MWI) and feature codes.

use std::time::Duration;

use ringfence_engine::{
    CallStep, EndReason,
    line::saved_state::{CallWay, PastCall},
};
use ringfence_tests::world::{
    CallPair, World,
    handset::{HandsetBehaviour, HandsetEvent},
};

const SOON: Duration = Duration::from_secs(5);

fn calls(world: &World, engine: usize) -> Vec<PastCall> {
    world
        .host(engine)
        .saved_state
        .0
        .calls
        .iter()
        .copied()
        .collect()
}

fn missed(world: &World, engine: usize) -> usize {
    calls(world, engine)
        .iter()
        .filter(|call| call.is_new)
        .count()
}

/// Alice lets it ring for a while and cancels.
fn ring_in_vain(world: &mut World, pair: CallPair) {
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_for(Duration::from_secs(8));
    world.hang_up(pair.alice);
    // The cancel leaves within seven seconds.
    world.run_for(Duration::from_secs(8));
}

/// Dials a code: the status that refused it, or 200 if the call was answered and ended by the engine.
fn dial_code(world: &mut World, phone: usize, code: &str) -> u16 {
    let known = world.handset(phone).events().len();
    world.dial_digits(phone, code);
    world.run_for(SOON);
    let events: Vec<_> = world.handset(phone).events_after(known).collect();
    let refused = events.iter().find_map(|event| match event {
        HandsetEvent::Refused(status) => Some(*status),
        _ => None,
    });
    if let Some(status) = refused {
        return status;
    }
    let of_call =
        |event: &&&HandsetEvent| matches!(event, HandsetEvent::Answered | HandsetEvent::HungUp);
    let of_call: Vec<_> = events.iter().filter(of_call).collect();
    assert_eq!(of_call, [&&HandsetEvent::Answered, &&HandsetEvent::HungUp]);
    assert!(world.handset(phone).is_free());
    // Two beeps.
    let heard = world.handset(phone).received_audio().heard(440.0);
    assert!(heard.tone >= Duration::from_millis(300), "{heard:?}");
    200
}

fn last_told(world: &World, phone: usize) -> String {
    let notices = world.handset(phone).events();
    let mut told = notices.into_iter().rev().filter_map(|notice| match notice {
        HandsetEvent::Notified { body, .. } => Some(body.clone()),
        _ => None,
    });
    told.next().expect("a notification")
}

#[test]
fn an_engine_that_was_off_learns_who_rang_and_an_engine_that_heard_it_counts_it_once() {
    for is_off in [true, false] {
        let (mut world, pair) = World::of_two(1);
        if is_off {
            world.switch_off(pair.callee);
        }
        ring_in_vain(&mut world, pair);
        world.run_for(Duration::from_secs(3_600));
        world.switch_on(pair.callee);
        world.run_for(SOON);
        let expected = (world.number(pair.caller, 0), CallWay::In, None, true);
        let calls = calls(&world, pair.callee);
        assert_eq!(calls.len(), 1, "off: {is_off}");
        let call = calls[0];
        assert_eq!((call.number, call.way, call.talked, call.is_new), expected);
        assert!(call.began.distance(world.wall()) > Duration::from_secs(3_600));
    }
}

#[test]
fn both_sides_remember_an_answered_call_and_how_long_it_was() {
    let (mut world, pair) = World::of_two(2);
    world.call(pair);
    world.run_for(Duration::from_secs(60));
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(10));
    // The note that went with the ring is no news, now and after a restart.
    world.run_for(Duration::from_secs(120));
    world.switch_off(pair.callee);
    world.switch_on(pair.callee);
    world.run_for(Duration::from_secs(120));
    for (engine, way) in [(pair.caller, CallWay::Out), (pair.callee, CallWay::In)] {
        let calls = calls(&world, engine);
        assert_eq!(
            (calls.len(), calls[0].way, calls[0].is_new),
            (1, way, false)
        );
        let talked = calls[0].talked.expect("it was answered");
        assert!((60..65).contains(&talked.as_secs()), "{talked:?}");
    }
    assert_eq!(
        world
            .relay
            .passed()
            .iter()
            .filter(|(_, sealed)| sealed.note_made.is_some())
            .count(),
        1
    );
}

#[test]
fn a_declined_call_is_no_news() {
    let (mut world, pair) = World::of_two(3);
    world.ring(pair);
    world.decline(pair.bob, 603);
    world.run_until_quiet(Duration::from_secs(60));
    assert_eq!(calls(&world, pair.callee).len(), 1);
    assert_eq!(missed(&world, pair.callee), 0);
}

#[test]
fn the_message_lamp_goes_on_for_missed_calls_and_star_97_turns_it_off() {
    let (mut world, pair) = World::of_two(4);
    let user = world.handset(pair.bob).config().user.clone();
    world.watch(pair.bob, "message-summary", &user);
    world.run_for(SOON);
    assert!(last_told(&world, pair.bob).contains("Messages-Waiting: no"));
    ring_in_vain(&mut world, pair);
    assert!(last_told(&world, pair.bob).contains("Voice-Message: 1/0"));
    assert_eq!(dial_code(&mut world, pair.bob, "*97"), 200);
    assert!(last_told(&world, pair.bob).contains("Messages-Waiting: no"));
    let alice = world.number(pair.caller, 0).to_string();
    let told = world.handset(pair.bob).events().into_iter().any(
        |notice| matches!(notice, HandsetEvent::Text { from, body, .. } if from == "*97" && body.contains(&alice)),
    );
    assert!(told);
}

#[test]
fn star_69_calls_the_last_caller_back() {
    let (mut world, pair) = World::of_two(5);
    assert_eq!(dial_code(&mut world, pair.bob, "*69"), 404);
    ring_in_vain(&mut world, pair);
    world.dial_digits(pair.bob, "*69");
    world.run_until("it rings there", SOON, |world| {
        world.handset(pair.alice).is_ringing()
    });
    assert_eq!(missed(&world, pair.callee), 1);
    world.answer(pair.alice);
    world.run_for(SOON);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(10));
    assert_eq!(missed(&world, pair.callee), 0);
}

#[test]
fn do_not_disturb_is_silence_and_the_caller_cannot_tell() {
    let (mut world, pair) = World::of_two(6);
    assert_eq!(dial_code(&mut world, pair.bob, "*78"), 200);
    world.switch_off(pair.callee);
    world.switch_on(pair.callee);
    world.run_for(SOON);
    world.dial(pair.alice, world.number(pair.callee, 0));
    let rings = |world: &World| world.handset(pair.bob).is_ringing();
    assert!(world.never(Duration::from_secs(35), rings));
    assert!(
        world
            .handset(pair.alice)
            .events()
            .contains(&&HandsetEvent::Ringback)
    );
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::Refused(480))
    );
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoAnswer)));
    assert_eq!(missed(&world, pair.callee), 1);
    assert_eq!(dial_code(&mut world, pair.bob, "*79"), 200);
    world.ring(pair);
}

#[test]
fn a_blocked_number_is_not_heard_of_until_it_is_unblocked() {
    let (mut world, pair) = World::of_two(7);
    ring_in_vain(&mut world, pair);
    assert_eq!(dial_code(&mut world, pair.bob, "*60"), 200);
    let before = calls(&world, pair.callee).len();
    ring_in_vain(&mut world, pair);
    world.send_text(pair.alice, world.number(pair.callee, 0), "hello?");
    world.run_for(SOON);
    assert_eq!(calls(&world, pair.callee).len(), before);
    let texts = |notice: &&HandsetEvent| matches!(notice, HandsetEvent::Text { body, .. } if body == "hello?");
    assert_eq!(
        world
            .handset(pair.bob)
            .events()
            .into_iter()
            .filter(texts)
            .count(),
        0
    );
    assert_eq!(dial_code(&mut world, pair.bob, "*80"), 200);
    // There is no other to unblock: that is no success.
    assert_eq!(dial_code(&mut world, pair.bob, "*80"), 603);
    world.ring(pair);
}

#[test]
fn an_unknown_star_code_is_not_dialled() {
    let (mut world, pair) = World::of_two(8);
    assert_eq!(dial_code(&mut world, pair.bob, "*99"), 404);
    assert_eq!(world.relay.passed().len(), 0);
}

#[test]
fn busy_lamps_show_a_call_and_its_number_to_phones_of_the_same_line_only() {
    let mut world = World::new(9);
    let (here, there) = (world.open_engine(1), world.open_engine(2));
    let alice = world.add_phone(here, 0);
    let bob = world.add_phone(there, 0);
    let (beside, other) = (world.add_phone(there, 0), world.add_phone(there, 1));
    let line = world.number(there, 0);
    for phone in [beside, other] {
        world.watch(phone, "dialog", &line.to_string());
    }
    world.run_for(SOON);
    assert!(!last_told(&world, other).contains("<dialog "));
    world.dial(alice, line);
    world.run_until("rings", SOON, |world| world.handset(bob).is_ringing());
    world.run_for(Duration::from_secs(1));
    let alices = world.number(here, 0).to_string();
    assert!(last_told(&world, other).contains("recipient\"><state>early</state>"));
    assert!(!last_told(&world, other).contains(&alices));
    assert!(last_told(&world, beside).contains(&format!("sip:{alices}@")));
    world.answer(bob);
    world.run_for(SOON);
    assert!(last_told(&world, other).contains("<state>confirmed</state>"));
    world.hang_up(bob);
    world.run_for(SOON);
    assert!(last_told(&world, other).contains("<state>terminated</state>"));
}

#[test]
fn a_phone_that_lists_the_lamp_is_told_without_having_asked_until_it_refuses() {
    let (mut world, pair) = World::of_two(10);
    let plain = world.add_phone(pair.callee, 0);
    let make = HandsetBehaviour {
        allow_events: Some("talk, hold, message-summary"),
        ..HandsetBehaviour::PLAIN
    };
    world.set_behaviour(pair.bob, make);
    world.register(pair.bob);
    world.run_for(SOON);
    ring_in_vain(&mut world, pair);
    assert!(last_told(&world, pair.bob).contains("Voice-Message: 1/0"));
    // A phone that lists no event packages gets none, and every other phone gets one.
    let told = |world: &World, phone: usize| {
        let notices = world.handset(phone).events().into_iter();
        let told = notices.filter(|notice| matches!(notice, HandsetEvent::Notified { .. }));
        told.count()
    };
    assert_eq!((told(&world, pair.bob), told(&world, plain)), (1, 0));
    let refusing = HandsetBehaviour {
        notify_status: 481,
        ..make
    };
    world.set_behaviour(pair.bob, refusing);
    for expected in [2, 2] {
        ring_in_vain(&mut world, pair);
        assert_eq!(told(&world, pair.bob), expected);
    }
}

#[test]
fn a_phone_that_has_subscribed_is_not_told_twice() {
    let (mut world, pair) = World::of_two(11);
    let make = HandsetBehaviour {
        allow_events: Some("message-summary"),
        ..HandsetBehaviour::PLAIN
    };
    world.set_behaviour(pair.bob, make);
    world.register(pair.bob);
    let user = world.handset(pair.bob).config().user.clone();
    world.watch(pair.bob, "message-summary", &user);
    world.run_for(SOON);
    let before = world.handset(pair.bob).events().len();
    ring_in_vain(&mut world, pair);
    let notices = world.handset(pair.bob).events();
    let told = notices[before..]
        .iter()
        .filter(|notice| matches!(notice, HandsetEvent::Notified { .. }));
    assert_eq!(told.count(), 1);
}
