//! We call the phones of a line: forking, refusals, and the races around CANCEL.

use std::time::Duration;

use ringfence_sip::message::{Method, Name, Request};
use ringfence_sip::{Event, HangUp, LegId, RequestError};

use crate::world::{ANSWER, Call, OFFER, Phone, World, caller, phone, tcp_phone, user};

fn place(world: &mut World) -> LegId {
    let leg = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), world.now)
        .unwrap();
    world.drain();
    leg
}

fn invite(world: &mut World, phone: &Phone) -> Request {
    let mut requests = world.requests(phone.flow);
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

#[test]
fn a_phone_rings_answers_and_hangs_up() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = place(&mut world);
    let invite = invite(&mut world, &bob);
    assert_eq!(invite.uri, "sip:bob@127.0.0.1:40002");
    assert_eq!(invite.body, OFFER);
    let from = invite.headers.from().unwrap();
    assert_eq!(
        (from.uri.user().unwrap().as_str(), from.name.as_deref()),
        ("5550100", Some("Carol \"C\""))
    );
    // Offered, and not required: phones refuse what they do not know.
    assert!(invite.headers.lists(&Name::Supported, "100rel"));
    assert_eq!(invite.headers.get(&Name::Require), None);
    assert_eq!(invite.headers.get(&Name::SessionExpires), None);
    let asserted = invite.headers.text(&Name::AssertedIdentity);
    assert_eq!(
        asserted,
        Some("\"Carol \\\"C\\\"\" <sip:5550100@127.0.0.1:5060>")
    );
    bob.answer(&mut world, &invite, 100);
    bob.answer(&mut world, &invite, 180);
    bob.answer(&mut world, &invite, 180);
    assert_eq!(world.event(), Event::Ringing { leg });
    let ok = bob.answer(&mut world, &invite, 200);
    assert_eq!(
        world.event(),
        Event::Answered {
            leg,
            sdp: ANSWER.to_vec()
        }
    );
    let ack = world.requests(bob.flow).remove(0);
    assert_eq!(
        (&ack.method, ack.headers.cseq().unwrap().number),
        (&Method::Ack, 1)
    );
    assert_ne!(ack.headers.via(), invite.headers.via());
    let mut call = Call::answered(&invite, &ok);
    let bye = call.request(&bob, &mut world, Method::Bye);
    assert_eq!(bob.ask(&mut world, &bye).status, 200);
    assert_eq!(world.event(), Event::HungUp { leg });
}

#[test]
fn a_line_without_phones_can_not_be_called() {
    let mut world = World::new();
    let placed = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), world.now);
    assert_eq!(placed, Err(RequestError::NoPhone));
}

#[test]
fn a_phone_whose_time_is_over_is_not_called() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    // The timer has run out, but is not handled yet.
    let late = world.now + Duration::from_secs(301);
    let placed = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), late);
    assert_eq!(placed, Err(RequestError::NoPhone));
}

#[test]
fn a_repeated_200_is_acknowledged_again() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    place(&mut world);
    let invite = invite(&mut world, &bob);
    bob.answer(&mut world, &invite, 200);
    let first = world.requests(bob.flow);
    world.events();
    bob.answer(&mut world, &invite, 200);
    assert_eq!(world.requests(bob.flow), first);
    assert_eq!(world.events(), []);
}

#[test]
fn all_phones_ring_one_wins_and_the_others_are_told_why() {
    let mut world = World::new();
    let phones = [
        phone("bob", 40002),
        phone("bob", 40003),
        tcp_phone("bob", 40004),
    ];
    for phone in &phones {
        phone.register(&mut world);
    }
    let leg = place(&mut world);
    let invites = phones.each_ref().map(|phone| invite(&mut world, phone));
    phones[0].answer(&mut world, &invites[0], 180);
    phones[1].answer(&mut world, &invites[1], 180);
    phones[1].answer(&mut world, &invites[1], 200);
    assert_eq!(
        world.events().last(),
        Some(&Event::Answered {
            leg,
            sdp: ANSWER.to_vec()
        })
    );
    assert_eq!(world.methods(phones[1].flow), ["ACK"]);
    let cancel = world.requests(phones[0].flow).remove(0);
    assert_eq!(cancel.method, Method::Cancel);
    assert_eq!(cancel.headers.via(), invites[0].headers.via());
    assert!(
        cancel
            .headers
            .text(&Name::Reason)
            .unwrap()
            .contains("Call completed elsewhere")
    );
    // The third has sent no response yet: its CANCEL has to wait.
    assert_eq!(world.methods(phones[2].flow), Vec::<String>::new());
    phones[2].answer(&mut world, &invites[2], 180);
    assert_eq!(world.methods(phones[2].flow), ["CANCEL"]);
    for index in [0, 2] {
        phones[index].answer(&mut world, &invites[index], 487);
        assert_eq!(world.methods(phones[index].flow), ["ACK"]);
    }
    assert_eq!(world.events(), []);
}

#[test]
fn a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = place(&mut world);
    let invite = invite(&mut world, &bob);
    bob.answer(&mut world, &invite, 180);
    world.events();
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.methods(bob.flow), ["CANCEL"]);
    bob.answer(&mut world, &invite, 200);
    assert_eq!(world.methods(bob.flow), ["ACK", "BYE"]);
    assert_eq!(world.events(), []);
}

