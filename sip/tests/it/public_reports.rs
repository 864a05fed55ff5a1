//! Phones and proxies as public bug reports of other systems describe them: each test has the right value for one kind of fault.

use std::time::Duration;

use ringfence_sip::Event;
use ringfence_sip::message::{Method, Name, Request};
use ringfence_sip::{Flow, HangUp};

use crate::world::{ANSWER, Call, OFFER, Phone, World, caller, phone, tcp_phone, user};

/// A phone that sends from port 50001 and listens at 5060, and says so without `rport` (Cisco 79xx).
struct TwoPorts {
    sends: Phone,
    listens: Flow,
}

impl TwoPorts {
    fn new() -> Self {
        let mut sends = phone("alice", 50001);
        sends.flow.local = "192.0.2.1:5060".parse().unwrap();
        sends.flow.peer = "192.0.2.7:50001".parse().unwrap();
        let mut listens = sends.flow;
        listens.peer.set_port(5060);
        Self { sends, listens }
    }

    /// A request as this phone writes it; ACK and BYE have no Contact.
    fn written(&self, mut request: Request) -> Request {
        let branch = request.headers.via().unwrap().branch().unwrap();
        let via = format!("SIP/2.0/UDP 192.0.2.7:5060;branch={branch}");
        request.headers.replace(Name::Via, via);
        if matches!(request.method, Method::Ack | Method::Bye) {
            request.headers = without(&request, &Name::Contact);
        } else {
            request.headers.replace(
                Name::Contact,
                "<sip:alice@192.0.2.7:5060;user=phone;transport=udp>",
            );
        }
        request
    }

    /// Asks, and asks again with credentials: every response comes to the port of the Via (RFC 3261 section 18.2.2).
    fn ask_proved(&self, world: &mut World, request: &Request) -> (Request, u16) {
        self.sends.send(world, &self.written(request.clone()));
        let challenge = world.responses(self.listens).remove(0);
        let proved = self.written(self.sends.prove(world, request, &challenge, 1));
        self.sends.send(world, &proved);
        let statuses = world.statuses(self.listens);
        (proved, statuses[0])
    }
}

fn without(request: &Request, name: &Name) -> ringfence_sip::message::Headers {
    let mut headers = ringfence_sip::message::Headers::new();
    for (each, value) in request.headers.iter().filter(|(each, _)| *each != name) {
        headers.push(each.clone(), value);
    }
    headers
}

#[test]
fn a_phone_that_sends_from_another_port_than_its_contact_is_called_at_its_contact() {
    let (mut world, alice) = (World::new(), TwoPorts::new());
    let register = alice.sends.register_request(&mut world, 300);
    assert_eq!(alice.ask_proved(&mut world, &register).1, 200);
    assert_eq!(
        world.agent.flows(&user("alice")).collect::<Vec<_>>(),
        [alice.listens]
    );
    world.events();
    let now = world.now;
    let placed = world
        .agent
        .invite(&user("alice"), caller(), OFFER.to_vec(), now);
    placed.unwrap();
    world.drain();
    let invite = world.requests(alice.listens).remove(0);
    assert_eq!(
        invite.uri,
        "sip:alice@192.0.2.7:5060;user=phone;transport=udp"
    );
    assert_eq!(world.inbox(alice.sends.flow), []);
}

/// RFC 3261 section 12.2.1.1: requests inside a dialog go to the Contact, also after an ACK that has none.
#[test]
fn a_call_of_a_phone_that_sends_from_another_port_is_ended_at_its_contact() {
    let (mut world, alice) = (World::new(), TwoPorts::new());
    let mut invite = alice
        .sends
        .request(&mut world, Method::Invite, "sip:5550199@192.0.2.1");
    invite.headers.push(Name::ContentType, "application/sdp");
    invite.body = OFFER.to_vec();
    let (invite, status) = alice.ask_proved(&mut world, &invite);
    assert_eq!(status, 100);
    let Event::Incoming { leg, .. } = world.event() else {
        panic!("no call")
    };
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.listens).remove(0);
    let mut call = Call::of(&invite, &ok);
    let ack = alice.written(call.ack(&alice.sends, &mut world));
    alice.sends.send(&mut world, &ack);
    assert_eq!(world.event_names(), ["confirmed"]);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(world.methods(alice.listens), ["BYE"]);
    assert_eq!(world.inbox(alice.sends.flow), []);
}

