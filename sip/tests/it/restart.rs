//! What outlives the process: phones ring at once after a restart, and no phone hangs in a call that is gone.

use std::time::Duration;

use proptest::prelude::*;
use ringfence_sip::message::{Method, Name, Request, Response, parse};
use ringfence_sip::{
    Event, FinalMessage, Flow, HangUp, LegId, Package, RequestError, RestartChange, SavedBinding,
    Transport,
};

use crate::in_call::talking;
use crate::world::{ANSWER, Call, OFFER, Phone, World, caller, phone, tcp_phone, user};

const TIMEOUT: Duration = Duration::from_secs(33);

/// Registers with an instance and a Call-ID, which stay the same until the phone restarts.
pub(crate) fn register_as(phone: &Phone, world: &mut World, (instance, call_id): (&str, &str)) {
    let mut register = phone.register_request(world, 300);
    let contact = format!(
        "{};+sip.instance=\"<urn:uuid:{instance}>\"",
        phone.contact()
    );
    register.headers.replace(Name::Contact, contact);
    register.headers.replace(Name::CallId, call_id);
    send_register(phone, world, &register);
}

/// Registers, and leaves the requests in the inbox that follow at once.
pub(crate) fn send_register(phone: &Phone, world: &mut World, register: &Request) {
    let challenge = phone.ask(world, register);
    let proved = phone.prove(world, register, &challenge, 1);
    phone.send(world, &proved);
    assert_eq!(world.pick_responses(phone.flow)[0].status, 200);
}

fn call_bob(world: &mut World) -> Result<LegId, RequestError> {
    let leg = world
        .agent
        .invite(&user("bob"), caller(), OFFER.to_vec(), world.now);
    world.drain();
    leg
}

fn only_request(world: &mut World, phone: &Phone) -> Request {
    let mut requests = world.requests(phone.flow);
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.remove(0)
}

/// A call to a phone, up to its 200 and our ACK.
fn called(world: &mut World, bob: &Phone) -> (Request, Response, LegId) {
    bob.register(world);
    let leg = call_bob(world).unwrap();
    let invite = only_request(world, bob);
    let ok = bob.answer(world, &invite, 200);
    assert_eq!(world.methods(bob.flow), ["ACK"]);
    world.events();
    (invite, ok, leg)
}

#[test]
fn phones_ring_at_once_after_a_restart_and_are_asked_whether_they_are_there() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    world.restart();
    let registered = Event::Registered {
        user: user("bob"),
        phones: 1,
    };
    assert_eq!(world.event(), registered);
    let options = only_request(&mut world, &bob);
    assert_eq!(
        (&options.method, options.uri.as_str()),
        (&Method::Options, "sip:bob@127.0.0.1:40002")
    );
    let leg = call_bob(&mut world).unwrap();
    let invite = only_request(&mut world, &bob);
    // Any response shows that there is a phone.
    bob.answer(&mut world, &options, 405);
    bob.answer(&mut world, &invite, 180);
    assert_eq!(world.event(), Event::Ringing { leg });
    world.advance(TIMEOUT);
    assert_eq!(world.agent.phones(&user("bob")), 1);
    assert_eq!(world.events(), []);
}

#[test]
fn a_phone_that_is_gone_after_a_restart_is_removed_and_its_neighbour_stays() {
    let (mut world, bob, gone) = (World::new(), phone("bob", 40002), phone("bob", 40003));
    for phone in [&bob, &gone] {
        phone.register(&mut world);
    }
    world.restart();
    let options = only_request(&mut world, &bob);
    bob.answer(&mut world, &options, 200);
    assert_eq!(world.agent.phones(&user("bob")), 2);
    world.events();
    world.advance(TIMEOUT);
    let left = Event::Unregistered {
        user: user("bob"),
        phones: 1,
    };
    assert_eq!(world.event(), left);
    assert_eq!(world.agent.flows(&user("bob")).next(), Some(bob.flow));
}

#[test]
fn a_phone_that_registers_while_it_is_asked_stays() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    world.restart();
    world.advance(Duration::from_secs(30));
    world.inbox(bob.flow);
    bob.register(&mut world);
    world.advance(TIMEOUT);
    assert_eq!(world.agent.phones(&user("bob")), 1);
}

