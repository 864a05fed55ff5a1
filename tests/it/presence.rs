//! Presence is shown only to named contacts, and is sent at times that reveal nothing.

use std::time::Duration;

use ringfence_book::Number;
use ringfence_tests::world::{
    CallPair, World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind, TracedPacket},
};

/// The longest round: eight slots of three minutes each, plus the delivery.
const ROUND: Duration = Duration::from_secs(8 * 180 + 1);
/// How long a presence message is valid.
const GOOD_FOR: Duration = Duration::from_secs(2_400);
const SOON: Duration = Duration::from_secs(2);

/// Two parties that have had a call, and that subscribe to each other's presence.
fn acquainted(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    world.call(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(10));
    let (alice, bob) = numbers(&world, pair);
    world.watch(pair.alice, "presence", &bob.to_string());
    world.watch(pair.bob, "presence", &alice.to_string());
    world.run_for(SOON);
    (world, pair)
}

fn numbers(world: &World, pair: CallPair) -> (Number, Number) {
    (world.number(pair.caller, 0), world.number(pair.callee, 0))
}

fn share(world: &mut World, engine: usize, with: Number) {
    let line = world.number(engine, 0);
    world.edit_contacts(engine, |contacts| contacts.share(with, line).unwrap());
}

/// The presence states that a phone was shown, in order.
fn shown(world: &World, phone: usize) -> Vec<String> {
    let notices = world.handset(phone).events().into_iter();
    let told = notices.filter_map(|notice| match notice {
        HandsetEvent::Notified { package, body } if package == "presence" => Some(body.clone()),
        _ => None,
    });
    told.collect()
}

fn last(world: &World, phone: usize) -> String {
    shown(world, phone).pop().expect("it was told something")
}

fn run_until_shown(world: &mut World, phone: usize, what: &str) {
    world.run_until("it is shown", ROUND, |world| {
        last(world, phone).contains(what)
    });
}

/// Time and size of everything that an engine published.
fn posts(world: &World, engine: usize) -> Vec<(Duration, usize)> {
    let is_post = |packet: &&TracedPacket| {
        let ends = (packet.from, packet.to, packet.kind);
        ends == (
            Endpoint::Engine(engine),
            Endpoint::Relay,
            PacketKind::Envelope,
        )
    };
    let posts = world.trace().iter().filter(is_post);
    posts.map(|packet| (packet.at, packet.size)).collect()
}

#[test]
fn two_who_share_see_each_other_and_what_changes() {
    let (mut world, pair) = acquainted(1);
    let (alice, bob) = numbers(&world, pair);
    for phone in [pair.alice, pair.bob] {
        assert!(last(&world, phone).contains("<basic>closed</basic>"));
    }
    share(&mut world, pair.caller, bob);
    share(&mut world, pair.callee, alice);
    for phone in [pair.alice, pair.bob] {
        run_until_shown(&mut world, phone, "<basic>open</basic>");
        assert!(last(&world, phone).contains("<note>Available</note>"));
    }
    world.dial_digits(pair.alice, "*78");
    run_until_shown(&mut world, pair.bob, "<rpid:busy/>");
    assert!(last(&world, pair.alice).contains("<note>Available</note>"));
}

#[test]
fn a_talking_line_is_shown_as_on_the_phone() {
    let (mut world, pair) = acquainted(2);
    let (_, bob) = numbers(&world, pair);
    share(&mut world, pair.caller, bob);
    run_until_shown(&mut world, pair.bob, "<basic>open</basic>");
    let heard = posts(&world, pair.caller).len();
    world.run_until("seven other places", ROUND, |world| {
        posts(world, pair.caller).len() == heard + 7
    });
    world.call(pair);
    run_until_shown(&mut world, pair.bob, "<rpid:on-the-phone/>");
}

