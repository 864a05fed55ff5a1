//! Requests inside a call: re-INVITE, UPDATE, INFO, REFER, and those that belong to no call.

use std::time::Duration;

use ringfence_sip::message::{Method, Name, Request};
use ringfence_sip::{Digit, Event, HangUp, LegId};

use crate::world::{ANSWER, Call, OFFER, Phone, World, phone};

pub(crate) fn talking(world: &mut World, phone: &Phone) -> (Call, LegId) {
    let (call, leg) = phone.dial(world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(phone.flow).remove(0);
    let mut call = Call::of(&call.invite, &ok);
    let ack = call.ack(phone, world);
    phone.send(world, &ack);
    world.events();
    (call, leg)
}

pub(crate) fn offer(call: &mut Call, phone: &Phone, world: &mut World, method: Method) -> Request {
    let mut request = call.request(phone, world, method);
    request.headers.push(Name::ContentType, "application/sdp");
    request.body = OFFER.to_vec();
    request
}

#[test]
fn a_new_offer_is_asked_about_and_answered() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let reinvite = offer(&mut call, &alice, &mut world, Method::Invite);
    assert_eq!(alice.ask(&mut world, &reinvite).status, 100);
    assert_eq!(
        world.event(),
        Event::Reoffer {
            leg,
            sdp: OFFER.to_vec()
        }
    );
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    assert_eq!((ok.status, ok.body.as_slice()), (200, ANSWER));
    world.advance(Duration::from_millis(600));
    assert_eq!(world.statuses(alice.flow), [200]);
    let ack = call.ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.inbox(alice.flow), []);
    assert_eq!(world.events(), []);
}

#[test]
fn a_refused_offer_leaves_the_call_as_it_was() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let reinvite = offer(&mut call, &alice, &mut world, Method::Invite);
    alice.send(&mut world, &reinvite);
    world.inbox(alice.flow);
    world.agent.refuse(leg, 488, world.now);
    world.drain();
    let refused = world.responses(alice.flow).remove(0);
    assert_eq!(refused.status, 488);
    alice.send(&mut world, &Call::of(&reinvite, &refused).ack_of_refusal());
    world.events();
    let bye = call.request(&alice, &mut world, Method::Bye);
    assert_eq!(alice.ask(&mut world, &bye).status, 200);
    assert_eq!(world.event(), Event::HungUp { leg });
}

#[test]
fn a_second_offer_before_the_first_is_settled_is_put_off() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let first = offer(&mut call, &alice, &mut world, Method::Invite);
    alice.send(&mut world, &first);
    world.inbox(alice.flow);
    let second = offer(&mut call, &alice, &mut world, Method::Update);
    let later = alice.ask(&mut world, &second);
    assert_eq!(
        (later.status, later.headers.text(&Name::RetryAfter)),
        (500, Some("1"))
    );
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    world.inbox(alice.flow);
    let third = offer(&mut call, &alice, &mut world, Method::Update);
    assert_eq!(alice.ask(&mut world, &third).status, 491);
}

#[test]
fn an_update_refreshes_or_offers() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let refresh = call.request(&alice, &mut world, Method::Update);
    assert_eq!(alice.ask(&mut world, &refresh).status, 200);
    assert_eq!(world.events(), []);
    let update = offer(&mut call, &alice, &mut world, Method::Update);
    alice.send(&mut world, &update);
    assert_eq!(world.inbox(alice.flow), []);
    assert_eq!(
        world.event(),
        Event::Reoffer {
            leg,
            sdp: OFFER.to_vec()
        }
    );
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    assert_eq!(world.statuses(alice.flow), [200]);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.inbox(alice.flow), []);
}

#[test]
fn what_a_phone_may_ask_inside_a_call() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, _) = talking(&mut world, &alice);
    let cases = [
        (Method::Info, 200),
        (Method::Options, 200),
        (Method::Refer, 400),
        (Method::Notify, 481),
        (Method::Subscribe, 489),
        (Method::Publish, 405),
        (Method::Prack, 481),
        (Method::Other("FOO".to_owned()), 501),
    ];
    for (method, status) in cases {
        let request = call.request(&alice, &mut world, method.clone());
        assert_eq!(alice.ask(&mut world, &request).status, status, "{method}");
    }
    assert_eq!(world.events(), []);
}

fn info(call: &mut Call, phone: &Phone, world: &mut World, kind: &str, body: &str) -> Request {
    let mut info = call.request(phone, world, Method::Info);
    info.headers.push(Name::ContentType, kind);
    info.body = body.into();
    info
}

#[test]
fn keys_are_told_by_info_in_both_directions() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let key = info(
        &mut call,
        &alice,
        &mut world,
        "application/dtmf-relay",
        "Signal=5\r\nDuration=250\r\n",
    );
    assert_eq!(alice.ask(&mut world, &key).status, 200);
    // Once, however often the phone sends it.
    assert_eq!(alice.ask(&mut world, &key).status, 200);
    let digit = Digit::new(5, 250).unwrap();
    assert_eq!(world.event(), Event::Digit { leg, digit });
    let hash = info(&mut call, &alice, &mut world, "application/dtmf", "#");
    assert_eq!(alice.ask(&mut world, &hash).status, 200);
    let digit = Digit::new(11, 160).unwrap();
    assert_eq!(world.event(), Event::Digit { leg, digit });
    world.agent.send_digit(leg, digit, world.now);
    world.drain();
    let told = world.requests(alice.flow).remove(0);
    assert_eq!(told.method, Method::Info);
    assert_eq!(
        told.headers.text(&Name::ContentType),
        Some("application/dtmf-relay")
    );
    assert_eq!(told.body, b"Signal=#\r\nDuration=160\r\n");
    alice.answer(&mut world, &told, 200);
    assert_eq!(world.events(), []);
}

