//! Texts from phone to phone through two engines and a relay that keeps them.

use std::time::Duration;

use ringfence_engine::{Sealed, date::UnixTime};
use ringfence_tests::world::{World, handset::Notice, links::Place};

const SOON: Duration = Duration::from_secs(5);

/// Longer than one envelope, with signs that a cut may fall into.
fn long() -> String {
    (0..130)
        .map(|line| format!("Grüße, Zeile {line}.\n"))
        .collect()
}

fn texts(world: &World, phone: usize) -> Vec<String> {
    let notices = world.handset(phone).notices();
    let bodies = notices.into_iter().filter_map(|notice| match notice {
        Notice::Text { body, .. } => Some(body.clone()),
        _ => None,
    });
    bodies.collect()
}

fn done(world: &World, phone: usize) -> Vec<u16> {
    let notices = world.handset(phone).notices();
    let statuses = notices.into_iter().filter_map(|notice| match notice {
        Notice::TextDone(status) => Some(*status),
        _ => None,
    });
    statuses.collect()
}

fn run_until_text(world: &mut World, phone: usize, count: usize) {
    world.run_until("a text is shown", SOON, |world| {
        texts(world, phone).len() == count
    });
}

#[test]
fn a_text_reaches_the_phones_of_the_other_line_once_and_the_sender_hears_202() {
    let (mut world, pair) = World::of_two(1);
    let carol = world.plug_in(pair.callee, 0);
    world.write(pair.alice, world.number(pair.callee, 0), "grüß dich");
    run_until_text(&mut world, pair.bob, 1);
    world.run_for(SOON);
    let expected = Notice::Text {
        from: world.number(pair.caller, 0).to_string(),
        name: None,
        body: "grüß dich".to_owned(),
    };
    for phone in [pair.bob, carol] {
        assert_eq!(texts(&world, phone).len(), 1);
        assert!(world.handset(phone).notices().contains(&&expected));
    }
    assert_eq!(done(&world, pair.alice), [202]);
    world.fetch_notes(pair.callee);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob).len(), 1);
    assert!(world.seat(pair.callee).engine.ledger().texts.is_empty());
}

#[test]
fn nothing_goes_back_to_the_sender_by_itself() {
    let (mut world, pair) = World::of_two(2);
    let before = world.trace().len();
    world.write(pair.alice, world.number(pair.callee, 0), "are you there?");
    run_until_text(&mut world, pair.bob, 1);
    world.run_for(Duration::from_secs(60));
    let us = Place::Engine(pair.callee);
    let outside = [Place::Relay, Place::Turn];
    let left = world.trace()[before..]
        .iter()
        .find(|passage| passage.from == us && outside.contains(&passage.to));
    assert_eq!(left, None);
}

#[test]
fn a_long_text_comes_whole_and_the_relay_sees_equal_envelopes() {
    let (mut world, pair) = World::of_two(3);
    let before = world.relay.passed().len();
    world.write(pair.alice, world.number(pair.callee, 0), &long());
    run_until_text(&mut world, pair.bob, 1);
    assert_eq!(texts(&world, pair.bob), [long()]);
    let passed = &world.relay.passed()[before..];
    assert_eq!(passed.len(), long().len().div_ceil(706));
    assert!(passed.len() > 1 && passed.iter().all(|(_, sealed)| sealed.bytes.len() == 1024));
    assert!(passed.iter().all(|(_, sealed)| sealed.note_made.is_some()));
}

#[test]
fn what_cannot_be_sent_is_refused_at_once_and_leaves_nothing() {
    let (mut world, pair) = World::of_two(4);
    let bob = world.number(pair.callee, 0).to_string();
    let before = world.relay.passed().len();
    let too_long = vec![b'x'; 706 * 8 + 1];
    let cases = [
        (
            bob.as_str(),
            ("application/im-iscomposing+xml", b"<x/>".as_slice()),
            415,
        ),
        (bob.as_str(), ("text/plain", b"\xff\xfe"), 400),
        (bob.as_str(), ("text/plain", &too_long), 413),
        ("1", ("text/plain", b"hello"), 404),
        ("somebody", ("text/plain", b"hello"), 404),
    ];
    for (to, written, status) in cases {
        world.write_as(pair.alice, to, written);
        world.run_for(Duration::from_secs(1));
        assert_eq!(done(&world, pair.alice).last(), Some(&status));
    }
    assert_eq!(world.relay.passed().len(), before);
}

#[test]
fn a_number_that_nobody_has_takes_texts_like_any_other() {
    let (mut world, pair) = World::of_two(5);
    world.write(pair.alice, world.unassigned(), "anybody?");
    world.run_until("taken", SOON, |world| done(world, pair.alice) == [202]);
}

#[test]
fn without_a_relay_the_sender_hears_503_and_nothing_comes_later() {
    let (mut world, pair) = World::of_two(6);
    world.relay.is_down = true;
    world.write(pair.alice, world.number(pair.callee, 0), "lost");
    world.run_until("refused", SOON, |world| done(world, pair.alice) == [503]);
    world.relay.is_down = false;
    world.fetch_notes(pair.callee);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), Vec::<String>::new());
}

