//! Reliable provisional responses (RFC 3262), and the early answers of phones.

use std::time::Duration;

use ringfence_sip::message::{Method, Name, Request, Response};
use ringfence_sip::{Event, LegId};

use crate::world::{ANSWER, Call, OFFER, Phone, World, caller, phone, user};

fn dial(world: &mut World, phone: &Phone, sdp: &[u8]) -> (Request, LegId) {
    phone.dial_with(world, &[(Name::Require, "100rel")], sdp)
}

fn prack(
    world: &mut World,
    phone: &Phone,
    invite: &Request,
    ringing: &Response,
    rack: &str,
) -> Request {
    let mut call = Call::of(invite, ringing);
    let mut prack = call.request(phone, world, Method::Prack);
    prack.headers.push(Name::RAck, rack);
    prack
}

#[test]
fn a_phone_that_requires_it_hears_reliably_that_it_rings() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (invite, leg) = dial(&mut world, &alice, OFFER);
    world.agent.ring(leg, world.now);
    world.agent.ring(leg, world.now);
    world.drain();
    let ringing = world.responses(alice.flow).remove(0);
    assert_eq!(ringing.status, 180);
    assert!(ringing.headers.lists(&Name::Require, "100rel"));
    let rseq = ringing.headers.text(&Name::RSeq).unwrap().to_owned();
    world.advance(Duration::from_millis(3600));
    assert_eq!(
        world.statuses(alice.flow),
        [180, 180, 180],
        "after 0.5, 1.5 and 3.5 s"
    );
    let number = invite.headers.cseq().unwrap().number;
    for (rack, status) in [
        (format!("{rseq} {} INVITE", number + 1), 481),
        (format!("9 {number} INVITE"), 481),
        (format!("{rseq} {number} BYE"), 481),
        ("x".to_owned(), 481),
        (format!("{rseq} {number} INVITE"), 200),
        (format!("{rseq} {number} INVITE"), 481),
    ] {
        let prack = prack(&mut world, &alice, &invite, &ringing, &rack);
        assert_eq!(alice.ask(&mut world, &prack).status, status, "{rack}");
    }
    world.advance(Duration::from_secs(60));
    assert_eq!(world.statuses(alice.flow), []);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    assert_eq!(world.statuses(alice.flow), [200]);
}

#[test]
fn the_answer_may_be_faster_than_the_acknowledgement() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (invite, leg) = dial(&mut world, &alice, OFFER);
    world.agent.ring(leg, world.now);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let [ringing, ok] = &world.responses(alice.flow)[..] else {
        panic!("180 and 200")
    };
    assert_eq!((ringing.status, ok.status), (180, 200));
    let number = invite.headers.cseq().unwrap().number;
    let prack = prack(
        &mut world,
        &alice,
        &invite,
        ringing,
        &format!("1 {number} INVITE"),
    );
    assert_eq!(alice.ask(&mut world, &prack).status, 200);
    world.advance(Duration::from_millis(400));
    assert_eq!(world.statuses(alice.flow), []);
}

#[test]
fn a_phone_that_never_acknowledges_is_refused() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = dial(&mut world, &alice, OFFER);
    world.agent.ring(leg, world.now);
    world.drain();
    world.advance(Duration::from_millis(32_100));
    assert_eq!(world.event(), Event::Cancelled { leg });
    assert_eq!(world.statuses(alice.flow).last(), Some(&504));
}

#[test]
fn without_an_offer_there_is_nothing_to_be_said_reliably() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = dial(&mut world, &alice, b"");
    world.agent.ring(leg, world.now);
    world.drain();
    assert_eq!(world.statuses(alice.flow), []);
}

#[test]
fn a_phones_reliable_answers_are_acknowledged_once_each_and_in_order() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), world.now)
        .unwrap();
    world.drain();
    let invite = world.requests(bob.flow).remove(0);
    let ring = |world: &mut World, status, rseq: &str| {
        let mut ringing = bob.response(&invite, status);
        ringing.headers.push(Name::Require, "100rel");
        ringing.headers.push(Name::RSeq, rseq);
        if status == 183 {
            ringing.headers.push(Name::ContentType, "application/sdp");
            ringing.body = ANSWER.to_vec();
        }
        world.push(bob.flow, &ringing.to_bytes());
        world.requests(bob.flow)
    };
    let first = ring(&mut world, 180, "776656").remove(0);
    assert_eq!(first.method, Method::Prack);
    assert_eq!(first.headers.text(&Name::RAck), Some("776656 1 INVITE"));
    assert_eq!(first.headers.cseq().unwrap().number, 2);
    assert_eq!(ring(&mut world, 180, "776656"), []);
    assert_eq!(ring(&mut world, 183, "776658"), []);
    let second = ring(&mut world, 183, "776657").remove(0);
    assert_eq!(second.headers.text(&Name::RAck), Some("776657 1 INVITE"));
    assert_eq!(second.headers.cseq().unwrap().number, 3);
    assert_eq!(world.event(), Event::Ringing { leg });
    // A 200 without SDP means the early one.
    let mut ok = bob.response(&invite, 200);
    ok.body.clear();
    world.push(bob.flow, &ok.to_bytes());
    let sdp = ANSWER.to_vec();
    assert_eq!(world.event(), Event::Answered { leg, sdp });
    assert_eq!(world.methods(bob.flow), ["ACK"]);
    world.agent.offer(leg, OFFER.to_vec(), world.now);
    world.drain();
    let next = world.requests(bob.flow).remove(0);
    assert_eq!(next.headers.cseq().unwrap().number, 4, "numbers go on");
}

#[test]
fn a_200_that_crosses_our_cancel_is_hung_up_with_a_number_of_its_own() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), world.now)
        .unwrap();
    world.drain();
    let invite = world.requests(bob.flow).remove(0);
    let mut ringing = bob.response(&invite, 180);
    ringing.headers.push(Name::Require, "100rel");
    ringing.headers.push(Name::RSeq, "1");
    world.push(bob.flow, &ringing.to_bytes());
    assert_eq!(world.methods(bob.flow), ["PRACK"]);
    world
        .agent
        .hang_up(leg, ringfence_sip::HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.methods(bob.flow), ["CANCEL"]);
    bob.answer(&mut world, &invite, 200);
    let numbers: Vec<(Method, u32)> = world
        .requests(bob.flow)
        .iter()
        .map(|request| {
            (
                request.method.clone(),
                request.headers.cseq().unwrap().number,
            )
        })
        .collect();
    assert_eq!(numbers, [(Method::Ack, 1), (Method::Bye, 3)]);
}
