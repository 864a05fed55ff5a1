//! Phones that are cut off, silent or new: a closed stream ends no call, OPTIONS asks, a restarted phone is reported.

use std::time::Duration;

use ringfence_sip::message::{Method, Name};
use ringfence_sip::{Digit, Event, HangUp, LegId, Refusal};

use crate::in_call::{offer, talking};
use crate::restart::register_as;
use crate::world::{ANSWER, Call, OFFER, Phone, World, phone, tcp_phone, user};

const TIMEOUT: Duration = Duration::from_secs(33);

fn close(world: &mut World, phone: &Phone) {
    world.agent.handle_flow_closed(phone.flow, world.now);
    world.drain();
}

/// A call over a stream that is closed: nothing of the call has ended.
fn cut_off(world: &mut World, alice: &Phone) -> (Call, LegId) {
    register_as(alice, world, ("a", "r1"));
    world.events();
    let (call, leg) = talking(world, alice);
    close(world, alice);
    let gone = Event::Unregistered {
        user: user("alice"),
        phones: 0,
    };
    assert_eq!(world.event(), gone);
    assert_eq!(world.inbox(alice.flow), []);
    (call, leg)
}

#[test]
fn a_call_goes_on_over_the_stream_of_the_phones_next_registration() {
    let mut world = World::new();
    let (alice, back) = (tcp_phone("alice", 40001), tcp_phone("alice", 40002));
    let (mut call, leg) = cut_off(&mut world, &alice);
    // It has no limit of its own.
    world.advance(Duration::from_secs(600));
    assert_eq!(world.events(), []);
    // Another phone of the line is not this one.
    let other = tcp_phone("alice", 40003);
    register_as(&other, &mut world, ("b", "r9"));
    world.agent.offer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    assert_eq!(world.inbox(other.flow), []);
    register_as(&back, &mut world, ("a", "r1"));
    let reinvite = world.requests(back.flow).remove(0);
    assert_eq!(reinvite.method, Method::Invite);
    back.answer(&mut world, &reinvite, 200);
    assert_eq!(world.methods(back.flow), ["ACK"]);
    assert_eq!(world.agent.flow(leg), Some(back.flow));
    world.events();
    let bye = call.request(&back, &mut world, Method::Bye);
    assert_eq!(back.ask(&mut world, &bye).status, 200);
    assert_eq!(world.event(), Event::HungUp { leg });
}

#[test]
fn a_call_goes_on_over_the_stream_of_the_phones_next_request() {
    let mut world = World::new();
    let (alice, back) = (tcp_phone("alice", 40001), tcp_phone("alice", 40002));
    let (mut call, leg) = cut_off(&mut world, &alice);
    world.agent.offer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let options = call.request(&back, &mut world, Method::Options);
    back.send(&mut world, &options);
    let reinvite = world.requests(back.flow).remove(0);
    assert_eq!(reinvite.method, Method::Invite);
    assert_eq!(world.agent.flow(leg), Some(back.flow));
}

#[test]
fn without_an_instance_only_a_new_stream_from_the_same_host_takes_a_call_over() {
    let mut world = World::new();
    let (alice, other) = (tcp_phone("alice", 40001), tcp_phone("alice", 40003));
    for phone in [&alice, &other] {
        phone.register(&mut world);
    }
    let (_, leg) = talking(&mut world, &alice);
    close(&mut world, &alice);
    // The other phone of that host refreshes over the stream that it had before.
    other.register(&mut world);
    assert_eq!(world.agent.flow(leg), Some(alice.flow));
    let back = tcp_phone("alice", 40002);
    back.register(&mut world);
    assert_eq!(world.agent.flow(leg), Some(back.flow));
}

#[test]
fn a_call_over_udp_follows_the_phone_to_another_port() {
    let mut world = World::new();
    let (alice, moved) = (phone("alice", 40001), phone("alice", 40002));
    register_as(&alice, &mut world, ("a", "r1"));
    world.events();
    let (_, leg) = talking(&mut world, &alice);
    register_as(&moved, &mut world, ("a", "r1"));
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.methods(moved.flow), ["BYE"]);
}

#[test]
fn a_call_that_is_hung_up_without_a_stream_ends_over_the_next_one() {
    let mut world = World::new();
    let (alice, back) = (tcp_phone("alice", 40001), tcp_phone("alice", 40002));
    let (_, leg) = cut_off(&mut world, &alice);
    world.agent.hang_up(leg, HangUp::NoSound, world.now);
    world.advance(Duration::from_secs(31));
    register_as(&back, &mut world, ("a", "r1"));
    let bye = world.requests(back.flow).remove(0);
    assert_eq!(bye.method, Method::Bye);
    back.answer(&mut world, &bye, 200);
    assert_eq!(world.event_names(), ["registered"]);
}