/// A Contact that is not where the request came from is behind a NAT, or leads elsewhere: requests go to the source.
#[test]
fn a_contact_at_another_address_is_not_called_there() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut register = alice.register_request(&mut world, 300);
    register
        .headers
        .replace(Name::Contact, "<sip:alice@203.0.113.9:5070>");
    let answer_to_via = |world: &mut World, request: &Request| {
        let mut request = request.clone();
        let branch = request.headers.via().unwrap().branch().unwrap();
        let via = format!("SIP/2.0/UDP 203.0.113.9:40001;branch={branch}");
        request.headers.replace(Name::Via, via);
        alice.ask(world, &request)
    };
    let challenge = answer_to_via(&mut world, &register);
    let proved = alice.prove(&mut world, &register, &challenge, 1);
    assert_eq!(answer_to_via(&mut world, &proved).status, 200);
    assert_eq!(
        world.agent.flows(&user("alice")).collect::<Vec<_>>(),
        [alice.flow]
    );
}

fn instance(contact: &str, expires: u32) -> String {
    format!("{contact};+sip.instance=\"<urn:uuid:AB>\";expires={expires}")
}

/// RFC 3261 section 10.2.2: a binding is removed by its address, in the same REGISTER that adds the new one.
#[test]
fn a_phone_that_moves_and_removes_its_old_contact_stays_registered() {
    for new_comes_first in [true, false] {
        let mut world = World::new();
        let (before, after) = (phone("alice", 40001), phone("alice", 40002));
        let mut register = before.register_request(&mut world, 300);
        register
            .headers
            .replace(Name::Contact, instance(&before.contact(), 300));
        assert_eq!(before.ask_proved(&mut world, &register).status, 200);
        let mut moved = after.register_request(&mut world, 300);
        let mut contacts = [
            instance(&after.contact(), 300),
            instance(&before.contact(), 0),
        ];
        if !new_comes_first {
            contacts.reverse();
        }
        moved.headers.replace(Name::Contact, contacts.join(", "));
        let done = after.ask_proved(&mut world, &moved);
        let expected = format!("{};expires=300", after.contact());
        assert_eq!(done.headers.text(&Name::Contact), Some(expected.as_str()));
        assert_eq!(
            world.agent.flows(&user("alice")).collect::<Vec<_>>(),
            [after.flow]
        );
        // The same once more in a REGISTER of its own.
        let mut late = after.register_request(&mut world, 300);
        late.headers
            .replace(Name::Contact, instance(&before.contact(), 0));
        assert_eq!(after.ask_proved(&mut world, &late).status, 200);
        assert_eq!(world.agent.phones(&user("alice")), 1);
        let mut leaves = after.register_request(&mut world, 300);
        leaves
            .headers
            .replace(Name::Contact, instance(&after.contact(), 0));
        assert_eq!(after.ask_proved(&mut world, &leaves).status, 200);
        assert_eq!(world.agent.phones(&user("alice")), 0);
    }
}

/// RFC 3261 section 8.2.2.3, RFC 5626 section 6: refused, since it is not supported, and the binding before it stands.
#[test]
fn a_registration_that_requires_outbound_is_refused_and_the_one_before_stays() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut register = alice.register_request(&mut world, 300);
    let contact = format!("{};reg-id=1", instance(&alice.contact(), 300));
    register.headers.replace(Name::Contact, contact);
    register.headers.push(Name::Supported, "path, outbound");
    assert_eq!(alice.ask_proved(&mut world, &register).status, 200);
    let mut requires = alice.register_request(&mut world, 300);
    requires.headers.push(Name::Require, "outbound");
    let refused = alice.ask(&mut world, &requires);
    let unsupported = refused.headers.text(&Name::Unsupported);
    assert_eq!((refused.status, unsupported), (420, Some("outbound")));
    assert_eq!(world.agent.phones(&user("alice")), 1);
    assert_eq!(alice.ask_proved(&mut world, &register).status, 200);
    assert_eq!(world.agent.phones(&user("alice")), 1);
}

