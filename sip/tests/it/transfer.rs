//! A phone hands its call over (REFER), or takes another one's place (Replaces).

use std::time::Duration;

use ringfence_sip::message::{Method, Name, Request};
use ringfence_sip::{Event, HangUp, LegId, TransferTo};

use crate::in_call::talking;
use crate::world::{Call, OFFER, Phone, World, phone};

fn refer(call: &mut Call, phone: &Phone, world: &mut World, to: &str) -> Request {
    let mut refer = call.request(phone, world, Method::Refer);
    refer.headers.push(Name::ReferTo, to);
    refer
}

fn say(world: &mut World, leg: LegId, status: u16) {
    world.agent.notify_transfer(leg, status, world.now);
    world.drain();
}

/// The NOTIFYs that the phone got: state and status line of each.
fn told(world: &mut World, phone: &Phone) -> Vec<(String, String)> {
    let requests = world.requests(phone.flow).into_iter();
    requests
        .map(|notify| {
            assert_eq!(notify.method, Method::Notify);
            let text = |name| notify.headers.text(&name).unwrap().to_owned();
            assert_eq!(text(Name::ContentType), "message/sipfrag;version=2.0");
            let line = String::from_utf8(notify.body.clone()).unwrap();
            (text(Name::SubscriptionState), line)
        })
        .collect()
}

#[test]
fn a_blind_transfer_is_reported_and_its_progress_notified() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let refer = refer(&mut call, &alice, &mut world, "<sip:5550123@127.0.0.1>");
    alice.send(&mut world, &refer);
    let to = TransferTo {
        dialled: "5550123".to_owned(),
        leg: None,
    };
    assert_eq!(world.event(), Event::Transfer { leg, to });
    assert_eq!(world.inbox(alice.flow), []);
    world.agent.notify_transfer(leg, 100, world.now);
    world.drain();
    let [accepted, trying] = &world.inbox(alice.flow)[..] else {
        panic!("202 and NOTIFY")
    };
    assert!(accepted.to_bytes().starts_with(b"SIP/2.0 202 "));
    assert_eq!(trying.headers().text(&Name::Event), Some("refer"));
    assert_eq!(
        trying.headers().text(&Name::SubscriptionState),
        Some("active;expires=240")
    );
    say(&mut world, leg, 180);
    say(&mut world, leg, 200);
    let course = told(&mut world, &alice);
    assert_eq!(course[0].1, "SIP/2.0 180 Ringing\r\n");
    assert_eq!(
        course[1],
        (
            "terminated;reason=noresource".to_owned(),
            "SIP/2.0 200 OK\r\n".to_owned()
        )
    );
    // Nothing follows the final NOTIFY, and the call is still up.
    say(&mut world, leg, 200);
    assert_eq!(world.inbox(alice.flow), []);
    let bye = call.request(&alice, &mut world, Method::Bye);
    assert_eq!(alice.ask(&mut world, &bye).status, 200);
    assert_eq!(world.event(), Event::HungUp { leg });
}

#[test]
fn a_phone_that_answers_no_notify_keeps_its_call() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    // As Linphone writes it: no angle brackets.
    let refer = refer(&mut call, &alice, &mut world, "sip:7@127.0.0.1:5060");
    alice.send(&mut world, &refer);
    world.events();
    say(&mut world, leg, 100);
    say(&mut world, leg, 480);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.events(), []);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.advance(Duration::from_secs(40));
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn a_second_transfer_of_the_call_has_a_name_of_its_own() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let first = refer(&mut call, &alice, &mut world, "<sip:7@h>");
    alice.send(&mut world, &first);
    let second = refer(&mut call, &alice, &mut world, "<sip:8@h>");
    assert_eq!(alice.ask(&mut world, &second).status, 491);
    say(&mut world, leg, 404);
    assert_eq!(world.statuses(alice.flow), [404]);
    let third = refer(&mut call, &alice, &mut world, "<sip:9@h>");
    alice.send(&mut world, &third);
    say(&mut world, leg, 100);
    let number = third.headers.cseq().unwrap().number;
    let notify = world.requests(alice.flow).remove(0);
    assert_eq!(
        notify.headers.text(&Name::Event),
        Some(format!("refer;id={number}").as_str())
    );
}