#[test]
fn an_engine_that_was_off_gets_texts_in_order_and_never_twice() {
    let (mut world, pair) = World::of_two(7);
    let bob = world.number(pair.callee, 0);
    world.switch_off(pair.callee);
    for text in ["first", &long(), "third"] {
        world.write(pair.alice, bob, text);
        world.run_for(Duration::from_secs(20));
    }
    assert_eq!(done(&world, pair.alice), [202, 202, 202]);
    world.run_for(Duration::from_secs(5 * 86_400));
    world.switch_on(pair.callee);
    run_until_text(&mut world, pair.bob, 3);
    assert_eq!(texts(&world, pair.bob), ["first", &long(), "third"]);
    world.run_for(SOON);
    world.switch_off(pair.callee);
    world.switch_on(pair.callee);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob).len(), 3);
}

#[test]
fn a_relay_that_keeps_texts_for_too_long_is_not_believed() {
    let (mut world, pair) = World::of_two(8);
    world.switch_off(pair.callee);
    world.write(pair.alice, world.number(pair.callee, 0), "stale");
    world.run_for(Duration::from_secs(8 * 86_400));
    world.switch_on(pair.callee);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), Vec::<String>::new());
}

#[test]
fn a_text_that_no_phone_takes_waits_through_restarts_for_one_that_does() {
    let (mut world, pair) = World::of_two(9);
    world.answer_texts(pair.bob, 501);
    world.write(pair.alice, world.number(pair.callee, 0), "patience");
    world.run_for(Duration::from_secs(3_600));
    let seat = world.seat(pair.callee);
    let line = &seat.engine.lines()[0];
    assert_eq!(seat.engine.takes_no_texts(line), Some(501));
    assert_eq!(seat.ledger.0.texts.len(), 1);
    world.switch_off(pair.callee);
    world.switch_on(pair.callee);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), Vec::<String>::new());
    let carol = world.plug_in(pair.callee, 0);
    run_until_text(&mut world, carol, 1);
    world.run_for(SOON);
    let seat = world.seat(pair.callee);
    assert!(seat.engine.ledger().texts.is_empty());
    assert_eq!(seat.engine.takes_no_texts(&seat.engine.lines()[0]), None);
}

#[test]
fn a_phone_that_is_busy_for_a_while_is_asked_again() {
    let (mut world, pair) = World::of_two(10);
    world.answer_texts(pair.bob, 480);
    world.write(pair.alice, world.number(pair.callee, 0), "later");
    world.run_for(Duration::from_secs(20));
    world.answer_texts(pair.bob, 200);
    world.run_until("asked again", Duration::from_secs(60), |world| {
        texts(world, pair.bob) == ["later"]
    });
}

#[test]
fn a_text_shows_the_name_that_the_contact_has() {
    let (mut world, pair) = World::of_two(11);
    world.call(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(10));
    let alice = world.number(pair.caller, 0);
    world.edit_contacts(pair.callee, |contacts| {
        contacts.name(alice, "Alice").unwrap()
    });
    world.write(pair.alice, world.number(pair.callee, 0), "hi");
    run_until_text(&mut world, pair.bob, 1);
    let named =
        world.handset(pair.bob).notices().into_iter().any(
            |notice| matches!(notice, Notice::Text { name: Some(name), .. } if name == "Alice"),
        );
    assert!(named);
}

/// What the relay took last, while the callee's engine heard none of it.
fn intercepted(world: &mut World, engine: usize, act: impl FnOnce(&mut World)) -> Sealed {
    let us = Place::Engine(engine);
    world.meddle(move |passage| passage.to != us || passage.from != Place::Relay);
    act(world);
    world.run_for(Duration::from_secs(2));
    world.leave_alone();
    let (_, sealed) = world.relay.passed().last().expect("something was posted");
    sealed.clone()
}

#[test]
fn a_text_is_nothing_in_an_event_that_is_not_kept_and_a_ring_is_nothing_in_one_that_is() {
    let (mut world, pair) = World::of_two(12);
    let bob = world.number(pair.callee, 0);
    let text = intercepted(&mut world, pair.callee, |world| {
        world.write(pair.alice, bob, "hello");
    });
    world.post_again(Sealed {
        note_made: None,
        ..text
    });
    world.run_for(SOON);
    let ring = intercepted(&mut world, pair.callee, |world| world.dial(pair.alice, bob));
    let made = world.wall();
    world.post_again(Sealed {
        note_made: Some(made),
        ..ring
    });
    world.run_for(SOON);
    let noticed = world.handset(pair.bob).notices().into_iter();
    let odd = noticed.filter(|notice| matches!(notice, Notice::Text { .. } | Notice::Rings { .. }));
    assert_eq!(odd.count(), 0);
    assert_eq!(world.seat(pair.callee).engine.counters().forged, 2);
}

#[test]
fn an_altered_or_redated_text_is_dropped_and_the_real_one_shown() {
    let (mut world, pair) = World::of_two(13);
    let bob = world.number(pair.callee, 0);
    let text = intercepted(&mut world, pair.callee, |world| {
        world.write(pair.alice, bob, "hello");
    });
    let made = text.note_made.expect("a note");
    let mut redated = text.clone();
    redated.note_made = Some(UnixTime::from_seconds(made.seconds() - 300));
    world.post_again(redated);
    world.run_for(SOON);
    world.switch_off(pair.callee);
    let mut altered = text;
    altered.bytes[500] ^= 1;
    world.post_again(altered);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), Vec::<String>::new());
    world.switch_on(pair.callee);
    run_until_text(&mut world, pair.bob, 1);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), ["hello"]);
}
