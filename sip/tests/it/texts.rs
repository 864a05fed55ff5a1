//! Texts (RFC 3428): from phones, and to all phones of a line.

use std::time::{Duration, SystemTime};

use ringfence_sip::message::{Method, Name, Request};
use ringfence_sip::{Body, Event, RequestError, TextId};

use crate::in_call::talking;
use crate::world::{Phone, World, caller, phone, user};

fn message(world: &mut World, phone: &Phone) -> Request {
    // Linphone's Request-URI has no port at all.
    let mut message = phone.request(world, Method::Message, "sip:5550199@127.0.0.1");
    message
        .headers
        .push(Name::ContentType, "text/plain;charset=UTF-8");
    message.body = "gr\u{fc}\u{df} dich".into();
    message
}

fn written() -> Body {
    Body {
        content_type: "text/plain".to_owned(),
        bytes: b"hello".to_vec(),
    }
}

#[test]
fn a_phones_text_is_told_once_and_answered() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let message = message(&mut world, &alice);
    let challenge = alice.ask(&mut world, &message);
    assert_eq!(challenge.status, 401);
    let proved = alice.prove(&mut world, &message, &challenge, 1);
    for _ in 0..2 {
        alice.send(&mut world, &proved);
        assert_eq!(world.inbox(alice.flow), []);
    }
    let Event::Text {
        text,
        user,
        to,
        body,
    } = world.event()
    else {
        panic!("no text")
    };
    assert_eq!((user.as_str(), to.as_str()), ("alice", "5550199"));
    assert_eq!(
        (body.content_type.as_str(), &body.bytes),
        ("text/plain;charset=UTF-8", &message.body)
    );
    world.agent.answer_text(text, 202, world.now);
    world.agent.answer_text(text, 500, world.now);
    world.drain();
    assert_eq!(world.statuses(alice.flow), [202]);
    assert_eq!(alice.ask(&mut world, &proved).status, 202);
    assert_eq!(world.events(), []);
}

#[test]
fn a_text_without_an_answer_gets_480() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let message = message(&mut world, &alice);
    let challenge = alice.ask(&mut world, &message);
    let proved = alice.prove(&mut world, &message, &challenge, 1);
    alice.send(&mut world, &proved);
    world.advance(Duration::from_secs(21));
    assert_eq!(world.statuses(alice.flow), [480]);
    world.advance(Duration::from_secs(33));
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn a_text_within_a_call_is_for_the_other_side_of_it() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, _) = talking(&mut world, &alice);
    let mut message = call.request(&alice, &mut world, Method::Message);
    message.body = b"hi".to_vec();
    alice.send(&mut world, &message);
    let Event::Text { user, to, body, .. } = world.event() else {
        panic!("no text")
    };
    assert_eq!(
        (user.as_str(), to.as_str(), body.content_type.as_str()),
        ("alice", "5550199", "text/plain")
    );
}

#[test]
fn too_many_open_texts_are_turned_away() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let message = message(&mut world, &alice);
    let challenge = alice.ask(&mut world, &message);
    for count in 1..=257 {
        let proved = alice.prove(&mut world, &message, &challenge, count);
        alice.send(&mut world, &proved);
        let expected: &[u16] = if count == 257 { &[503] } else { &[] };
        assert_eq!(world.statuses(alice.flow), expected);
    }
}

fn send(world: &mut World) -> TextId {
    let (caller, written) = (caller(), written());
    // The example of RFC 9110 section 5.6.7.
    let written_at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let letter = (&written, Some(written_at));
    let sent = world
        .agent
        .send_text(&user("bob"), &caller, letter, world.now);
    world.drain();
    sent.unwrap()
}

#[test]
fn a_text_of_ours_goes_to_all_phones_and_one_that_takes_it_is_enough() {
    let (mut world, bob, desk) = (World::new(), phone("bob", 40002), phone("bob", 40003));
    let unreachable = world
        .agent
        .send_text(&user("bob"), &caller(), (&written(), None), world.now);
    assert_eq!(unreachable, Err(RequestError::NoPhone));
    bob.register(&mut world);
    desk.register(&mut world);
    let text = send(&mut world);
    let (first, second) = (
        world.requests(bob.flow).remove(0),
        world.requests(desk.flow).remove(0),
    );
    assert_eq!(
        (&first.method, first.body.as_slice()),
        (&Method::Message, &b"hello"[..])
    );
    assert_eq!(first.headers.from().unwrap().uri.user().unwrap(), "5550100");
    let date = first.headers.text(&Name::Date);
    assert_eq!(date, Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_ne!(first.headers.call_id(), second.headers.call_id());
    // baresip 4 knows no MESSAGE.
    desk.answer(&mut world, &second, 501);
    assert_eq!(world.events(), []);
    bob.answer(&mut world, &first, 200);
    assert_eq!(world.event(), Event::TextAccepted { text });
    world.advance(Duration::from_secs(60));
    assert_eq!(world.events(), []);
}

#[test]
fn a_text_that_no_phone_takes_is_refused() {
    let (mut world, bob, desk) = (World::new(), phone("bob", 40002), phone("bob", 40003));
    bob.register(&mut world);
    desk.register(&mut world);
    let text = send(&mut world);
    let first = world.requests(bob.flow).remove(0);
    bob.answer(&mut world, &first, 486);
    world.advance(Duration::from_secs(33));
    assert_eq!(world.event(), Event::TextRefused { text, status: 486 });
}
