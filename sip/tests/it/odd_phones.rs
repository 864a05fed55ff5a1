//! Phones that are old, slow-witted or in a hurry.

use std::time::Duration;

use ringfence_sip::message::{Method, Name};
use ringfence_sip::{Event, HangUp};

use crate::world::{ANSWER, Call, OFFER, World, caller, phone, user};

#[test]
fn a_phone_without_unique_branches_is_understood() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut invite = alice.request(&mut world, Method::Invite, "sip:5550199@127.0.0.1");
    let challenge = alice.ask(&mut world, &invite);
    invite = alice.prove(&mut world, &invite, &challenge, 1);
    invite
        .headers
        .replace(Name::Via, format!("SIP/2.0/UDP {};rport", alice.flow.peer));
    assert_eq!(alice.ask(&mut world, &invite).status, 100);
    assert_eq!(alice.ask(&mut world, &invite).status, 100);
    let Event::Incoming { leg, .. } = world.event() else {
        panic!("no call")
    };
    world.agent.refuse(leg, 486, world.now);
    world.drain();
    let busy = world.responses(alice.flow).remove(0);
    alice.send(&mut world, &Call::of(&invite, &busy).ack_of_refusal());
    world.advance(Duration::from_secs(40));
    assert_eq!(world.inbox(alice.flow), []);
}

#[test]
fn an_ack_with_the_branch_of_its_invite_confirms_a_200() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    alice.send(&mut world, &Call::of(&call.invite, &ok).ack_of_refusal());
    assert_eq!(
        world.event(),
        Event::Confirmed {
            leg,
            sdp: Vec::new()
        }
    );
}

#[test]
fn an_offer_that_overtakes_its_ack_is_put_off() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    let mut call = Call::of(&call.invite, &ok);
    let mut reinvite = call.request(&alice, &mut world, Method::Invite);
    reinvite.headers.push(Name::ContentType, "application/sdp");
    reinvite.body = OFFER.to_vec();
    assert_eq!(alice.ask(&mut world, &reinvite).status, 491);
    assert_eq!(world.events(), []);
}

#[test]
fn a_phone_that_moves_within_a_call_is_followed() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    let mut call = Call::of(&call.invite, &ok);
    let ack = call.ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    let moved = phone("alice", 40077);
    let update = call.request(&moved, &mut world, Method::Update);
    assert_eq!(moved.ask(&mut world, &update).status, 200);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    let bye = world.requests(moved.flow).remove(0);
    assert_eq!(bye.uri, "sip:alice@127.0.0.1:40077");
}

#[test]
fn guessed_passwords_are_not_all_looked_at() {
    let (mut world, mut alice) = (World::new(), phone("alice", 40001));
    let register = alice.register_request(&mut world, 300);
    let right = alice.password.clone();
    alice.password = "guess".to_owned();
    for _ in 0..10 {
        alice.ask_proved(&mut world, &register);
    }
    alice.password = right;
    assert_eq!(alice.ask_proved(&mut world, &register).status, 401);
    world.advance(Duration::from_secs(2));
    assert_eq!(alice.ask_proved(&mut world, &register).status, 200);
}

#[test]
fn a_late_repeat_of_an_old_registration_changes_nothing() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let register = alice.register_request(&mut world, 300);
    let challenge = alice.ask(&mut world, &register);
    let first = alice.prove(&mut world, &register, &challenge, 1);
    let second = alice.prove(&mut world, &register, &challenge, 2);
    assert_eq!(alice.ask(&mut world, &second).status, 200);
    assert_eq!(alice.ask(&mut world, &first).status, 500);
    assert_eq!(world.agent.phones(&user("alice")), 1);
}

#[test]
fn a_request_uri_without_a_number_is_incomplete() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let invite = alice.request(&mut world, Method::Invite, "sip:127.0.0.1:5060");
    assert_eq!(alice.ask_proved(&mut world, &invite).status, 484);
}

#[test]
fn a_telephone_uri_is_dialled_without_its_dashes() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let invite = alice.request(&mut world, Method::Invite, "tel:555-01-99");
    assert_eq!(alice.ask_proved(&mut world, &invite).status, 100);
    let Event::Incoming { dialled, .. } = world.event() else {
        panic!("no call")
    };
    assert_eq!(dialled, "5550199");
}

#[test]
fn the_urn_of_an_emergency_key_is_dialled_as_its_service() {
    for (urn, service) in [
        ("urn:service:sos", "sos"),
        ("URN:Service:sos.fire", "sos.fire"),
    ] {
        let (mut world, alice) = (World::new(), phone("alice", 40001));
        let invite = alice.request(&mut world, Method::Invite, urn);
        assert_eq!(alice.ask_proved(&mut world, &invite).status, 100);
        let Event::Incoming { dialled, .. } = world.event() else {
            panic!("no call")
        };
        assert_eq!(dialled, service);
    }
    for other in ["urn:service:", "urn:isbn:1"] {
        let (mut world, alice) = (World::new(), phone("alice", 40001));
        let invite = alice.request(&mut world, Method::Invite, other);
        assert_eq!(alice.ask(&mut world, &invite).status, 416, "{other}");
    }
}

#[test]
fn commands_that_come_too_late_do_nothing() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), world.now)
        .unwrap();
    world.drain();
    let invite = world.requests(bob.flow).remove(0);
    bob.answer(&mut world, &invite, 486);
    world.inbox(bob.flow);
    world.events();
    let now = world.now;
    world.agent.ring(leg, now);
    world.agent.answer(leg, ANSWER.to_vec(), now);
    world.agent.refuse(leg, 500, now);
    world.agent.hang_up(leg, HangUp::Normal, now);
    world.drain();
    assert_eq!(world.inbox(bob.flow), []);
    assert_eq!(world.events(), []);
}