#[test]
fn a_phone_may_want_no_notify_or_end_the_notifies() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let mut silent = refer(&mut call, &alice, &mut world, "<sip:7@h>");
    silent.headers.push(Name::ReferSub, "false");
    silent.headers.push(Name::Require, "norefersub");
    alice.send(&mut world, &silent);
    say(&mut world, leg, 100);
    say(&mut world, leg, 200);
    let [accepted] = &world.responses(alice.flow)[..] else {
        panic!("202 alone")
    };
    assert_eq!(
        (accepted.status, accepted.headers.text(&Name::ReferSub)),
        (202, Some("false"))
    );

    let loud = refer(&mut call, &alice, &mut world, "<sip:7@h>");
    alice.send(&mut world, &loud);
    say(&mut world, leg, 100);
    world.inbox(alice.flow);
    let mut enough = call.request(&alice, &mut world, Method::Subscribe);
    enough.headers.push(Name::Event, "refer");
    enough.headers.push(Name::Expires, "0");
    alice.send(&mut world, &enough);
    let [ok, last] = &world.inbox(alice.flow)[..] else {
        panic!("200 and the last NOTIFY")
    };
    assert!(ok.to_bytes().starts_with(b"SIP/2.0 200 "));
    assert_eq!(
        last.headers().text(&Name::SubscriptionState),
        Some("terminated;reason=timeout")
    );
    say(&mut world, leg, 200);
    assert_eq!(world.inbox(alice.flow), []);
}

#[test]
fn what_a_refer_may_not_ask() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    for (to, status) in [
        ("nonsense", 400),
        ("<sip:h>", 403),
        ("<sip:7@h;method=BYE>", 403),
        ("<sip:7@h?Replaces=x>", 400),
        ("<sip:7@h?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>", 481),
    ] {
        let bad = refer(&mut call, &alice, &mut world, to);
        assert_eq!(alice.ask(&mut world, &bad).status, status, "{to}");
    }
    let mut twice = refer(&mut call, &alice, &mut world, "<sip:7@h>");
    twice.headers.push(Name::ReferTo, "<sip:8@h>");
    assert_eq!(alice.ask(&mut world, &twice).status, 400);
    assert_eq!(world.events(), []);
    // A call that ends under a REFER answers it.
    let open = refer(&mut call, &alice, &mut world, "<sip:7@h>");
    alice.send(&mut world, &open);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.statuses(alice.flow), [487]);
}

fn tags(call: &Call) -> (String, String) {
    let tag = |text: &str| text.rsplit_once("tag=").unwrap().1.to_owned();
    (tag(&call.remote), tag(&call.local))
}

#[test]
fn an_attended_transfer_names_the_other_leg() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut first, leg) = talking(&mut world, &alice);
    let (second, other) = talking(&mut world, &alice);
    let (to_tag, from_tag) = tags(&second);
    let to = format!(
        "<sip:5550199@127.0.0.1;transport=udp?Replaces={}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{from_tag}>",
        second.call_id
    );
    let refer = refer(&mut first, &alice, &mut world, &to);
    alice.send(&mut world, &refer);
    let to = TransferTo {
        dialled: "5550199".to_owned(),
        leg: Some(other),
    };
    assert_eq!(world.event(), Event::Transfer { leg, to });
}

#[test]
fn a_new_call_may_take_the_place_of_another() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = talking(&mut world, &alice);
    let (to_tag, from_tag) = tags(&call);
    let desk = phone("alice", 40009);
    let cases = [
        (
            format!("{};to-tag={to_tag};from-tag={from_tag}", call.call_id),
            100,
        ),
        (
            format!(
                "{};to-tag={to_tag};from-tag={from_tag};early-only",
                call.call_id
            ),
            486,
        ),
        (
            format!("{};to-tag={from_tag};from-tag={to_tag}", call.call_id),
            481,
        ),
        ("x".to_owned(), 400),
    ];
    for (value, status) in cases {
        let mut invite = desk.request(&mut world, Method::Invite, "sip:5550199@127.0.0.1");
        invite.headers.push(Name::ContentType, "application/sdp");
        invite.body = OFFER.to_vec();
        invite.headers.push(Name::Replaces, value.clone());
        invite.headers.push(Name::Require, "replaces");
        assert_eq!(
            desk.ask_proved(&mut world, &invite).status,
            status,
            "{value}"
        );
        if status == 100 {
            let Event::Incoming { replaces, .. } = world.event() else {
                panic!("no call")
            };
            assert_eq!(replaces, Some(leg));
        }
    }
    assert_eq!(world.events(), []);
}
