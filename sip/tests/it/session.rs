//! Session timers (RFC 4028): requested by a phone, refreshed by the refresher, and the end of a session without a refresh.

use std::time::Duration;

use ringfence_sip::message::{Method, Name, Request, Response};
use ringfence_sip::{Event, LegId};

use crate::offering::reply;
use crate::world::{ANSWER, Call, OFFER, Phone, World, caller, phone, user};

/// A phone dials with these headers and is answered.
fn dial(world: &mut World, phone: &Phone, extra: &[(Name, &str)]) -> (Call, LegId, Response) {
    let (invite, leg) = phone.dial_with(world, extra, OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(phone.flow).remove(0);
    let mut call = Call::of(&invite, &ok);
    let ack = call.ack(phone, world);
    phone.send(world, &ack);
    world.events();
    (call, leg, ok)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_phone_that_refreshes_keeps_its_call_and_one_that_does_not_loses_it() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let asks = [(Name::Supported, "timer"), (Name::SessionExpires, "300")];
    let (mut call, leg, ok) = dial(&mut world, &alice, &asks);
    assert_eq!(
        ok.headers.text(&Name::SessionExpires),
        Some("300;refresher=uac")
    );
    assert!(ok.headers.lists(&Name::Require, "timer"));
    for _ in 0..3 {
        world.advance(seconds(150));
        let mut update = call.request(&alice, &mut world, Method::Update);
        update.headers.push(Name::Supported, "timer");
        update
            .headers
            .push(Name::SessionExpires, "300;refresher=uac");
        let refreshed = alice.ask(&mut world, &update);
        assert_eq!(refreshed.status, 200);
        assert_eq!(
            refreshed.headers.text(&Name::SessionExpires),
            Some("300;refresher=uac")
        );
    }
    world.advance(seconds(267));
    assert_eq!(world.events(), []);
    world.advance(seconds(1));
    assert_eq!(world.event(), Event::HungUp { leg });
    assert_eq!(world.methods(alice.flow), ["BYE"]);
}

#[test]
fn too_short_a_session_is_refused_with_the_shortest_that_is_taken() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut invite = alice.request(&mut world, Method::Invite, "sip:1@127.0.0.1");
    invite.headers.push(Name::Supported, "timer");
    invite.headers.push(Name::SessionExpires, "60");
    let refused = alice.ask_proved(&mut world, &invite);
    assert_eq!(
        (refused.status, refused.headers.text(&Name::MinSe)),
        (422, Some("90"))
    );
    assert_eq!(world.events(), []);
    let asks = [(Name::Supported, "timer"), (Name::SessionExpires, "90")];
    let (mut call, ..) = dial(&mut world, &alice, &asks);
    let mut update = call.request(&alice, &mut world, Method::Update);
    update.headers.push(Name::Supported, "timer");
    update.headers.push(Name::SessionExpires, "89");
    assert_eq!(alice.ask(&mut world, &update).status, 422);
}

#[test]
fn a_phone_without_timers_has_none() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, _, ok) = dial(&mut world, &alice, &[(Name::SessionExpires, "90")]);
    assert_eq!(ok.headers.get(&Name::SessionExpires), None);
    assert_eq!(ok.headers.get(&Name::Require), None);
    world.advance(seconds(86_400));
    assert_eq!(world.events(), []);
}

#[test]
fn we_refresh_when_the_phone_wants_it_by_update_if_it_takes_that() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let asks = [
        (Name::Supported, "timer"),
        (Name::SessionExpires, "200;refresher=uas"),
        (Name::Allow, "INVITE, ACK, BYE, CANCEL, UPDATE"),
    ];
    let (_, leg, ok) = dial(&mut world, &alice, &asks);
    assert_eq!(
        ok.headers.text(&Name::SessionExpires),
        Some("200;refresher=uas")
    );
    for _ in 0..3 {
        world.advance(seconds(100));
        let update = world.requests(alice.flow).remove(0);
        assert_eq!((&update.method, update.body.len()), (&Method::Update, 0));
        assert_eq!(
            update.headers.text(&Name::SessionExpires),
            Some("200;refresher=uac")
        );
        accept(&mut world, &alice, &update);
    }
    // A phone that does not take UPDATE after all is sent the last SDP again.
    world.advance(seconds(100));
    let update = world.requests(alice.flow).remove(0);
    reply(&mut world, &alice, &update, 501);
    let invite = world.requests(alice.flow).remove(0);
    assert_eq!(
        (&invite.method, invite.body.as_slice()),
        (&Method::Invite, ANSWER)
    );
    accept(&mut world, &alice, &invite);
    assert_eq!(world.methods(alice.flow), ["ACK"]);
    let sdp = ANSWER.to_vec();
    assert_eq!(world.event(), Event::OfferAnswered { leg, sdp });
    // One that wants longer sessions gets them; one that is silent has hung up.
    world.advance(seconds(100));
    let invite = world.requests(alice.flow).remove(0);
    let mut longer = alice.response(&invite, 422);
    longer.headers.push(Name::MinSe, "900");
    world.push(alice.flow, &longer.to_bytes());
    let again = world.requests(alice.flow).pop().unwrap();
    assert_eq!(
        again.headers.text(&Name::SessionExpires),
        Some("900;refresher=uac")
    );
    assert_eq!(again.headers.text(&Name::MinSe), Some("900"));
    world.advance(seconds(33));
    assert_eq!(world.event(), Event::HungUp { leg });
}

fn accept(world: &mut World, phone: &Phone, request: &Request) {
    let mut ok = phone.response(request, 200);
    let asked = request.headers.text(&Name::SessionExpires).unwrap();
    ok.headers.push(Name::SessionExpires, asked);
    world.push(phone.flow, &ok.to_bytes());
}

#[test]
fn a_called_phone_may_ask_for_a_timer_in_its_answer() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), world.now)
        .unwrap();
    world.drain();
    let invite = world.requests(bob.flow).remove(0);
    let mut ok = bob.response(&invite, 200);
    ok.headers.push(Name::Require, "timer");
    ok.headers.push(Name::SessionExpires, "1800;refresher=uac");
    world.push(bob.flow, &ok.to_bytes());
    world.events();
    world.inbox(bob.flow);
    world.advance(seconds(900));
    // Its registration is over meanwhile; its call is not.
    assert!(matches!(world.event(), Event::Unregistered { .. }));
    let refresh = world.requests(bob.flow).remove(0);
    assert_eq!(
        (&refresh.method, refresh.body.as_slice()),
        (&Method::Invite, OFFER)
    );
    // A refusal for another reason leaves the call to its end.
    reply(&mut world, &bob, &refresh, 488);
    assert_eq!(world.events(), []);
    world.advance(seconds(901));
    assert_eq!(world.event(), Event::HungUp { leg });
}
