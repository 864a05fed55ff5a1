//! REGISTER, digest, and who counts as a phone of a line.

use std::time::Duration;

use ringfence_sip::digest::{Algorithm, DigestChallenge};
use ringfence_sip::message::{Method, Name};
use ringfence_sip::{Algorithms, Event};

use crate::world::{World, phone, tcp_phone, user};

#[test]
fn a_phone_registers_refreshes_and_leaves() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let register = alice.register_request(&mut world, 300);
    let done = alice.ask_proved(&mut world, &register);
    assert_eq!(done.status, 200);
    assert_eq!(
        done.headers.text(&Name::Contact),
        Some("<sip:alice@127.0.0.1:40001>;expires=300")
    );
    assert_eq!(
        world.event(),
        Event::Registered {
            user: user("alice"),
            phones: 1
        }
    );
    let refresh = alice.register_request(&mut world, 300);
    alice.ask_proved(&mut world, &refresh);
    assert_eq!(world.events(), []);
    let leave = alice.register_request(&mut world, 0);
    assert_eq!(
        alice
            .ask_proved(&mut world, &leave)
            .headers
            .get(&Name::Contact),
        None
    );
    assert_eq!(
        world.event(),
        Event::Unregistered {
            user: user("alice"),
            phones: 0
        }
    );
}

#[test]
fn an_answer_to_a_registration_promises_nothing_we_do_not_keep() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut register = alice.register_request(&mut world, 300);
    register.headers.replace(
        Name::Contact,
        format!("{};+sip.instance=\"<urn:uuid:1>\"", alice.contact()),
    );
    register
        .headers
        .push(Name::Supported, "gruu, outbound, path");
    let text = String::from_utf8(alice.ask_proved(&mut world, &register).to_bytes()).unwrap();
    for word in [
        "gruu",
        "Server",
        "User-Agent",
        "Require",
        "Supported",
        "Path",
    ] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_registration_ends_with_its_time() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    alice.register(&mut world);
    world.advance(Duration::from_secs(299));
    assert_eq!(world.agent.phones(&user("alice")), 1);
    world.advance(Duration::from_secs(2));
    assert_eq!(
        world.event(),
        Event::Unregistered {
            user: user("alice"),
            phones: 0
        }
    );
}

#[test]
fn a_registration_ends_with_its_stream() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    alice.register(&mut world);
    world.agent.handle_flow_closed(alice.flow, world.now);
    world.drain();
    assert_eq!(
        world.event(),
        Event::Unregistered {
            user: user("alice"),
            phones: 0
        }
    );
}

#[test]
fn a_wrong_password_and_a_missing_user_hear_the_same() {
    let mut world = World::new();
    let mut mallory = phone("alice", 40001);
    mallory.password = "guess".to_owned();
    let nobody = phone("nobody", 40001);
    let mut answers = Vec::new();
    for phone in [mallory, nobody] {
        let register = phone.register_request(&mut world, 300);
        let challenge = phone.ask(&mut world, &register);
        let proved = phone.prove(&mut world, &register, &challenge, 1);
        let refused = phone.ask(&mut world, &proved);
        let names: Vec<String> = refused
            .headers
            .iter()
            .map(|(name, _)| name.as_str().to_owned())
            .collect();
        let value = refused.headers.get(&Name::WwwAuthenticate).unwrap();
        let stale = DigestChallenge::parse(value).unwrap().stale;
        answers.push((
            refused.status,
            refused.reason.clone(),
            names,
            value.len(),
            stale,
        ));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 401);
    assert_eq!(world.agent.counters().wrong_password, 2);
}

#[test]
fn a_nonce_may_be_used_again_with_a_higher_count_only() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let register = alice.register_request(&mut world, 300);
    let challenge = alice.ask(&mut world, &register);
    for (count, status) in [(1, 200), (2, 200), (10, 200), (10, 401)] {
        let proved = alice.prove(&mut world, &register, &challenge, count);
        let response = alice.ask(&mut world, &proved);
        assert_eq!(response.status, status, "count {count}");
        if status == 401 {
            let value = response.headers.get(&Name::WwwAuthenticate).unwrap();
            assert!(DigestChallenge::parse(value).unwrap().stale);
        }
    }
}

#[test]
fn an_old_nonce_is_stale_and_not_wrong() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let register = alice.register_request(&mut world, 300);
    let challenge = alice.ask(&mut world, &register);
    world.advance(Duration::from_secs(600));
    let proved = alice.prove(&mut world, &register, &challenge, 1);
    let again = alice.ask(&mut world, &proved);
    assert!(
        DigestChallenge::parse(again.headers.get(&Name::WwwAuthenticate).unwrap())
            .unwrap()
            .stale
    );
    let proved = alice.prove(&mut world, &register, &again, 1);
    assert_eq!(alice.ask(&mut world, &proved).status, 200);
    assert_eq!(world.agent.counters().wrong_password, 0);
}

#[test]
fn credentials_for_one_request_do_not_serve_for_another() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let register = alice.register_request(&mut world, 300);
    let challenge = alice.ask(&mut world, &register);
    let proved = alice.prove(&mut world, &register, &challenge, 1);
    let mut invite = alice.request(&mut world, Method::Invite, "sip:5550199@127.0.0.1");
    invite.headers.push(
        Name::Authorization,
        proved.headers.get(&Name::Authorization).unwrap(),
    );
    assert_eq!(alice.ask(&mut world, &invite).status, 401);
}

