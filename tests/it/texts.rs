//! Texts from phone to phone through two engines and a relay that stores them.

use std::time::Duration;

use ringfence_engine::{ReceivedEvent, time::UnixTime};
use ringfence_tests::world::{World, handset::HandsetEvent, links::Endpoint};

const SOON: Duration = Duration::from_secs(5);

/// Longer than one envelope, with multi-byte characters that a cut could split.
fn long() -> String {
    (0..130)
        .map(|line| format!("Grüße, Zeile {line}.\n"))
        .collect()
}

fn texts(world: &World, phone: usize) -> Vec<String> {
    let notices = world.handset(phone).events();
    let bodies = notices.into_iter().filter_map(|notice| match notice {
        HandsetEvent::Text { body, .. } => Some(body.clone()),
        _ => None,
    });
    bodies.collect()
}

fn done(world: &World, phone: usize) -> Vec<u16> {
    let notices = world.handset(phone).events();
    let statuses = notices.into_iter().filter_map(|notice| match notice {
        HandsetEvent::TextStatus(status) => Some(*status),
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
    let carol = world.add_phone(pair.callee, 0);
    world.send_text(pair.alice, world.number(pair.callee, 0), "grüß dich");
    run_until_text(&mut world, pair.bob, 1);
    world.run_for(SOON);
    let expected = HandsetEvent::Text {
        from: world.number(pair.caller, 0).to_string(),
        name: None,
        body: "grüß dich".to_owned(),
    };
    for phone in [pair.bob, carol] {
        assert_eq!(texts(&world, phone).len(), 1);
        assert!(world.handset(phone).events().contains(&&expected));
    }
    assert_eq!(done(&world, pair.alice), [202]);
    world.fetch_notes(pair.callee);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob).len(), 1);
    assert!(
        world
            .host(pair.callee)
            .engine
            .saved_state()
            .texts
            .is_empty()
    );
}

#[test]
fn nothing_goes_back_to_the_sender_by_itself() {
    let (mut world, pair) = World::of_two(2);
    let before = world.trace().len();
    world.send_text(pair.alice, world.number(pair.callee, 0), "are you there?");
    run_until_text(&mut world, pair.bob, 1);
    world.run_for(Duration::from_secs(60));
    let us = Endpoint::Engine(pair.callee);
    let outside = [Endpoint::Relay, Endpoint::Turn(0)];
    let left = world.trace()[before..]
        .iter()
        .find(|packet| packet.from == us && outside.contains(&packet.to));
    assert_eq!(left, None);
}

#[test]
fn a_long_text_comes_whole_and_the_relay_sees_equal_envelopes() {
    let (mut world, pair) = World::of_two(3);
    let before = world.relay.passed().len();
    world.send_text(pair.alice, world.number(pair.callee, 0), &long());
    run_until_text(&mut world, pair.bob, 1);
    assert_eq!(texts(&world, pair.bob), [long()]);
    let passed = &world.relay.passed()[before..];
    assert_eq!(passed.len(), long().len().div_ceil(810));
    assert!(passed.len() > 1 && passed.iter().all(|(_, sealed)| sealed.bytes.len() == 1024));
    assert!(passed.iter().all(|(_, sealed)| sealed.note_made.is_some()));
}

#[test]
fn what_cannot_be_sent_is_refused_at_once_and_leaves_nothing() {
    let (mut world, pair) = World::of_two(4);
    let bob = world.number(pair.callee, 0).to_string();
    let before = world.relay.passed().len();
    let too_long = vec![b'x'; 810 * 8 + 1];
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
        world.send_text_as(pair.alice, to, written);
        world.run_for(Duration::from_secs(1));
        assert_eq!(done(&world, pair.alice).last(), Some(&status));
    }
    assert_eq!(world.relay.passed().len(), before);
}

#[test]
fn an_unassigned_number_accepts_texts_like_any_other() {
    let (mut world, pair) = World::of_two(5);
    world.send_text(pair.alice, world.unassigned(), "anybody?");
    world.run_until("taken", SOON, |world| done(world, pair.alice) == [202]);
}

#[test]
fn without_a_relay_the_sender_hears_503_and_nothing_comes_later() {
    let (mut world, pair) = World::of_two(6);
    world.relay.is_down = true;
    world.send_text(pair.alice, world.number(pair.callee, 0), "lost");
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
        world.send_text(pair.alice, bob, text);
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
    // Of strangers, a copy of the book as old as this text would drop it anyhow.
    world.call(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(60));
    world.switch_off(pair.callee);
    world.send_text(pair.alice, world.number(pair.callee, 0), "stale");
    world.run_for(Duration::from_secs(8 * 86_400));
    world.switch_on(pair.callee);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), Vec::<String>::new());
}