#[test]
fn a_restored_binding_ends_when_it_would_have_ended() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    world.advance(Duration::from_secs(200));
    world.restart();
    let options = only_request(&mut world, &bob);
    bob.answer(&mut world, &options, 200);
    world.advance(Duration::from_secs(99));
    assert_eq!(world.agent.phones(&user("bob")), 1);
    world.advance(Duration::from_secs(2));
    assert_eq!(world.agent.phones(&user("bob")), 0);
}

#[test]
fn what_a_phone_said_of_itself_survives_with_its_binding() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    let mut register = bob.register_request(&mut world, 300);
    let contact = format!("{};+sip.instance=\"<urn:uuid:B>\"", bob.contact());
    register.headers.replace(Name::Contact, contact);
    register
        .headers
        .push(Name::AllowEvents, "message-summary, talk");
    bob.ask_proved(&mut world, &register);
    let before = world.agent.bindings(world.now);
    assert_eq!(before[0].packages, [Package::MessageSummary]);
    assert_eq!(before[0].instance.as_deref(), Some("<urn:uuid:b>"));
    world.restart();
    assert_eq!(world.agent.bindings(world.now), before);
    // What answers a challenge of this process was sent after all that the process before took, whatever its number.
    let mut low = register.clone();
    low.headers.replace(Name::CSeq, "0 REGISTER");
    let challenge = bob.ask(&mut world, &low);
    let mut proved = bob.prove(&mut world, &low, &challenge, 1);
    proved.headers.replace(Name::CSeq, "1 REGISTER");
    assert_eq!(bob.ask(&mut world, &proved).status, 200);
    assert_eq!(world.agent.phones(&user("bob")), 1);
}

#[test]
fn streams_are_not_saved_since_they_end_with_the_process() {
    let (mut world, bob) = (World::new(), tcp_phone("bob", 40002));
    bob.register(&mut world);
    assert_eq!(world.agent.bindings(world.now), []);
}

fn saved(world: &mut World) -> SavedBinding {
    phone("bob", 40002).register(world);
    world.agent.bindings(world.now).remove(0)
}

#[test]
fn damaged_bindings_are_dropped_and_the_others_restored() {
    let mut world = World::new();
    let good = saved(&mut world);
    let damage: [fn(&mut SavedBinding); 9] = [
        |saved| saved.user = user("mallory"),
        |saved| saved.contact = "tel:1".to_owned(),
        |saved| saved.contact = format!("sip:bob@{}", "h".repeat(9000)),
        |saved| saved.call_id = "a b".to_owned(),
        |saved| saved.call_id.clear(),
        |saved| saved.peer.set_port(0),
        |saved| saved.local = "0.0.0.0:5060".parse().unwrap(),
        |saved| saved.peer = "[::1]:5060".parse().unwrap(),
        |saved| saved.remaining = Duration::ZERO,
    ];
    for (index, damage) in damage.iter().enumerate() {
        let mut bad = good.clone();
        damage(&mut bad);
        world.start_anew();
        world
            .agent
            .restore_bindings(vec![bad, good.clone()], world.now);
        assert_eq!(
            world.agent.bindings(world.now),
            std::slice::from_ref(&good),
            "{index}"
        );
    }
}

#[test]
fn a_line_gets_no_more_phones_back_than_it_may_have_and_no_longer_ones() {
    let mut world = World::new();
    let good = saved(&mut world);
    let many = (1..=100).map(|host| SavedBinding {
        contact: format!("sip:bob@192.0.2.{host}"),
        remaining: Duration::MAX,
        ..good.clone()
    });
    world.start_anew();
    world.agent.restore_bindings(many.collect(), world.now);
    assert_eq!(world.agent.phones(&user("bob")), 8);
    world.advance(Duration::from_secs(301));
    assert_eq!(world.agent.phones(&user("bob")), 0);
}