/// What the INFOs say that have left for the phone.
fn keys_told(world: &mut World, phone: &Phone) -> Vec<Request> {
    world.drain();
    let mut requests = world.requests(phone.flow);
    requests.retain(|request| request.method == Method::Info);
    requests
}

#[test]
fn keys_follow_one_another_and_a_flood_of_them_takes_one_transaction() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = talking(&mut world, &alice);
    let press = |world: &mut World, event| {
        let digit = Digit::new(event, 160).unwrap();
        world.agent.send_digit(leg, digit, world.now);
    };
    for at in 0..1_000 {
        press(&mut world, (at % 10) as u8);
    }
    // The first one, and sixteen that wait.
    let mut told = Vec::new();
    while let [key] = &keys_told(&mut world, &alice)[..] {
        told.push(key.body[b"Signal=".len()]);
        alice.answer(&mut world, key, 200);
    }
    assert_eq!(told, b"01234567890123456");
    press(&mut world, 5);
    assert_eq!(keys_told(&mut world, &alice).len(), 1, "and then as before");
}

#[test]
fn keys_that_wait_behind_an_unanswered_one_are_old_and_not_sent() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = talking(&mut world, &alice);
    let press = |world: &mut World, event| {
        let digit = Digit::new(event, 160).unwrap();
        world.agent.send_digit(leg, digit, world.now);
    };
    press(&mut world, 1);
    press(&mut world, 2);
    assert_eq!(keys_told(&mut world, &alice).len(), 1);
    world.advance(Duration::from_secs(33));
    assert!(
        keys_told(&mut world, &alice)
            .iter()
            .all(|info| info.body.starts_with(b"Signal=1"))
    );
    press(&mut world, 3);
    let told = keys_told(&mut world, &alice);
    assert!(
        matches!(&told[..], [info] if info.body.starts_with(b"Signal=3")),
        "{told:?}"
    );
}

#[test]
fn what_info_may_not_say() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let other = info(
        &mut call,
        &alice,
        &mut world,
        "application/media_control+xml",
        "<x/>",
    );
    let refused = alice.ask(&mut world, &other);
    let accepted = refused.headers.text(&Name::Accept).map(str::to_owned);
    assert_eq!(
        (refused.status, accepted.as_deref()),
        (415, Some("application/dtmf-relay, application/dtmf"))
    );
    let mut package = info(
        &mut call,
        &alice,
        &mut world,
        "application/dtmf-relay",
        "Signal=1",
    );
    package.headers.push(Name::InfoPackage, "foo");
    let refused = alice.ask(&mut world, &package);
    assert_eq!(
        (refused.status, refused.headers.text(&Name::RecvInfo)),
        (469, Some(""))
    );
    assert_eq!(world.events(), []);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    world.inbox(alice.flow);
    world
        .agent
        .send_digit(leg, Digit::new(1, 160).unwrap(), world.now);
    world.drain();
    assert_eq!(world.inbox(alice.flow), []);
}

#[test]
fn an_older_request_is_refused() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    call.number = 0;
    let old = call.request(&alice, &mut world, Method::Bye);
    assert_eq!(alice.ask(&mut world, &old).status, 500);
    assert_eq!(world.events(), []);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
}

#[test]
fn requests_of_no_call_are_481() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    for method in [Method::Bye, Method::Info, Method::Update, Method::Invite] {
        let mut request = alice.request(&mut world, method.clone(), "sip:ringfence@127.0.0.1:5060");
        request
            .headers
            .replace(Name::To, "<sip:ringfence@127.0.0.1>;tag=never");
        assert_eq!(alice.ask(&mut world, &request).status, 481, "{method}");
    }
    let bye = alice.request(&mut world, Method::Bye, "sip:ringfence@127.0.0.1:5060");
    assert_eq!(alice.ask(&mut world, &bye).status, 481);
}

#[test]
fn hanging_up_refuses_the_offer_that_is_open() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let reinvite = offer(&mut call, &alice, &mut world, Method::Invite);
    alice.send(&mut world, &reinvite);
    world.inbox(alice.flow);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    let inbox = world.inbox(alice.flow);
    let said: Vec<bool> = inbox
        .iter()
        .map(|message| message.to_bytes().starts_with(b"SIP/2.0 487"))
        .collect();
    assert_eq!(said.len(), 2);
    assert!(said.contains(&true));
}

#[test]
fn a_long_call_leaves_nothing_behind_in_the_tables() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    for _ in 0..5 {
        for _ in 0..1000 {
            let info = call.request(&alice, &mut world, Method::Info);
            assert_eq!(alice.ask(&mut world, &info).status, 200);
        }
        world.advance(Duration::from_secs(33));
    }
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.advance(Duration::from_secs(40));
    assert_eq!(world.agent.next_timeout(), None);
}
