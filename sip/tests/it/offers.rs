//! Each phone of a line has an offer of its own, and others for when it refuses the first.

use ringfence_sip::message::{Name, Request};
use ringfence_sip::{Event, Flow, LegId, Offer, RequestError, Transport};

use crate::world::{ANSWER, Call, Phone, World, caller, phone, user};

const SECOND: &[u8] = b"v=0 second";
const THIRD: &[u8] = b"v=0 third";

/// A phone that registered over TLS, at an address of its own.
fn tls_phone() -> Phone {
    let mut phone = phone("bob", 40_009);
    phone.flow.transport = Transport::Tls;
    phone.flow.local = "[::1]:5061".parse().unwrap();
    phone.flow.connection = 9;
    phone
}

/// Offers that name the address at which the phone registered.
fn offer_to(flow: Flow) -> Offer {
    Offer {
        sdp: format!("v=0 at {}", flow.local.ip()).into_bytes(),
        fallbacks: [SECOND, THIRD].map(<[_]>::to_vec).into(),
    }
}

fn place(world: &mut World) -> LegId {
    let offer = |flow| Some(offer_to(flow));
    let leg = world
        .agent
        .invite_each(&user("bob"), caller(), offer, world.now);
    world.drain();
    leg.unwrap()
}

fn invite(world: &mut World, phone: &Phone) -> Request {
    let mut requests = world.requests(phone.flow);
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

/// The INVITE that follows on the ACK of a refusal.
fn next_invite(world: &mut World, phone: &Phone) -> Request {
    let mut requests = world.requests(phone.flow);
    let methods: Vec<_> = requests
        .iter()
        .map(|each| each.method.to_string())
        .collect();
    assert!(
        methods == ["ACK", "INVITE"] || methods == ["INVITE", "ACK"],
        "{methods:?}"
    );
    requests.retain(|request| request.method.to_string() == "INVITE");
    requests.remove(0)
}

#[test]
fn every_phone_is_told_the_address_at_which_it_registered() {
    let (mut world, udp, tls) = (World::new(), phone("bob", 40_002), tls_phone());
    udp.register(&mut world);
    tls.register(&mut world);
    let mut locals: Vec<_> = world
        .agent
        .flows(&user("bob"))
        .map(|flow| flow.local.to_string())
        .collect();
    locals.sort_unstable();
    assert_eq!(locals, ["127.0.0.1:5060", "[::1]:5061"]);
    place(&mut world);
    assert_eq!(invite(&mut world, &udp).body, b"v=0 at 127.0.0.1");
    let invite = invite(&mut world, &tls);
    assert_eq!(invite.body, b"v=0 at ::1");
    let contact = invite.headers.get(&Name::Contact).unwrap();
    assert_eq!(contact, b"<sip:ringfence@[::1]:5061;transport=tls>");
    assert!(
        invite
            .headers
            .get(&Name::Via)
            .unwrap()
            .starts_with(b"SIP/2.0/TLS [::1]:5061;")
    );
}

#[test]
fn a_phone_that_is_called_by_sips_is_told_a_sips_contact() {
    let (mut world, tls) = (World::new(), tls_phone());
    let mut register = tls.register_request(&mut world, 300);
    register
        .headers
        .replace(Name::Contact, format!("<sips:bob@{}>", tls.flow.peer));
    assert_eq!(tls.ask_proved(&mut world, &register).status, 200);
    world.drain();
    place(&mut world);
    let contact = invite(&mut world, &tls);
    let contact = contact.headers.get(&Name::Contact).unwrap();
    assert_eq!(contact, b"<sips:ringfence@[::1]:5061>");
}

#[test]
fn a_phone_that_refuses_one_offer_is_made_the_other_as_a_new_call() {
    let (mut world, bob) = (World::new(), phone("bob", 40_002));
    bob.register(&mut world);
    let leg = place(&mut world);
    assert_eq!(world.agent.flow(leg), None);
    let first = invite(&mut world, &bob);
    bob.answer(&mut world, &first, 488);
    let second = next_invite(&mut world, &bob);
    assert_eq!(second.body, SECOND);
    assert_ne!(second.headers.call_id(), first.headers.call_id());
    assert_ne!(
        second.headers.from().unwrap().tag(),
        first.headers.from().unwrap().tag()
    );
    let ok = bob.answer(&mut world, &second, 200);
    let sdp = ANSWER.to_vec();
    assert_eq!(world.event(), Event::Answered { leg, sdp });
    assert_eq!(world.agent.flow(leg), Some(bob.flow));
    let call = Call::answered(&second, &ok);
    assert_eq!(Some(call.call_id.as_str()), second.headers.call_id());
}

#[test]
fn a_phone_that_refuses_every_offer_has_refused() {
    let (mut world, bob) = (World::new(), phone("bob", 40_002));
    bob.register(&mut world);
    let leg = place(&mut world);
    let first = invite(&mut world, &bob);
    bob.answer(&mut world, &first, 488);
    let second = next_invite(&mut world, &bob);
    bob.answer(&mut world, &second, 488);
    let third = next_invite(&mut world, &bob);
    assert_eq!(third.body, THIRD);
    bob.answer(&mut world, &third, 488);
    assert_eq!(world.event(), Event::Refused { leg, status: 488 });
}

/// RFC 3261 sections 21.4.13, 21.4.26 and 21.6.4: phones say by each of these that they have no codec of an offer.
#[test]
fn a_phone_may_refuse_an_offer_by_three_statuses() {
    for refusal in [415, 488, 606] {
        let (mut world, bob) = (World::new(), phone("bob", 40_002));
        bob.register(&mut world);
        let leg = place(&mut world);
        let first = invite(&mut world, &bob);
        bob.answer(&mut world, &first, refusal);
        let second = next_invite(&mut world, &bob);
        assert_eq!(second.body, SECOND, "{refusal}");
        bob.answer(&mut world, &second, refusal);
        let third = next_invite(&mut world, &bob);
        bob.answer(&mut world, &third, refusal);
        let status = refusal;
        assert_eq!(world.event(), Event::Refused { leg, status });
    }
}

#[test]
fn a_phone_that_refuses_every_offer_by_606_does_not_silence_the_others() {
    let (mut world, bob, tls) = (World::new(), phone("bob", 40_002), tls_phone());
    bob.register(&mut world);
    tls.register(&mut world);
    let leg = place(&mut world);
    let mut asked = invite(&mut world, &bob);
    let other = invite(&mut world, &tls);
    for _ in 0..2 {
        bob.answer(&mut world, &asked, 606);
        asked = next_invite(&mut world, &bob);
    }
    bob.answer(&mut world, &asked, 606);
    assert_eq!(world.methods(bob.flow), ["ACK"]);
    tls.answer(&mut world, &other, 200);
    let sdp = ANSWER.to_vec();
    assert_eq!(world.event(), Event::Answered { leg, sdp });
}

#[test]
fn a_phone_that_is_busy_is_not_asked_again() {
    let (mut world, bob) = (World::new(), phone("bob", 40_002));
    bob.register(&mut world);
    let leg = place(&mut world);
    let first = invite(&mut world, &bob);
    bob.answer(&mut world, &first, 486);
    assert_eq!(world.event(), Event::Refused { leg, status: 486 });
    assert_eq!(world.methods(bob.flow), ["ACK"]);
}

#[test]
fn a_phone_without_an_offer_is_left_alone() {
    let (mut world, bob) = (World::new(), phone("bob", 40_002));
    bob.register(&mut world);
    let placed = world
        .agent
        .invite_each(&user("bob"), caller(), |_| None, world.now);
    assert_eq!(placed, Err(RequestError::NoPhone));
}
