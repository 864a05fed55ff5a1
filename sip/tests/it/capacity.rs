//! Many phones, and one that means harm: what a repeat gets under load, and what is left for the others.

use std::collections::BTreeMap;
use std::time::Duration;

use ringfence_sip::Output;
use ringfence_sip::message::{Message, Method, Name, Request, parse};

use crate::world::{OFFER, Phone, World, phone};

/// A phone at an address of its own on the LAN.
fn lan_phone(name: &'static str, host: u8) -> Phone {
    let mut phone = phone(name, 5060);
    phone.flow.local = "192.0.2.1:5060".parse().unwrap();
    phone.flow.peer = format!("192.0.2.{host}:5060").parse().unwrap();
    phone
}

/// A phone that registers again and again, each time with new credentials.
struct Refreshing {
    phone: Phone,
    register: Request,
    challenge: ringfence_sip::message::Response,
    count: u32,
}

impl Refreshing {
    fn new(phone: Phone, world: &mut World) -> Self {
        let register = phone.register_request(world, 300);
        let challenge = phone.ask(world, &register);
        Self {
            phone,
            register,
            challenge,
            count: 0,
        }
    }

    fn next(&mut self, world: &mut World) -> Vec<u8> {
        self.count += 1;
        let proved = self
            .phone
            .prove(world, &self.register, &self.challenge, self.count);
        proved.to_bytes()
    }

    /// The user agent's response to these bytes.
    fn say(&self, world: &mut World, bytes: &[u8]) -> Vec<u8> {
        world.agent.handle_packet(self.phone.flow, bytes, world.now);
        let outputs = std::iter::from_fn(|| world.agent.poll());
        let mut said = outputs.filter_map(|output| match output {
            Output::Send { bytes, .. } => Some(bytes),
            _ => None,
        });
        said.next().expect("an answer")
    }
}

/// A phone's request, and the response to it.
type Said = (usize, Vec<u8>, Vec<u8>);

fn status(bytes: &[u8]) -> u16 {
    match parse(bytes).unwrap() {
        Message::Response(response) => response.status,
        Message::Request(_) => 0,
    }
}

#[test]
fn two_thousand_registrations_a_second_go_on_and_their_repeats_get_the_same_bytes() {
    let mut world = World::new();
    let mut phones: Vec<Refreshing> = (0..500_u16)
        .map(|number| {
            let name = ["alice", "bob"][usize::from(number % 2)];
            Refreshing::new(phone(name, 10_000 + number / 50), &mut world)
        })
        .collect();
    let seconds = if std::env::var_os("RINGFENCE_TEST_LONG").is_some() {
        60
    } else {
        4
    };
    // The requests to retransmit later: when, which phone, the request and the response it had.
    let mut repeats: BTreeMap<Duration, Vec<Said>> = BTreeMap::new();
    let start = world.now;
    let mut repeated = 0;
    for number in 0..2_000 * seconds {
        let which = number % phones.len();
        let request = phones[which].next(&mut world);
        let answer = phones[which].say(&mut world, &request);
        if number % 50 == 0 {
            assert_eq!(status(&answer), 200);
            for pause in [500, 1_500, 3_500, 7_500, 11_500] {
                let at = world.now.duration_since(start) + Duration::from_millis(pause);
                let item = (which, request.clone(), answer.clone());
                repeats.entry(at).or_default().push(item);
            }
        }
        world.advance(Duration::from_micros(500));
        let elapsed = world.now.duration_since(start);
        while let Some(due) = repeats.first_entry().filter(|due| *due.key() <= elapsed) {
            for (who, request, answer) in due.remove() {
                assert!(
                    phones[who].say(&mut world, &request) == answer,
                    "{elapsed:?}"
                );
                repeated += 1;
            }
        }
    }
    assert!(repeated > 50 * seconds);
    assert_eq!(world.agent.counters().overloaded, 0);
}

#[test]
fn a_flood_from_one_machine_takes_no_answer_from_another() {
    let mut world = World::new();
    let mut quiet = Refreshing::new(lan_phone("alice", 7), &mut world);
    let mut hostile = Refreshing::new(lan_phone("bob", 66), &mut world);
    let (mine, theirs) = (quiet.next(&mut world), hostile.next(&mut world));
    let answer = quiet.say(&mut world, &mine);
    assert_eq!(status(&hostile.say(&mut world, &theirs)), 200);
    // Each answer lists all phones of the line, here with the longest addresses: 50 kB.
    for name in 0..7 {
        let contact = format!("<sip:{name}{}@192.0.2.66>", "x".repeat(7_000));
        hostile.register.headers.replace(Name::Contact, contact);
        for _ in 0..200 {
            let request = hostile.next(&mut world);
            hostile.say(&mut world, &request);
        }
    }
    assert!(quiet.say(&mut world, &mine) == answer, "it was pushed out");
    // The flood has evicted its own responses: its retransmissions count as new.
    assert_eq!(status(&hostile.say(&mut world, &theirs)), 401);
    let fresh = quiet.next(&mut world);
    assert_eq!(status(&quiet.say(&mut world, &fresh)), 200);
}

#[test]
fn a_phone_that_acknowledges_nothing_fills_its_own_share_of_the_table() {
    let (mut world, bob) = (World::new(), lan_phone("bob", 66));
    for _ in 0..512 {
        let (_, leg) = bob.dial(&mut world, "1", OFFER);
        world.agent.refuse(leg, 486, world.now);
        world.drain();
        assert_eq!(world.statuses(bob.flow), [486]);
    }
    let invite = bob.request(&mut world, Method::Invite, "sip:1@127.0.0.1");
    assert_eq!(bob.ask_proved(&mut world, &invite).status, 503);
    let alice = lan_phone("alice", 7);
    alice.register(&mut world);
    alice.dial(&mut world, "1", OFFER);
}

#[test]
fn a_cancel_that_overtakes_nothing_is_answered_as_long_as_its_invite_is_known() {
    let (mut world, alice) = (World::new(), phone("alice", 40_001));
    let (call, leg) = alice.dial(&mut world, "1", OFFER);
    world.agent.refuse(leg, 486, world.now);
    world.drain();
    world.inbox(alice.flow);
    alice.send(&mut world, &call.ack_of_refusal());
    assert_eq!(alice.ask(&mut world, &call.cancel()).status, 200);
    world.advance(Duration::from_secs(40));
    assert_eq!(alice.ask(&mut world, &call.cancel()).status, 481);
}