/// RFC 3261 section 10.3, step 7 orders the requests of one Call-ID; a phone that has restarted begins again.
#[test]
fn a_phone_that_restarts_with_its_call_id_and_a_low_number_is_registered_at_once() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    for (number, port) in [(4_000, 40001), (1, 40001), (1, 40002)] {
        let alice = phone("alice", port);
        let mut register = alice.register_request(&mut world, 300);
        register
            .headers
            .replace(Name::CallId, "0004f2abcdef@192.0.2.7");
        register
            .headers
            .replace(Name::CSeq, format!("{number} REGISTER"));
        let challenge = alice.ask(&mut world, &register);
        let mut proved = alice.prove(&mut world, &register, &challenge, 1);
        proved
            .headers
            .replace(Name::CSeq, format!("{} REGISTER", number + 1));
        assert_eq!(alice.ask(&mut world, &proved).status, 200, "{number}");
        world.advance(Duration::from_secs(2));
    }
    let mut leaves = alice.register_request(&mut world, 0);
    leaves
        .headers
        .replace(Name::CallId, "0004f2abcdef@192.0.2.7");
    leaves.headers.replace(Name::Contact, "*");
    let challenge = alice.ask(&mut world, &leaves);
    let mut proved = alice.prove(&mut world, &leaves, &challenge, 1);
    proved.headers.replace(Name::CSeq, "1 REGISTER");
    assert_eq!(alice.ask(&mut world, &proved).status, 200);
    assert_eq!(world.agent.phones(&user("alice")), 0);
}

/// RFC 5621 section 3.1: the SDP is one part of several, in an INVITE, in a re-INVITE and in a 200.
#[test]
fn the_sdp_of_a_body_of_several_parts_is_taken() {
    let kind = "multipart/mixed;boundary=\"--edge\"";
    let wrap = |sdp: &[u8]| {
        let place = "Content-Type: application/pidf+xml\r\n\r\n<presence/>";
        let sdp = String::from_utf8(sdp.to_vec()).unwrap();
        let body = format!(
            "----edge\r\n{place}\r\n----edge\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n----edge--\r\n"
        );
        body.into_bytes()
    };
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut invite = alice.request(&mut world, Method::Invite, "sip:5550199@127.0.0.1");
    invite.headers.push(Name::ContentType, kind);
    invite.body = wrap(OFFER);
    let challenge = alice.ask(&mut world, &invite);
    assert_eq!(challenge.status, 401);
    let proved = alice.prove(&mut world, &invite, &challenge, 1);
    assert_eq!(alice.ask(&mut world, &proved).status, 100);
    let Event::Incoming { leg, sdp, .. } = world.event() else {
        panic!("no call")
    };
    assert_eq!(sdp, OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    let mut call = Call::of(&proved, &ok);
    let ack = call.ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    world.events();
    let mut again = call.request(&alice, &mut world, Method::Invite);
    again.headers.push(Name::ContentType, kind);
    again.body = wrap(OFFER);
    assert_eq!(alice.ask(&mut world, &again).status, 100);
    let expected = Event::Reoffer {
        leg,
        sdp: OFFER.to_vec(),
    };
    assert_eq!(world.event(), expected);

    let bob = phone("bob", 40002);
    bob.register(&mut world);
    let now = world.now;
    let placed = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), now);
    placed.unwrap();
    world.drain();
    let invite = world.requests(bob.flow).remove(0);
    let mut ok = bob.response(&invite, 200);
    ok.headers.replace(Name::ContentType, kind);
    ok.body = wrap(ANSWER);
    world.push(bob.flow, &ok.to_bytes());
    let Event::Answered { sdp, .. } = world.event() else {
        panic!("not answered")
    };
    assert_eq!(sdp, ANSWER);
}