#[test]
fn a_watcher_without_permission_cannot_tell_why() {
    let (mut world, pair) = acquainted(3);
    let (alice, _) = numbers(&world, pair);
    let unassigned = world.unassigned();
    world.watch(pair.bob, "presence", &unassigned.to_string());
    // Bob shares presence, Alice does not.
    share(&mut world, pair.callee, alice);
    world.run_for(ROUND);
    let unnamed = |number: Number| {
        let about = format!("entity=\"sip:{number}@");
        let documents = shown(&world, pair.bob).into_iter();
        let about_it: Vec<_> = documents.filter(|text| text.contains(&about)).collect();
        about_it
            .iter()
            .map(|text| text.replace(&about, ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(unnamed(alice), unnamed(unassigned));
    assert_eq!(unnamed(alice).len(), 1);
    // An engine that shares nothing publishes nothing.
    assert_eq!(
        posts(&world, pair.caller).len(),
        posts_of_the_call(&world, pair)
    );
    assert!(last(&world, pair.alice).contains("<basic>open</basic>"));
}

/// What Alice's engine published before presence was shared.
fn posts_of_the_call(world: &World, pair: CallPair) -> usize {
    let posts = posts(world, pair.caller).into_iter();
    posts
        .filter(|(at, _)| *at < Duration::from_secs(60))
        .count()
}

#[test]
fn moments_and_sizes_are_the_same_whatever_happens_on_the_line() {
    let course = |is_busy: bool| {
        let (mut world, pair) = acquainted(4);
        let (_, bob) = numbers(&world, pair);
        share(&mut world, pair.caller, bob);
        for code in ["*78", "*79", "*78"] {
            if is_busy {
                world.dial_digits(pair.alice, code);
            }
            world.run_for(Duration::from_secs(300));
        }
        world.run_for(2 * ROUND);
        (posts(&world, pair.caller), last(&world, pair.bob))
    };
    let ((quiet, told), (busy, told_more)) = (course(false), course(true));
    assert_eq!(quiet, busy);
    assert_ne!(told, told_more, "there was something to be seen");
    assert!(quiet.len() > 20 && quiet.iter().all(|(_, size)| *size == 1_024));
}

#[test]
fn an_engine_that_is_gone_is_offline_after_a_while_and_not_before() {
    let (mut world, pair) = acquainted(5);
    let (_, bob) = numbers(&world, pair);
    share(&mut world, pair.caller, bob);
    run_until_shown(&mut world, pair.bob, "<basic>open</basic>");
    world.switch_off(pair.caller);
    world.run_for(GOOD_FOR - Duration::from_secs(5));
    assert!(last(&world, pair.bob).contains("<basic>open</basic>"));
    world.run_for(Duration::from_secs(10));
    assert!(last(&world, pair.bob).contains("<basic>closed</basic>"));
}

#[test]
fn a_watcher_that_lost_permission_sees_what_it_would_see_of_an_engine_that_is_off() {
    let (mut world, pair) = acquainted(6);
    let (_, bob) = numbers(&world, pair);
    share(&mut world, pair.caller, bob);
    run_until_shown(&mut world, pair.bob, "<basic>open</basic>");
    let open = last(&world, pair.bob);
    world.edit_contacts(pair.caller, |contacts| contacts.unshare(bob).unwrap());
    world.run_for(GOOD_FOR - Duration::from_secs(5));
    assert_eq!(last(&world, pair.bob), open);
    world.run_for(Duration::from_secs(10));
    assert!(last(&world, pair.bob).contains("<basic>closed</basic>"));
}

#[test]
fn after_a_restart_of_either_side_a_round_brings_it_back() {
    let (mut world, pair) = acquainted(7);
    let (alice, bob) = numbers(&world, pair);
    share(&mut world, pair.caller, bob);
    run_until_shown(&mut world, pair.bob, "<basic>open</basic>");
    for engine in [pair.callee, pair.caller] {
        world.switch_off(engine);
        world.run_for(Duration::from_secs(60));
        world.switch_on(engine);
        world.run_for(SOON);
        let before = shown(&world, pair.bob).len();
        world.watch(pair.bob, "presence", &alice.to_string());
        world.run_until("watched again", SOON, |world| {
            shown(world, pair.bob).len() > before
        });
        run_until_shown(&mut world, pair.bob, "<basic>open</basic>");
    }
}

#[test]
fn another_key_is_told_nothing_and_believed_nothing() {
    let (mut world, pair) = acquainted(8);
    let (alice, bob) = numbers(&world, pair);
    share(&mut world, pair.caller, bob);
    run_until_shown(&mut world, pair.bob, "<basic>open</basic>");
    // Bob's engine pins another key for Alice: presence under the old key is discarded.
    let other = world.new_keys().key();
    world.edit_contacts(pair.callee, |contacts| {
        let mut changed = contacts.get(alice).unwrap().clone();
        changed.identity = other;
        contacts.insert(changed);
    });
    world.run_for(SOON);
    assert!(last(&world, pair.bob).contains("<basic>closed</basic>"));
    let told = shown(&world, pair.bob).len();
    world.run_for(ROUND);
    assert_eq!(shown(&world, pair.bob).len(), told);
    assert!(world.host(pair.callee).engine.counters().changed_keys > 0);
    // The book shows Alice's engine another key for Bob: the holder of that key is told nothing.
    let thief = world.new_keys();
    world.show_book(pair.caller, (2, 0), &[(bob, thief.listing())]);
    let before = world.relay.passed().len();
    world.run_for(ROUND);
    let passed = &world.relay.passed()[before..];
    assert!(passed.len() >= 8, "covers all the same");
    assert_eq!(world.opened_by(&thief, passed), 0);
}

#[test]
fn a_number_outside_the_plan_cannot_be_watched_and_ones_own_can() {
    let (mut world, pair) = acquainted(9);
    let before = shown(&world, pair.alice).len();
    world.watch(pair.alice, "presence", "1");
    world.run_for(SOON);
    assert_eq!(shown(&world, pair.alice).len(), before);
    let own = world.number(pair.caller, 0).to_string();
    world.watch(pair.alice, "presence", &own);
    world.run_for(SOON);
    assert!(last(&world, pair.alice).contains("<basic>open</basic>"));
}