#[test]
fn two_phones_that_answer_at_once_end_in_one_call() {
    let mut world = World::new();
    let phones = [phone("bob", 40002), phone("bob", 40003)];
    for phone in &phones {
        phone.register(&mut world);
    }
    let leg = place(&mut world);
    let invites = phones.each_ref().map(|phone| invite(&mut world, phone));
    phones[0].answer(&mut world, &invites[0], 200);
    phones[1].answer(&mut world, &invites[1], 200);
    assert_eq!(world.methods(phones[0].flow), ["ACK"]);
    assert_eq!(world.methods(phones[1].flow), ["ACK", "BYE"]);
    assert_eq!(
        world.event(),
        Event::Answered {
            leg,
            sdp: ANSWER.to_vec()
        }
    );
}

#[test]
fn a_cancel_waits_for_the_first_response_of_the_phone() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = place(&mut world);
    let invite = invite(&mut world, &bob);
    world
        .agent
        .hang_up(leg, HangUp::AnsweredElsewhere, world.now);
    world.drain();
    assert_eq!(world.inbox(bob.flow), []);
    bob.answer(&mut world, &invite, 100);
    assert_eq!(world.methods(bob.flow), ["CANCEL"]);
    bob.answer(&mut world, &invite, 487);
    assert_eq!(world.methods(bob.flow), ["ACK"]);
    world.advance(Duration::from_secs(70));
    assert_eq!(world.events(), []);
}

#[test]
fn a_busy_phone_does_not_end_the_others_but_a_decline_does() {
    let mut world = World::new();
    let phones = [
        phone("bob", 40002),
        phone("bob", 40003),
        phone("bob", 40004),
    ];
    for phone in &phones {
        phone.register(&mut world);
    }
    let leg = place(&mut world);
    let invites = phones.each_ref().map(|phone| invite(&mut world, phone));
    phones[1].answer(&mut world, &invites[1], 180);
    world.events();
    phones[0].answer(&mut world, &invites[0], 486);
    assert_eq!(world.events(), []);
    phones[2].answer(&mut world, &invites[2], 603);
    assert_eq!(world.event(), Event::Refused { leg, status: 603 });
    assert_eq!(world.methods(phones[1].flow), ["CANCEL"]);
}

#[test]
fn the_telling_refusal_is_reported() {
    let mut world = World::new();
    let phones = [phone("bob", 40002), phone("bob", 40003)];
    for phone in &phones {
        phone.register(&mut world);
    }
    let leg = place(&mut world);
    let invites = phones.each_ref().map(|phone| invite(&mut world, phone));
    phones[0].answer(&mut world, &invites[0], 486);
    phones[1].answer(&mut world, &invites[1], 500);
    assert_eq!(world.event(), Event::Refused { leg, status: 486 });
}

#[test]
fn a_silent_phone_is_given_up_after_seven_tries() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = place(&mut world);
    world.advance(Duration::from_millis(31_900));
    assert_eq!(world.methods(bob.flow), ["INVITE"; 7]);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.event(), Event::Refused { leg, status: 408 });
}

#[test]
fn a_phone_whose_stream_closes_while_it_rings_is_given_up() {
    let (mut world, bob) = (World::new(), tcp_phone("bob", 40002));
    bob.register(&mut world);
    let leg = place(&mut world);
    let invite = invite(&mut world, &bob);
    assert!(
        invite
            .headers
            .text(&Name::Contact)
            .unwrap()
            .contains(";transport=tcp")
    );
    world.agent.handle_flow_closed(bob.flow, world.now);
    world.drain();
    assert_eq!(
        world.events().last(),
        Some(&Event::Refused { leg, status: 408 })
    );
}

#[test]
fn a_phone_that_never_stops_ringing_is_stopped() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = place(&mut world);
    let invite = invite(&mut world, &bob);
    bob.answer(&mut world, &invite, 180);
    world.events();
    world.advance(Duration::from_secs(181));
    assert_eq!(world.event(), Event::Refused { leg, status: 408 });
    assert_eq!(
        world.methods(bob.flow).first().map(String::as_str),
        Some("CANCEL")
    );
    world.advance(Duration::from_secs(120));
    let left = world.agent.next_timeout();
    assert!(left.is_none(), "{left:?}");
}

#[test]
fn a_callers_name_can_not_break_out_of_its_header() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let mut caller = caller();
    caller.number = "1\r\nX-Evil: 1@h>;tag=0".to_owned();
    caller.name = Some("a\"\r\nX-Evil: 2".to_owned());
    world
        .agent
        .invite(&user("bob"), caller.clone(), OFFER.to_vec(), world.now)
        .unwrap();
    world.drain();
    let invite = invite(&mut world, &bob);
    assert_eq!(invite.headers.get(&Name::Other("X-Evil".to_owned())), None);
    assert_eq!(
        invite.headers.from().unwrap().uri.user().unwrap(),
        caller.number
    );
}

#[test]
fn a_phone_may_have_two_calls_at_once() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let first = place(&mut world);
    let one = invite(&mut world, &bob);
    let ok = bob.answer(&mut world, &one, 200);
    world.inbox(bob.flow);
    let second = place(&mut world);
    let two = invite(&mut world, &bob);
    assert_ne!(one.headers.call_id(), two.headers.call_id());
    bob.answer(&mut world, &two, 180);
    bob.answer(&mut world, &two, 200);
    assert_eq!(world.methods(bob.flow), ["ACK"]);
    world.events();
    let bye = Call::answered(&one, &ok).request(&bob, &mut world, Method::Bye);
    assert_eq!(bob.ask(&mut world, &bye).status, 200);
    assert_eq!(world.event(), Event::HungUp { leg: first });
    world.agent.hang_up(second, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.methods(bob.flow), ["BYE"]);
}