#[test]
fn a_phone_that_has_registered_already_is_not_replaced_by_what_was_saved() {
    let mut world = World::new();
    let mut old = saved(&mut world);
    world.start_anew();
    let bob = phone("bob", 40002);
    bob.register(&mut world);
    old.peer.set_port(50_000);
    world.agent.restore_bindings(vec![old], world.now);
    let flows: Vec<Flow> = world.agent.flows(&user("bob")).collect();
    assert_eq!(flows, [bob.flow]);
}

#[test]
fn a_phone_that_says_nothing_to_an_invite_is_asked_and_removed() {
    for is_cancelled in [false, true] {
        let (mut world, bob) = (World::new(), phone("bob", 40002));
        bob.register(&mut world);
        let leg = call_bob(&mut world).unwrap();
        if is_cancelled {
            world.agent.hang_up(leg, HangUp::Normal, world.now);
        }
        world.advance(TIMEOUT);
        let methods = world.methods(bob.flow);
        assert!(methods.contains(&"OPTIONS".to_owned()), "{methods:?}");
        assert_eq!(world.agent.phones(&user("bob")), 1);
        world.events();
        world.advance(TIMEOUT);
        let left = Event::Unregistered {
            user: user("bob"),
            phones: 0,
        };
        assert_eq!(world.event(), left);
    }
}

#[test]
fn a_phone_that_rang_and_was_not_answered_is_not_asked() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    let leg = call_bob(&mut world).unwrap();
    let invite = only_request(&mut world, &bob);
    bob.answer(&mut world, &invite, 180);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    bob.answer(&mut world, &invite, 487);
    world.advance(Duration::from_secs(70));
    assert!(!world.methods(bob.flow).contains(&"OPTIONS".to_owned()));
}

#[test]
fn a_phone_that_was_talking_is_hung_up_after_a_restart() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    let (invite, ok, leg) = called(&mut world, &bob);
    // Requests of the call itself do not make the message out of date.
    world.agent.take_restart_change();
    for _ in 0..20 {
        world.agent.probe(leg, world.now);
        world.drain();
        let options = only_request(&mut world, &bob);
        bob.answer(&mut world, &options, 200);
    }
    assert_eq!(world.agent.take_restart_change(), None);
    world.restart();
    let requests = world.requests(bob.flow);
    let bye = requests
        .iter()
        .find(|request| request.method == Method::Bye)
        .unwrap();
    assert_eq!(bye.headers.call_id(), invite.headers.call_id());
    assert_eq!(
        bye.headers.get(&Name::From),
        invite.headers.get(&Name::From)
    );
    assert_eq!(bye.headers.get(&Name::To), ok.headers.get(&Name::To));
    assert!(bye.headers.cseq().unwrap().number > 21);
    assert!(bye.headers.text(&Name::Reason).is_some());
    // It is sent again until the phone responds.
    world.advance(Duration::from_millis(600));
    assert!(world.methods(bob.flow).contains(&"BYE".to_owned()));
    assert!(!world.agent.is_idle());
    bob.answer(&mut world, bye, 200);
    assert!(world.agent.is_idle());
    assert_eq!(world.agent.final_messages(), []);
    world.advance(TIMEOUT);
    assert!(!world.methods(bob.flow).contains(&"BYE".to_owned()));
}

#[test]
fn a_phone_that_dialled_and_was_talking_is_hung_up_after_a_restart() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, _) = talking(&mut world, &alice);
    world.restart();
    let bye = only_request(&mut world, &alice);
    assert_eq!(bye.method, Method::Bye);
    assert_eq!(bye.uri, "sip:alice@127.0.0.1:40001");
    assert_eq!(
        bye.headers.text(&Name::From),
        Some(call.remote.as_str()),
        "our tag"
    );
    assert_eq!(bye.headers.text(&Name::To), Some(call.local.as_str()));
}

#[test]
fn ringing_phones_are_cancelled_after_a_restart() {
    let mut world = World::new();
    let phones = [phone("bob", 40002), phone("bob", 40003)];
    for phone in &phones {
        phone.register(&mut world);
    }
    call_bob(&mut world).unwrap();
    let invites = phones
        .each_ref()
        .map(|phone| only_request(&mut world, phone));
    phones[0].answer(&mut world, &invites[0], 180);
    world.restart();
    for (phone, invite) in phones.iter().zip(&invites) {
        let requests = world.requests(phone.flow);
        let cancel = requests
            .iter()
            .find(|request| request.method == Method::Cancel)
            .unwrap();
        assert_eq!(
            cancel.headers.get(&Name::Via),
            invite.headers.get(&Name::Via)
        );
        assert_eq!(cancel.uri, invite.uri);
    }
}