#[test]
fn credentials_for_one_number_do_not_serve_for_another() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let invite = alice.request(&mut world, Method::Invite, "sip:5550199@127.0.0.1");
    let challenge = alice.ask(&mut world, &invite);
    let mut proved = alice.prove(&mut world, &invite, &challenge, 1);
    proved.uri = "sip:5550198@127.0.0.1".to_owned();
    assert_eq!(alice.ask(&mut world, &proved).status, 401);
    // A port or a parameter more or less is what phones do.
    let mut proved = alice.prove(&mut world, &invite, &challenge, 2);
    proved.uri = "sip:5550199@127.0.0.1:5060;user=phone".to_owned();
    assert_eq!(alice.ask(&mut world, &proved).status, 100);
}

#[test]
fn a_line_can_not_register_another() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut register = alice.register_request(&mut world, 300);
    register.headers.replace(Name::To, "<sip:bob@127.0.0.1>");
    assert_eq!(alice.ask_proved(&mut world, &register).status, 403);
    assert_eq!(world.agent.phones(&user("bob")), 0);
}

#[test]
fn sha_256_works_where_it_is_offered() {
    let (mut world, alice) = (World::with(Algorithms::Sha256AndMd5), phone("alice", 40001));
    let register = alice.register_request(&mut world, 300);
    let challenge = alice.ask(&mut world, &register);
    let offered: Vec<Algorithm> = challenge
        .headers
        .all(&Name::WwwAuthenticate)
        .map(|value| DigestChallenge::parse(value).unwrap().algorithm)
        .collect();
    assert_eq!(offered, [Algorithm::Sha256, Algorithm::Md5]);
    let proved = alice.prove(&mut world, &register, &challenge, 1);
    assert_eq!(alice.ask(&mut world, &proved).status, 200);
}

#[test]
fn several_phones_share_a_line_and_the_ninth_takes_the_place_of_the_first() {
    let mut world = World::new();
    for port in 40001..=40009 {
        phone("alice", port).register(&mut world);
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(world.agent.phones(&user("alice")), 8);
    let asked = phone("alice", 40009);
    let mut query = asked.register_request(&mut world, 300);
    query.headers = query
        .headers
        .iter()
        .filter(|(name, _)| **name != Name::Contact)
        .fold(
            ringfence_sip::message::Headers::new(),
            |mut headers, (name, value)| {
                headers.push(name.clone(), value);
                headers
            },
        );
    let listed = asked.ask_proved(&mut world, &query);
    assert_eq!(listed.headers.all(&Name::Contact).count(), 8);
    assert!(
        !listed
            .headers
            .all(&Name::Contact)
            .any(|value| value.ends_with(b"40001>;expires=300"))
    );
}

#[test]
fn a_phone_that_comes_back_from_another_port_is_the_same_phone() {
    let mut world = World::new();
    for port in [40001, 40002] {
        let alice = phone("alice", port);
        let mut register = alice.register_request(&mut world, 300);
        register.headers.replace(
            Name::Contact,
            format!("{};+sip.instance=\"<urn:uuid:AB>\"", alice.contact()),
        );
        assert_eq!(alice.ask_proved(&mut world, &register).status, 200);
    }
    assert_eq!(world.agent.phones(&user("alice")), 1);
}

#[test]
fn a_star_empties_the_line_and_stands_alone() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    alice.register(&mut world);
    let mut star = alice.register_request(&mut world, 300);
    star.headers.replace(Name::Contact, "*");
    assert_eq!(alice.ask_proved(&mut world, &star).status, 400);
    let mut star = alice.register_request(&mut world, 0);
    star.headers.replace(Name::Contact, "*");
    star.headers.push(Name::Contact, alice.contact());
    assert_eq!(alice.ask_proved(&mut world, &star).status, 400);
    assert_eq!(world.agent.phones(&user("alice")), 1);
    let mut star = alice.register_request(&mut world, 0);
    star.headers.replace(Name::Contact, "*");
    assert_eq!(alice.ask_proved(&mut world, &star).status, 200);
    assert_eq!(world.agent.phones(&user("alice")), 0);
}

#[test]
fn too_brief_is_refused_and_too_long_is_shortened() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let brief = alice.register_request(&mut world, 5);
    let refused = alice.ask_proved(&mut world, &brief);
    assert_eq!(
        (refused.status, refused.headers.text(&Name::MinExpires)),
        (423, Some("10"))
    );
    for (phone, asked, granted) in [
        (&alice, 4_000_000, 300),
        (&alice, 300, 300),
        // Longer than asked for may not be granted.
        (&alice, 60, 60),
        (&tcp_phone("alice", 40002), 4_000_000, 3600),
    ] {
        let register = phone.register_request(&mut world, asked);
        let done = phone.ask_proved(&mut world, &register);
        let mut contacts = done.headers.all(&Name::Contact);
        let expected = format!("{};expires={granted}", phone.contact());
        assert!(contacts.any(|contact| contact == expected.as_bytes()));
    }
}

#[test]
fn a_repeated_registration_is_answered_once_more_and_done_once() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let register = alice.register_request(&mut world, 300);
    let challenge = alice.ask(&mut world, &register);
    let proved = alice.prove(&mut world, &register, &challenge, 1);
    let first = alice.ask(&mut world, &proved);
    let second = alice.ask(&mut world, &proved);
    assert_eq!(first, second);
    assert_eq!(world.events().len(), 1);
}
