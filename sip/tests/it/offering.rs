//! Offers of ours in a running call: re-INVITE, the phone's answer, and both offering at once.

use std::time::Duration;

use ringfence_sip::message::{Method, Name, Request, Response};
use ringfence_sip::{Event, HangUp, LegId};

use crate::in_call::{offer, talking};
use crate::world::{ANSWER, Call, OFFER, Phone, World, caller, phone, user};

fn make_offer(world: &mut World, leg: LegId) {
    world.agent.offer(leg, OFFER.to_vec(), world.now);
    world.drain();
}

fn only(requests: Vec<Request>) -> Request {
    let [request] = &requests[..] else {
        panic!("one request expected: {requests:?}")
    };
    request.clone()
}

/// As `Phone::answer`, to a request that has a To tag already.
pub(crate) fn reply(world: &mut World, phone: &Phone, request: &Request, status: u16) {
    let response: Response = phone.response(request, status);
    world.push(phone.flow, &response.to_bytes());
}

#[test]
fn a_phone_takes_our_offer_and_hears_the_ack_as_often_as_it_asks() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = talking(&mut world, &alice);
    make_offer(&mut world, leg);
    let invite = only(world.requests(alice.flow));
    assert_eq!(
        (&invite.method, invite.body.as_slice()),
        (&Method::Invite, OFFER)
    );
    assert_eq!(invite.headers.get(&Name::Require), None);
    for _ in 0..2 {
        reply(&mut world, &alice, &invite, 200);
        let ack = only(world.requests(alice.flow));
        assert_eq!(ack.method, Method::Ack);
        assert_eq!(
            ack.headers.cseq().unwrap().number,
            invite.headers.cseq().unwrap().number
        );
    }
    let sdp = ANSWER.to_vec();
    assert_eq!(world.event(), Event::OfferAnswered { leg, sdp });
}

#[test]
fn a_phone_that_refuses_our_offer_keeps_its_call() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    make_offer(&mut world, leg);
    let invite = only(world.requests(alice.flow));
    reply(&mut world, &alice, &invite, 488);
    assert_eq!(world.event(), Event::OfferRefused { leg, status: 488 });
    let bye = call.request(&alice, &mut world, Method::Bye);
    world.inbox(alice.flow);
    assert_eq!(alice.ask(&mut world, &bye).status, 200);
}

#[test]
fn a_phone_that_knows_the_call_no_more_has_hung_up() {
    for status in [481, 408] {
        let (mut world, alice) = (World::new(), phone("alice", 40001));
        let (_, leg) = talking(&mut world, &alice);
        make_offer(&mut world, leg);
        let invite = only(world.requests(alice.flow));
        reply(&mut world, &alice, &invite, status);
        assert_eq!(world.event(), Event::HungUp { leg });
    }
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = talking(&mut world, &alice);
    make_offer(&mut world, leg);
    world.advance(Duration::from_secs(33));
    assert_eq!(world.event(), Event::HungUp { leg });
}

/// When our offer comes again after a 491, counted from the 491.
fn second_try(mut world: World, phone: &Phone, leg: LegId) -> Duration {
    make_offer(&mut world, leg);
    let invite = only(world.requests(phone.flow));
    reply(&mut world, phone, &invite, 491);
    assert_eq!(only(world.requests(phone.flow)).method, Method::Ack);
    let start = world.now;
    for _ in 0..500 {
        world.advance(Duration::from_millis(10));
        if let Some(again) = world.requests(phone.flow).first() {
            assert_eq!(
                (&again.method, again.body.as_slice()),
                (&Method::Invite, OFFER)
            );
            return world.now - start;
        }
    }
    panic!("it never came again");
}

#[test]
fn after_a_glare_the_owner_of_the_call_waits_longer() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = talking(&mut world, &alice);
    assert!(second_try(world, &alice, leg) <= Duration::from_millis(2010));

    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), world.now)
        .unwrap();
    world.drain();
    let invite = only(world.requests(bob.flow));
    bob.answer(&mut world, &invite, 200);
    world.inbox(bob.flow);
    let wait = second_try(world, &bob, leg);
    assert!(
        (Duration::from_millis(2100)..=Duration::from_millis(4010)).contains(&wait),
        "{wait:?}"
    );
}

#[test]
fn a_phone_that_offers_while_our_offer_is_open_is_told_491() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    make_offer(&mut world, leg);
    world.inbox(alice.flow);
    for method in [Method::Invite, Method::Update] {
        let theirs = offer(&mut call, &alice, &mut world, method);
        let refused = alice.ask(&mut world, &theirs);
        assert_eq!(refused.status, 491);
        if theirs.method == Method::Invite {
            alice.send(&mut world, &Call::of(&theirs, &refused).ack_of_refusal());
        }
    }
    assert_eq!(world.events(), []);
}

#[test]
fn our_offer_waits_until_the_phones_is_settled() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    let theirs = offer(&mut call, &alice, &mut world, Method::Invite);
    alice.send(&mut world, &theirs);
    world.events();
    make_offer(&mut world, leg);
    assert_eq!(world.requests(alice.flow), []);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    assert_eq!(world.requests(alice.flow), []);
    let ack = call.ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    assert_eq!(only(world.requests(alice.flow)).method, Method::Invite);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.methods(alice.flow), ["BYE"]);
}