#[test]
fn a_called_phone_whose_answer_came_after_the_last_save_is_hung_up_all_the_same() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    call_bob(&mut world).unwrap();
    let invite = only_request(&mut world, &bob);
    world.agent.take_restart_change();
    let ringing = bob.response(&invite, 180);
    world.push(bob.flow, &ringing.to_bytes());
    assert_eq!(
        world.agent.take_restart_change(),
        Some(RestartChange::Changed),
        "a phone that rings can be told more"
    );
    let messages = world.agent.final_messages();
    let ok = bob.response(&invite, 200);
    world.push(bob.flow, &ok.to_bytes());
    assert_eq!(world.methods(bob.flow), ["ACK"]);
    world.start_anew();
    world.agent.send_final_messages(messages, world.now);
    world.drain();
    let requests = world.requests(bob.flow);
    let methods: Vec<&str> = requests.iter().map(|each| each.method.as_str()).collect();
    assert_eq!(methods, ["CANCEL", "BYE"]);
    for name in [Name::To, Name::CallId] {
        assert_eq!(requests[1].headers.get(&name), ok.headers.get(&name));
    }
}

#[test]
fn a_call_that_was_picked_up_while_the_process_was_down_is_ended() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    bob.register(&mut world);
    call_bob(&mut world).unwrap();
    let invite = only_request(&mut world, &bob);
    bob.answer(&mut world, &invite, 180);
    world.restart();
    let requests = world.requests(bob.flow);
    let cancel = requests
        .iter()
        .find(|request| request.method == Method::Cancel)
        .unwrap();
    bob.answer(&mut world, cancel, 481);
    assert_eq!(world.methods(bob.flow), Vec::<String>::new());
    let ok = bob.response(&invite, 200);
    world.push(bob.flow, &ok.to_bytes());
    let requests = world.requests(bob.flow);
    let methods: Vec<&str> = requests.iter().map(|each| each.method.as_str()).collect();
    assert_eq!(methods, ["ACK", "BYE"]);
    for request in &requests {
        assert_eq!(request.headers.get(&Name::To), ok.headers.get(&Name::To));
        assert_eq!(request.headers.call_id(), invite.headers.call_id());
    }
    // A 200 of another call gets nothing.
    let mut other = ok.clone();
    other.headers.replace(Name::CallId, "other");
    world.push(bob.flow, &other.to_bytes());
    assert_eq!(world.methods(bob.flow), Vec::<String>::new());
}

#[test]
fn a_phone_that_was_waiting_for_an_answer_is_refused_after_a_restart() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.ring(leg, world.now);
    world.drain();
    let ringing = world.responses(alice.flow).remove(0);
    world.restart();
    assert!(!world.agent.is_idle());
    world.advance(Duration::from_secs(3));
    let inbox = world.inbox(alice.flow);
    let refusals: Vec<_> = inbox
        .iter()
        .filter_map(|message| match message {
            ringfence_sip::message::Message::Response(response) => Some(response),
            ringfence_sip::message::Message::Request(_) => None,
        })
        .collect();
    assert_eq!(refusals.len(), 3);
    for refusal in refusals {
        assert_eq!(refusal.status, 503);
        for name in [Name::To, Name::CSeq, Name::Via, Name::CallId] {
            assert_eq!(refusal.headers.get(&name), ringing.headers.get(&name));
        }
    }
}

#[test]
fn a_phone_whose_answer_came_after_the_last_save_is_hung_up_all_the_same() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    let messages = world.agent.final_messages();
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    let ack = Call::of(&call.invite, &ok).ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    world.start_anew();
    world.agent.send_final_messages(messages, world.now);
    world.drain();
    let bye = world.requests(alice.flow).remove(0);
    assert_eq!(bye.method, Method::Bye);
    assert_eq!(bye.headers.get(&Name::From), ok.headers.get(&Name::To));
}