#[test]
fn a_call_that_is_hung_up_without_a_stream_leaves_nothing_behind() {
    let mut world = World::new();
    let (alice, back) = (tcp_phone("alice", 40001), tcp_phone("alice", 40002));
    let (_, leg) = cut_off(&mut world, &alice);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.advance(TIMEOUT);
    assert_eq!(world.agent.next_timeout(), None);
    register_as(&back, &mut world, ("a", "r1"));
    assert_eq!(world.methods(back.flow), Vec::<String>::new());
}

#[test]
fn a_bye_whose_stream_closes_is_sent_again_over_the_next_one() {
    let mut world = World::new();
    let (alice, back) = (tcp_phone("alice", 40001), tcp_phone("alice", 40002));
    register_as(&alice, &mut world, ("a", "r1"));
    world.events();
    let (_, leg) = talking(&mut world, &alice);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.methods(alice.flow), ["BYE"]);
    close(&mut world, &alice);
    register_as(&back, &mut world, ("a", "r1"));
    assert_eq!(world.methods(back.flow), ["BYE"]);
}

#[test]
fn what_was_under_way_when_the_stream_closed_is_made_again() {
    let mut world = World::new();
    let (alice, back) = (tcp_phone("alice", 40001), tcp_phone("alice", 40002));
    register_as(&alice, &mut world, ("a", "r1"));
    world.events();
    let (mut call, leg) = talking(&mut world, &alice);
    // Our offer has no answer yet.
    world.agent.offer(leg, OFFER.to_vec(), world.now);
    world.drain();
    assert_eq!(world.methods(alice.flow), ["INVITE"]);
    close(&mut world, &alice);
    register_as(&back, &mut world, ("a", "r1"));
    let reinvite = world.requests(back.flow).remove(0);
    assert_eq!(
        (reinvite.method.as_str(), reinvite.body.as_slice()),
        ("INVITE", OFFER)
    );
    back.answer(&mut world, &reinvite, 200);
    world.events();
    world.inbox(back.flow);
    // The phone's offer has no answer, then our answer no ACK.
    for is_answered in [false, true] {
        let theirs = offer(&mut call, &back, &mut world, Method::Invite);
        back.send(&mut world, &theirs);
        if is_answered {
            world.agent.answer(leg, ANSWER.to_vec(), world.now);
            world.drain();
        }
        world.inbox(back.flow);
        close(&mut world, &back);
        world.agent.answer(leg, ANSWER.to_vec(), world.now);
        world.advance(TIMEOUT);
        assert!(!world.event_names().contains(&"hung up"));
        let again = offer(&mut call, &back, &mut world, Method::Invite);
        assert_eq!(back.ask(&mut world, &again).status, 100);
        world.agent.answer(leg, ANSWER.to_vec(), world.now);
        world.drain();
        assert_eq!(world.statuses(back.flow), [200]);
        let ack = call.ack(&back, &mut world);
        back.send(&mut world, &ack);
        world.events();
    }
}

#[test]
fn an_answer_whose_ack_comes_over_another_stream_is_a_call() {
    let mut world = World::new();
    let (alice, back) = (tcp_phone("alice", 40001), tcp_phone("alice", 40002));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    close(&mut world, &alice);
    let ack = Call::of(&call.invite, &ok).ack(&back, &mut world);
    back.send(&mut world, &ack);
    assert_eq!(world.event_names(), ["confirmed"]);
    assert_eq!(world.agent.flow(leg), Some(back.flow));
}

#[test]
fn a_call_without_an_ack_ends_when_its_stream_stays_closed() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    let (_, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    close(&mut world, &alice);
    world.advance(TIMEOUT);
    assert_eq!(world.event(), Event::HungUp { leg });
    world.advance(TIMEOUT);
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn a_call_that_is_not_answered_ends_with_its_stream() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    let (_, leg) = alice.dial(&mut world, "5550199", OFFER);
    close(&mut world, &alice);
    assert_eq!(world.event(), Event::Cancelled { leg });
    assert_eq!(world.agent.final_messages(), []);
}

#[test]
fn any_response_to_a_probe_shows_a_phone_but_408_and_481_end_the_call() {
    for status in [200, 404, 405, 486, 501] {
        let (mut world, alice) = (World::new(), phone("alice", 40001));
        let (_, leg) = talking(&mut world, &alice);
        world.agent.probe(leg, world.now);
        world.agent.probe(leg, world.now);
        world.drain();
        let options = world.requests(alice.flow);
        assert_eq!(options.len(), 1, "one at a time");
        assert_eq!(options[0].method, Method::Options);
        alice.answer(&mut world, &options[0], status);
        assert_eq!(world.event(), Event::Probed { leg, alive: true });
    }
    for status in [408, 481] {
        let (mut world, alice) = (World::new(), phone("alice", 40001));
        let (_, leg) = talking(&mut world, &alice);
        world.agent.probe(leg, world.now);
        world.drain();
        let options = world.requests(alice.flow).remove(0);
        alice.answer(&mut world, &options, status);
        assert_eq!(world.event(), Event::HungUp { leg });
    }
}