/// RFC 3261 sections 16.3 and 18.2.2: what a client writes into its own Via is no loop, and its answers still reach it.
#[test]
fn a_client_whose_via_names_our_address_is_no_loop_and_gets_its_answers() {
    for via in ["127.0.0.1:5060", "127.0.0.1"] {
        let phones = [tcp_phone("alice", 40001), phone("alice", 40001)];
        for alice in phones {
            let mut world = World::new();
            let written = |mut request: Request| {
                let branch = request.headers.via().unwrap().branch().unwrap();
                let transport = alice.flow.transport.via_name();
                let via = format!("SIP/2.0/{transport} {via};branch={branch}");
                request.headers.replace(Name::Via, via);
                request
            };
            let invite = alice.request(&mut world, Method::Invite, "sip:5550199@127.0.0.1");
            let challenge = alice.ask(&mut world, &written(invite.clone()));
            assert_eq!(challenge.status, 401, "{via} {:?}", alice.flow);
            let proved = written(alice.prove(&mut world, &invite, &challenge, 1));
            assert_eq!(alice.ask(&mut world, &proved).status, 100);
        }
    }
}

/// RFC 7616 section 3.4.6: the digest's URI may differ from the Request-URI in its parameters (Unify CP710).
#[test]
fn a_digest_whose_uri_has_a_transport_is_right() {
    let (mut world, mut alice) = (World::new(), tcp_phone("alice", 40001));
    alice.flow.transport = ringfence_sip::Transport::Tls;
    let register = alice.register_request(&mut world, 300);
    let challenge = alice.ask(&mut world, &register);
    let mut with_transport = register.clone();
    with_transport.uri.push_str(";transport=TLS");
    let mut proved = alice.prove(&mut world, &with_transport, &challenge, 1);
    proved.uri = register.uri.clone();
    assert_eq!(alice.ask(&mut world, &proved).status, 200);
}

/// RFC 3326: a Cisco phone says why it leaves, `Reason: SIP;cause=200;text="cisco-alarm:25 Last=reset-reset"`.
#[test]
fn a_registration_with_a_reason_is_taken() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    for (expires, phones) in [(300, 1), (0, 0)] {
        let mut register = alice.register_request(&mut world, expires);
        let reason = "SIP;cause=200;text=\"cisco-alarm:25 Name=SEP0 Load=8.5(2) Last=reset-reset\"";
        register.headers.push(Name::Reason, reason);
        assert_eq!(alice.ask_proved(&mut world, &register).status, 200);
        assert_eq!(world.agent.phones(&user("alice")), phones);
    }
}

/// RFC 3261 section 10.2.2 wants `Expires: 0`; the same as a parameter means nothing else.
#[test]
fn a_star_with_its_expiry_behind_it_empties_the_line() {
    for (star, header, status) in [
        ("*;expires=0", None, 200),
        ("* ; expires=0", None, 200),
        ("*;expires=0", Some("300"), 200),
        ("*;expires=60", Some("0"), 400),
        ("*", None, 400),
        ("*x", Some("0"), 400),
    ] {
        let (mut world, alice) = (World::new(), phone("alice", 40001));
        alice.register(&mut world);
        let mut request = alice.register_request(&mut world, 0);
        request.headers = without(&request, &Name::Expires);
        request.headers.replace(Name::Contact, star);
        if let Some(header) = header {
            request.headers.push(Name::Expires, header);
        }
        let first = alice.ask(&mut world, &request);
        let last = match first.status {
            401 => {
                let proved = alice.prove(&mut world, &request, &first, 1);
                alice.ask(&mut world, &proved).status
            }
            other => other,
        };
        assert_eq!(last, status, "{star} {header:?}");
        let left = usize::from(status != 200);
        assert_eq!(
            world.agent.phones(&user("alice")),
            left,
            "{star} {header:?}"
        );
    }
}