#[test]
fn a_phone_on_a_stream_is_told_when_it_comes_back() {
    let mut world = World::new();
    let (alice, other) = (tcp_phone("alice", 40001), tcp_phone("alice", 40003));
    register_as(&alice, &mut world, ("a", "r1"));
    world.events();
    talking(&mut world, &alice);
    world.restart();
    assert_eq!(world.methods(alice.flow), Vec::<String>::new());
    // Nothing is in flight, so nothing keeps a process from ending; but it is saved again.
    assert!(world.agent.is_idle());
    assert_eq!(world.agent.final_messages().len(), 1);
    register_as(&other, &mut world, ("b", "r1"));
    assert_eq!(world.methods(other.flow), Vec::<String>::new());
    // The same phone has another connection.
    let back = tcp_phone("alice", 40002);
    register_as(&back, &mut world, ("a", "r2"));
    let bye = only_request(&mut world, &back);
    assert_eq!(bye.method, Method::Bye);
    back.answer(&mut world, &bye, 481);
    assert_eq!(world.agent.final_messages(), []);
}

#[test]
fn a_phone_without_instance_is_known_by_its_user_and_host() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    alice.register(&mut world);
    talking(&mut world, &alice);
    world.restart();
    let mut elsewhere = tcp_phone("alice", 40002);
    elsewhere.flow.peer = "127.0.0.2:40002".parse().unwrap();
    elsewhere.register(&mut world);
    assert_eq!(world.methods(elsewhere.flow), Vec::<String>::new());
    let back = tcp_phone("alice", 40003);
    let register = back.register_request(&mut world, 300);
    send_register(&back, &mut world, &register);
    assert_eq!(world.methods(back.flow), ["BYE"]);
}

#[test]
fn a_phone_that_stays_away_is_forgotten_after_two_minutes() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    talking(&mut world, &alice);
    world.restart();
    world.advance(Duration::from_secs(121));
    assert_eq!(world.agent.final_messages(), []);
    assert_eq!(world.agent.next_timeout(), None);
    let back = tcp_phone("alice", 40002);
    let register = back.register_request(&mut world, 300);
    send_register(&back, &mut world, &register);
    assert_eq!(world.methods(back.flow), Vec::<String>::new());
}

#[test]
fn messages_that_wait_are_bounded() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    talking(&mut world, &alice);
    let one = world.agent.final_messages().remove(0);
    world.start_anew();
    for _ in 0..3 {
        let many = vec![one.clone(); 400];
        world.agent.send_final_messages(many, world.now);
    }
    assert_eq!(world.agent.final_messages().len(), 512);
    world.advance(Duration::from_secs(121));
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn what_is_no_last_message_is_not_sent() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    talking(&mut world, &alice);
    let good = world.agent.final_messages().remove(0);
    let damage: [fn(&mut FinalMessage); 7] = [
        |message| message.user = user("mallory"),
        |message| message.flow.peer.set_port(0),
        |message| message.contact = "<>".to_owned(),
        |message| message.bytes.truncate(100),
        |message| message.bytes.extend(vec![b'x'; 5000]),
        |message| {
            let text = String::from_utf8_lossy(&message.bytes);
            message.bytes = text.replace("BYE", "INVITE").into_bytes();
        },
        |message| {
            let text = String::from_utf8_lossy(&message.bytes);
            let (_, rest) = text.split_once("\r\n").unwrap();
            let rest = rest.replace("BYE", "INVITE");
            message.bytes = format!("SIP/2.0 200 OK\r\n{rest}").into_bytes();
        },
    ];
    for (index, damage) in damage.iter().enumerate() {
        let mut bad = good.clone();
        damage(&mut bad);
        world.start_anew();
        world.agent.send_final_messages(vec![bad], world.now);
        world.drain();
        assert_eq!(world.inbox(alice.flow), [], "{index}");
        assert_eq!(world.agent.next_timeout(), None, "{index}");
    }
}