#[test]
fn a_text_that_no_phone_takes_waits_through_restarts_for_one_that_does() {
    let (mut world, pair) = World::of_two(9);
    world.answer_texts(pair.bob, 501);
    world.send_text(pair.alice, world.number(pair.callee, 0), "patience");
    world.run_for(Duration::from_secs(3_600));
    let host = world.host(pair.callee);
    let line = &host.engine.lines()[0];
    assert_eq!(host.engine.message_refusal(line), Some(501));
    assert_eq!(host.saved_state.0.texts.len(), 1);
    world.switch_off(pair.callee);
    world.switch_on(pair.callee);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), Vec::<String>::new());
    let carol = world.add_phone(pair.callee, 0);
    run_until_text(&mut world, carol, 1);
    world.run_for(SOON);
    let host = world.host(pair.callee);
    assert!(host.engine.saved_state().texts.is_empty());
    assert_eq!(host.engine.message_refusal(&host.engine.lines()[0]), None);
}

#[test]
fn a_phone_that_is_busy_for_a_while_is_asked_again() {
    let (mut world, pair) = World::of_two(10);
    world.answer_texts(pair.bob, 480);
    world.send_text(pair.alice, world.number(pair.callee, 0), "later");
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
    world.send_text(pair.alice, world.number(pair.callee, 0), "hi");
    run_until_text(&mut world, pair.bob, 1);
    let named = world.handset(pair.bob).events().into_iter().any(
        |notice| matches!(notice, HandsetEvent::Text { name: Some(name), .. } if name == "Alice"),
    );
    assert!(named);
}

/// What the relay accepted last, while the callee's engine received nothing.
fn intercepted(world: &mut World, engine: usize, act: impl FnOnce(&mut World)) -> ReceivedEvent {
    let us = Endpoint::Engine(engine);
    world.filter_packets(move |packet| packet.to != us || packet.from != Endpoint::Relay);
    act(world);
    world.run_for(Duration::from_secs(2));
    world.remove_filter();
    let (_, sealed) = world.relay.passed().last().expect("something was posted");
    sealed.clone()
}

#[test]
fn a_text_is_nothing_in_an_event_that_is_not_kept_and_a_ring_is_nothing_in_one_that_is() {
    let (mut world, pair) = World::of_two(12);
    let bob = world.number(pair.callee, 0);
    let text = intercepted(&mut world, pair.callee, |world| {
        world.send_text(pair.alice, bob, "hello");
    });
    world.repost(ReceivedEvent {
        note_made: None,
        ..text
    });
    world.run_for(SOON);
    intercepted(&mut world, pair.callee, |world| world.dial(pair.alice, bob));
    let mut passed = world.relay.passed().iter().rev();
    let ring = passed.find(|(_, sealed)| sealed.note_made.is_none());
    let (_, ring) = ring.expect("it was posted").clone();
    let made = world.wall();
    world.repost(ReceivedEvent {
        note_made: Some(made),
        ..ring
    });
    // Before the ring comes again.
    world.run_for(Duration::from_secs(1));
    let time_of = world.handset(pair.bob).events().into_iter();
    let odd = time_of.filter(|notice| {
        matches!(
            notice,
            HandsetEvent::Text { .. } | HandsetEvent::Ringing { .. }
        )
    });
    assert_eq!(odd.count(), 0);
    assert_eq!(world.host(pair.callee).engine.counters().forged, 2);
}

#[test]
fn an_altered_or_redated_text_is_dropped_and_the_real_one_shown() {
    let (mut world, pair) = World::of_two(13);
    let bob = world.number(pair.callee, 0);
    let text = intercepted(&mut world, pair.callee, |world| {
        world.send_text(pair.alice, bob, "hello");
    });
    let made = text.note_made.expect("a note");
    let mut redated = text.clone();
    redated.note_made = Some(UnixTime::from_seconds(made.seconds() - 300));
    world.repost(redated);
    world.run_for(SOON);
    world.switch_off(pair.callee);
    let mut altered = text;
    altered.bytes[500] ^= 1;
    world.repost(altered);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), Vec::<String>::new());
    world.switch_on(pair.callee);
    run_until_text(&mut world, pair.bob, 1);
    world.run_for(SOON);
    assert_eq!(texts(&world, pair.bob), ["hello"]);
}