#[test]
fn a_silent_phone_fails_the_probe_and_keeps_its_call() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, leg) = talking(&mut world, &alice);
    world.agent.probe(leg, world.now);
    world.advance(TIMEOUT);
    assert_eq!(world.event(), Event::Probed { leg, alive: false });
    world.agent.probe(leg, world.now);
    world.drain();
    assert_eq!(world.methods(alice.flow).last().unwrap(), "OPTIONS");
    let bye = call.request(&alice, &mut world, Method::Bye);
    alice.send(&mut world, &bye);
    assert_eq!(world.event(), Event::HungUp { leg });
    world.advance(TIMEOUT);
    assert_eq!(world.events(), []);
}

#[test]
fn a_probe_without_a_stream_fails_at_once() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    register_as(&alice, &mut world, ("a", "r1"));
    world.events();
    let (_, leg) = talking(&mut world, &alice);
    world.agent.probe(leg, world.now);
    close(&mut world, &alice);
    let failed = Event::Probed { leg, alive: false };
    assert!(world.events().contains(&failed));
    world.agent.probe(leg, world.now);
    world.drain();
    assert_eq!(world.event(), failed);
}

#[test]
fn a_phone_that_does_not_know_the_call_at_a_key_press_ends_it() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = talking(&mut world, &alice);
    let digit = Digit::new(1, 160).unwrap();
    for (status, events) in [(500, vec![]), (481, vec![Event::HungUp { leg }])] {
        world.agent.send_digit(leg, digit, world.now);
        world.drain();
        let info = world.requests(alice.flow).remove(0);
        alice.answer(&mut world, &info, status);
        assert_eq!(world.events(), events);
    }
}

#[test]
fn a_phone_that_registers_anew_is_reported_once_with_its_calls() {
    let mut world = World::new();
    let (alice, other) = (phone("alice", 40001), phone("alice", 40003));
    register_as(&alice, &mut world, ("a", "r1"));
    register_as(&other, &mut world, ("b", "r2"));
    world.events();
    let (_, leg) = talking(&mut world, &alice);
    talking(&mut world, &other);
    register_as(&alice, &mut world, ("a", "r1"));
    assert_eq!(world.events(), [], "a refresh");
    let anew = Event::Reregistered {
        user: user("alice"),
        legs: vec![leg],
    };
    register_as(&alice, &mut world, ("a", "r3"));
    assert_eq!(world.event(), anew);
    register_as(&alice, &mut world, ("a", "r3"));
    assert_eq!(world.events(), []);
    assert_eq!(world.agent.flow(leg), Some(alice.flow));
}

#[test]
fn a_phone_that_restarts_behind_a_closed_stream_is_reported() {
    let mut world = World::new();
    let (alice, back) = (tcp_phone("alice", 40001), tcp_phone("alice", 40002));
    let (_, leg) = cut_off(&mut world, &alice);
    register_as(&back, &mut world, ("a", "r2"));
    assert_eq!(world.event_names(), ["registered", "registered anew"]);
    assert_eq!(world.agent.flow(leg), Some(back.flow));
}

#[test]
fn a_called_phone_that_registers_anew_is_reported() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    register_as(&bob, &mut world, ("b", "r1"));
    world.events();
    let leg = world
        .agent
        .invite(
            &user("bob"),
            crate::world::caller(),
            OFFER.to_vec(),
            world.now,
        )
        .unwrap();
    world.drain();
    let invite = world.requests(bob.flow).remove(0);
    bob.answer(&mut world, &invite, 200);
    world.events();
    register_as(&bob, &mut world, ("b", "r2"));
    let anew = Event::Reregistered {
        user: user("bob"),
        legs: vec![leg],
    };
    assert_eq!(world.event(), anew);
}

#[test]
fn a_call_that_ends_for_want_of_sound_says_so() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    for (reason, expected) in [
        (HangUp::Normal, None),
        (HangUp::NoSound, Some("Q.850;cause=102;text=\"No sound\"")),
    ] {
        let (_, leg) = talking(&mut world, &alice);
        world.agent.hang_up(leg, reason, world.now);
        world.drain();
        let bye = world.requests(alice.flow).remove(0);
        assert_eq!(bye.headers.text(&Name::Reason), expected);
        alice.answer(&mut world, &bye, 200);
    }
}

#[test]
fn a_refusal_can_say_why_on_the_display() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = alice.dial(&mut world, "112", OFFER);
    let refusal = Refusal {
        status: 503,
        text: "No \"emergency\" calls",
    };
    world.agent.refuse_with(leg, refusal, world.now);
    world.drain();
    let refused = world.responses(alice.flow).remove(0);
    assert_eq!(
        (refused.status, refused.reason.as_slice()),
        (503, refusal.text.as_bytes())
    );
    assert_eq!(
        refused.headers.text(&Name::Warning),
        Some("399 ringfence \"No \\\"emergency\\\" calls\"")
    );
}