#[test]
fn changes_are_reported_once_and_refreshes_apart() {
    let (mut world, bob) = (World::new(), phone("bob", 40002));
    assert_eq!(world.agent.take_restart_change(), None);
    bob.register(&mut world);
    assert_eq!(
        world.agent.take_restart_change(),
        Some(RestartChange::Changed)
    );
    assert_eq!(world.agent.take_restart_change(), None);
    bob.register(&mut world);
    assert_eq!(
        world.agent.take_restart_change(),
        Some(RestartChange::Refreshed)
    );
    let mut messages = world.agent.final_messages();
    let mut changed = |world: &mut World| {
        let is_told = world.agent.take_restart_change() == Some(RestartChange::Changed);
        let now = world.agent.final_messages();
        let is_other = now != messages;
        messages = now;
        (is_told, is_other)
    };
    let leg = call_bob(&mut world).unwrap();
    let invite = only_request(&mut world, &bob);
    assert_eq!(changed(&mut world), (true, true), "called");
    bob.answer(&mut world, &invite, 180);
    assert_eq!(changed(&mut world), (true, true), "rings");
    bob.answer(&mut world, &invite, 200);
    assert_eq!(changed(&mut world), (true, true), "answered");
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert_eq!(changed(&mut world), (true, true), "hung up");
    let bye = world.requests(bob.flow).pop().unwrap();
    bob.answer(&mut world, &bye, 200);
    assert_eq!(changed(&mut world), (true, true), "the phone knows");
}

#[test]
fn a_target_that_the_phone_changes_is_a_change() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, _) = talking(&mut world, &alice);
    world.agent.take_restart_change();
    let refresh = call.request(&alice, &mut world, Method::Update);
    alice.ask(&mut world, &refresh);
    assert_eq!(world.agent.take_restart_change(), None);
    let mut moved = call.request(&alice, &mut world, Method::Update);
    moved
        .headers
        .replace(Name::Contact, "<sip:alice@192.0.2.9:5060>");
    alice.ask(&mut world, &moved);
    assert_eq!(
        world.agent.take_restart_change(),
        Some(RestartChange::Changed)
    );
    let message = world.agent.final_messages().remove(0);
    assert!(message.bytes.starts_with(b"BYE sip:alice@192.0.2.9:5060 "));
}

#[test]
fn a_call_that_is_hung_up_in_the_moment_of_its_answer_keeps_the_process_until_the_phone_knows() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    world.agent.answer(leg, ANSWER.to_vec(), world.now);
    world.drain();
    let ok = world.responses(alice.flow).remove(0);
    world.agent.hang_up(leg, HangUp::Normal, world.now);
    world.drain();
    assert!(!world.agent.is_idle());
    // If the process ends all the same, the next one tells the phone.
    assert_eq!(world.agent.final_messages().len(), 1);
    let ack = Call::of(&call.invite, &ok).ack(&alice, &mut world);
    alice.send(&mut world, &ack);
    let bye = only_request(&mut world, &alice);
    assert!(!world.agent.is_idle());
    alice.answer(&mut world, &bye, 200);
    assert!(world.agent.is_idle());
}

#[test]
fn a_refusal_keeps_the_process_until_its_ack() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (call, leg) = alice.dial(&mut world, "5550199", OFFER);
    assert!(!world.agent.is_idle());
    world.agent.refuse(leg, 486, world.now);
    world.drain();
    assert!(!world.agent.is_idle());
    let refused = world.responses(alice.flow).remove(0);
    let ack = Call::of(&call.invite, &refused).ack_of_refusal();
    alice.send(&mut world, &ack);
    assert!(world.agent.is_idle());
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let parts = (0..3_usize, any::<bool>(), 0..3_u16, any::<u64>());
    parts.prop_map(move |(transport, is_v6, port, connection)| {
        let ip: std::net::IpAddr = match is_v6 {
            true => "::1".parse().unwrap(),
            false => "127.0.0.1".parse().unwrap(),
        };
        Flow {
            transport: transports[transport],
            local: "127.0.0.1:5060".parse().unwrap(),
            peer: (ip, port).into(),
            connection,
        }
    })
}

fn any_user() -> impl Strategy<Value = ringfence_sip::User> {
    prop_oneof![Just(user("bob")), Just(user("alice")), Just(user(""))]
}

prop_compose! {
    fn any_binding()(
        user in any_user(),
        flow in any_flow(),
        contact in prop_oneof![Just("sip:bob@127.0.0.1:40002".to_owned()), ".*"],
        instance in proptest::option::of(".*"),
        call_id in prop_oneof![Just("c".to_owned()), ".*"],
        number in any::<u32>(),
        remaining in any::<Duration>(),
    ) -> SavedBinding {
        SavedBinding {
            user,
            local: flow.local,
            peer: flow.peer,
            contact,
            instance,
            call_id,
            number,
            packages: vec![Package::Dialog; 40],
            refuses_unsolicited: false,
            remaining,
        }
    }
}

prop_compose! {
    fn any_message()(
        user in any_user(),
        flow in any_flow(),
        contact in prop_oneof![Just("sip:bob@127.0.0.1:40002".to_owned()), ".*"],
        instance in proptest::option::of(".*"),
        good in 0..3_usize,
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        is_cut in any::<bool>(),
    ) -> FinalMessage {
        let mut bytes = GOOD[good].replace('\n', "\r\n").into_bytes();
        let at = cut.index(bytes.len());
        match is_cut {
            true => bytes.truncate(at),
            false => bytes[at] = byte,
        }
        FinalMessage { user, flow, contact, instance, bytes }
    }
}

const GOOD: [&str; 3] = [
    "BYE sip:bob@127.0.0.1:40002 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1;rport\n\
     From: <sip:7@127.0.0.1>;tag=1\nTo: <sip:bob@127.0.0.1>;tag=2\nCall-ID: 1\nCSeq: 1073741824 BYE\n\n",
    "CANCEL sip:bob@127.0.0.1:40002 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK2;rport\n\
     From: <sip:7@127.0.0.1>;tag=1\nTo: <sip:bob@127.0.0.1>\nCall-ID: 2\nCSeq: 1 CANCEL\n\n",
    "SIP/2.0 503 Service Unavailable\nVia: SIP/2.0/UDP 127.0.0.1:40002;branch=z9hG4bK3;rport\n\
     From: <sip:bob@127.0.0.1>;tag=1\nTo: <sip:7@127.0.0.1>;tag=2\nCall-ID: 3\nCSeq: 1 INVITE\n\n",
];

#[test]
fn the_messages_of_the_property_test_are_good_ones() {
    for text in GOOD {
        let bytes = text.replace('\n', "\r\n").into_bytes();
        let mut world = World::new();
        let bob = phone("bob", 40002);
        let message = FinalMessage {
            user: user("bob"),
            flow: bob.flow,
            contact: "sip:bob@127.0.0.1:40002".to_owned(),
            instance: None,
            bytes,
        };
        world.agent.send_final_messages(vec![message], world.now);
        world.drain();
        assert_eq!(world.inbox(bob.flow).len(), 1, "{text}");
    }
}

proptest! {
    #[test]
    fn any_saved_data_is_restored_or_dropped_and_leaves_nothing_behind(
        bindings in prop::collection::vec(any_binding(), 0..20),
        messages in prop::collection::vec(any_message(), 0..20),
    ) {
        let mut world = World::new();
        world.agent.restore_bindings(bindings, world.now);
        world.agent.send_final_messages(messages, world.now);
        while let Some(output) = world.agent.poll() {
            if let ringfence_sip::Output::Send { bytes, .. } = output {
                prop_assert!(parse(&bytes).is_ok());
            }
        }
        for name in ["alice", "bob"] {
            prop_assert!(world.agent.phones(&user(name)) <= 8);
        }
        let (bindings, messages) = (world.agent.bindings(world.now), world.agent.final_messages());
        world.start_anew();
        world.agent.restore_bindings(bindings.clone(), world.now);
        prop_assert_eq!(world.agent.bindings(world.now), bindings);
        world.agent.send_final_messages(messages.clone(), world.now);
        prop_assert_eq!(world.agent.final_messages().len(), messages.len());
        while world.agent.poll().is_some() {}
        while let Some((at, _)) = world.agent.next_timeout() {
            prop_assert!(at <= world.now + Duration::from_secs(400));
            world.now = world.now.max(at);
            world.agent.handle_timeout(world.now);
            while world.agent.poll().is_some() {}
        }
    }
}
