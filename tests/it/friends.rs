//! What strangers send, however much, keeps nothing of a friend away.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_book::Number;
use ringfence_engine::CallStep;
use ringfence_engine::sealed::contact_secret::{TAGS, TagWindow};
use ringfence_engine::sealed::envelope::VERSION;
use ringfence_tests::world::dishonest_book::Forgery;
use ringfence_tests::world::{CallPair, World, handset::HandsetEvent, links::Endpoint};

/// More than the engine remembers of one sender.
const NOTES_OF_EACH: usize = 66;

fn texts(world: &World, phone: usize) -> Vec<String> {
    let notices = world.handset(phone).events();
    let bodies = notices.into_iter().filter_map(|notice| match notice {
        HandsetEvent::Text { body, .. } => Some(body.clone()),
        _ => None,
    });
    bodies.collect()
}

/// Every line of an engine sends a number that much in its own name.
fn everybody_sends(
    world: &mut World,
    engine: usize,
    callee: Number,
    (what, count): (Forgery, usize),
) {
    for _ in 0..count {
        for line in 0..world.host(engine).lines.len() {
            let keys = world.host(engine).lines[line].identity();
            let number = world.number(engine, line);
            world.send_as(&keys, number, callee, what);
        }
    }
}

#[test]
fn sixteen_numbers_that_send_notes_without_end_keep_no_text_away_that_was_written_before() {
    let (mut world, pair) = World::of_two(51);
    let mallory = world.open_engine(16);
    let bob = world.number(pair.callee, 0);
    let callee = Endpoint::Engine(pair.callee);
    world.filter_packets(move |packet| packet.to != callee || packet.from != Endpoint::Relay);
    world.send_text(pair.alice, bob, "before");
    world.run_for(Duration::from_secs(5));
    world.remove_filter();
    everybody_sends(&mut world, mallory, bob, (Forgery::Missed, NOTES_OF_EACH));
    let notes = world.host(pair.callee).engine.counters().forged;
    assert_eq!(notes, 0, "every note was taken");
    world.fetch_notes(pair.callee);
    world.run_for(Duration::from_secs(5));
    assert_eq!(texts(&world, pair.bob), ["before"]);
    // What was taken is not taken again, not even by another process.
    world.restart(pair.callee);
    world.register(pair.bob);
    world.fetch_notes(pair.callee);
    world.send_text(pair.alice, bob, "after");
    world.run_for(Duration::from_secs(5));
    assert_eq!(texts(&world, pair.bob), ["before", "after"]);
}

#[test]
fn the_texts_of_strangers_that_wait_make_room_for_those_of_a_number_that_was_dialled() {
    let (mut world, pair) = World::of_two(52);
    world.dial(pair.bob, world.number(pair.caller, 0));
    world.run_for(Duration::from_secs(3));
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(60));
    world.answer_texts(pair.bob, 480);
    let (alice, bob) = (world.number(pair.caller, 0), world.number(pair.callee, 0));
    for _ in 0..3 {
        // As many as one epoch of the book lists.
        let mallory = world.open_engine(12);
        everybody_sends(&mut world, mallory, bob, (Forgery::Text, 8));
    }
    for _ in 0..32 {
        world.send_text(pair.alice, bob, "hello");
        world.run_for(Duration::from_secs(2));
    }
    let saved = world.host(pair.callee).engine.saved_state();
    let (friends, strangers): (Vec<_>, Vec<_>) =
        saved.texts.iter().partition(|text| text.from == alice);
    assert_eq!((friends.len(), strangers.len()), (32, 128));
}

#[test]
fn a_ring_is_opened_before_all_the_garbage_that_came_before_it() {
    for lines in [1, 12] {
        let mut world = World::new(53);
        let (caller, callee) = (world.open_engine(1), world.open_engine(lines));
        let (alice, bob) = (world.add_phone(caller, 0), world.add_phone(callee, 0));
        world.run_for(Duration::from_secs(2));
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        for _ in 0..3_000 {
            let mut bytes = vec![0; 1024];
            rng.fill_bytes(&mut bytes);
            bytes[0] = VERSION;
            world.post_as_attacker(0, bytes);
        }
        world.dial(alice, world.number(callee, 0));
        world.run_until("rings", Duration::from_millis(800), |world| {
            world.handset(bob).is_ringing()
        });
        let opened = world.host(callee).engine.counters().not_ours;
        assert!(opened < 3_000, "the budget is smaller than the flood");
        world.run_for(Duration::from_secs(20));
        let counters = world.host(callee).engine.counters();
        assert!(counters.not_ours >= 3_000, "later, but all of it");
    }
}

/// An engine gives no tags in the window in which it started.
const WINDOW: Duration = Duration::from_secs(600);

/// Two who have talked and named each other, a window later.
fn friends(seed: u64, lines: usize) -> (World, CallPair) {
    let (mut world, pair) = acquaintances(seed, lines);
    for (engine, other) in [(pair.caller, pair.callee), (pair.callee, pair.caller)] {
        name(&mut world, engine, other);
    }
    (world, pair)
}

/// Two who have talked, a window later.
fn acquaintances(seed: u64, lines: usize) -> (World, CallPair) {
    let mut world = World::new(seed);
    let (caller, callee) = (world.open_engine(1), world.open_engine(lines));
    let (alice, bob) = (world.add_phone(caller, 0), world.add_phone(callee, 0));
    world.run_for(Duration::from_secs(2));
    let pair = CallPair {
        caller,
        callee,
        alice,
        bob,
    };
    talk(&mut world, pair);
    world.run_for(WINDOW);
    (world, pair)
}

fn name(world: &mut World, engine: usize, other: usize) {
    let number = world.number(other, 0);
    world.edit_contacts(engine, |contacts| {
        contacts.name(number, "friend").expect("it was answered")
    });
}

fn talk(world: &mut World, pair: CallPair) {
    world.ring(pair);
    world.answer(pair.bob);
    world.run_for(Duration::from_secs(3));
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(60));
}

/// The hints of everything that has passed the relay.
fn hints(world: &World) -> Vec<[u8; 16]> {
    let passed = world.relay.passed().iter();
    let hint = |bytes: &[u8]| bytes[1..17].try_into().expect("an envelope is longer");
    passed.map(|(_, sealed)| hint(&sealed.bytes)).collect()
}

/// What an engine's first line may send to the other's in this window, by the secret that the line has.
fn tags(world: &World, engine: usize, other: usize) -> BTreeSet<[u8; 16]> {
    let (own, number) = (world.number(engine, 0), world.number(other, 0));
    let secrets = &world.host(engine).engine.saved_state().secrets;
    let secret = &secrets.of(own, number).expect("they have talked").secrets[0];
    let tags = secret.tags(own, TagWindow::at(world.wall()));
    tags.into_iter().map(|tag| tag.0).collect()
}

/// More garbage each millisecond than an engine of twelve lines may open; how long until something comes true.
fn under_flood(
    world: &mut World,
    rng: &mut ChaCha20Rng,
    limit: Duration,
    wanted: impl Fn(&World) -> bool,
) -> Duration {
    let began = world.clock();
    while !wanted(world) {
        assert!(world.clock() - began < limit, "not within {limit:?}");
        for _ in 0..3 {
            let mut bytes = vec![0; 1024];
            rng.fill_bytes(&mut bytes);
            bytes[0] = VERSION;
            world.post_as_attacker(0, bytes);
        }
        world.run_for(Duration::from_millis(1));
    }
    world.clock() - began
}

#[test]
fn a_contacts_ring_cancel_and_text_wait_for_nothing_while_strangers_send_more_than_can_be_opened() {
    let (mut world, pair) = friends(54, 12);
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let bob = world.number(pair.callee, 0);
    let quiet = world.clock();
    world.dial(pair.alice, bob);
    world.run_until("rings", Duration::from_secs(1), |world| {
        world.handset(pair.bob).is_ringing()
    });
    let quiet = world.clock() - quiet;
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(60));
    let second = Duration::from_secs(1);
    under_flood(&mut world, &mut rng, second, |world| {
        world.host(pair.callee).engine.counters().envelopes > 1_000
    });
    for _ in 0..3 {
        world.dial(pair.alice, bob);
        let rang = under_flood(&mut world, &mut rng, 2 * second, |world| {
            world.handset(pair.bob).is_ringing()
        });
        assert!(rang < quiet + Duration::from_millis(20), "{rang:?}");
        world.hang_up(pair.alice);
        // The cancel leaves with the next of the six envelopes.
        under_flood(&mut world, &mut rng, 8 * second, |world| {
            !world.handset(pair.bob).is_ringing()
        });
        world.send_text(pair.alice, bob, "hello");
        let before = texts(&world, pair.bob).len();
        under_flood(&mut world, &mut rng, second / 5, |world| {
            texts(world, pair.bob).len() > before
        });
    }
    let opened = world.host(pair.callee).engine.counters().not_ours;
    let came = world.host(pair.callee).engine.counters().envelopes;
    assert!(opened < came / 2, "the budget is smaller than the flood");
}

#[test]
fn a_number_that_was_merely_answered_waits_like_a_stranger_until_it_has_a_name() {
    let (mut world, pair) = acquaintances(60, 12);
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let bob = world.number(pair.callee, 0);
    let second = Duration::from_secs(1);
    under_flood(&mut world, &mut rng, second, |world| {
        world.host(pair.callee).engine.counters().envelopes > 1_000
    });
    let mut five_texts = |world: &mut World| {
        let before = texts(world, pair.bob).len();
        for _ in 0..5 {
            world.send_text(pair.alice, bob, "hello");
            let until = world.clock() + second / 5;
            under_flood(world, &mut rng, second, |world| world.clock() >= until);
        }
        texts(world, pair.bob).len() - before
    };
    assert!(five_texts(&mut world) < 5);
    name(&mut world, pair.callee, pair.caller);
    assert_eq!(five_texts(&mut world), 5);
}

#[test]
fn ten_minutes_after_midnight_nothing_is_left_of_the_secrets_of_the_day_before() {
    let (mut world, pair) = friends(61, 1);
    let sides = [(pair.caller, pair.callee), (pair.callee, pair.caller)];
    let both = |world: &World| sides.map(|(engine, other)| newest(world, engine, other));
    let before = both(&world);
    let midnight = 86_400 - world.wall().seconds() % 86_400;
    world.run_for(Duration::from_secs(midnight));
    assert_eq!(both(&world), before, "envelopes of that day may arrive");
    world.run_for(WINDOW + Duration::from_secs(60));
    let after = both(&world);
    assert!(after[0] == after[1] && after[0] != before[0]);
}

#[test]
fn all_that_contacts_send_each_other_has_a_tag_and_covers_have_none() {
    let (mut world, pair) = friends(55, 1);
    let (alice, bob) = (world.number(pair.caller, 0), world.number(pair.callee, 0));
    let tags = tags(&world, pair.caller, pair.callee);
    assert_eq!(tags.len(), TAGS);
    let sent = |world: &World, before: usize| -> Vec<bool> {
        let hints = hints(world).split_off(before);
        hints.iter().map(|hint| tags.contains(hint)).collect()
    };
    let before = hints(&world).len();
    world.send_text(pair.alice, bob, "hello");
    world.run_for(Duration::from_secs(1));
    assert_eq!(sent(&world, before), [true]);
    let before = hints(&world).len();
    world.ring(pair);
    world.run_for(Duration::from_secs(10));
    world.hang_up(pair.alice);
    world.run_for(Duration::from_secs(40));
    // Ring and note, the ring once or twice again, and the cancel in all that are left.
    assert_eq!(sent(&world, before), [true; 8]);
    // Ring and note of a call that is answered at once, and covers.
    let before = hints(&world).len();
    talk(&mut world, pair);
    world.run_for(Duration::from_secs(45));
    let sent = sent(&world, before);
    assert_eq!(sent[..2], [true; 2]);
    assert_eq!(sent[2..], [false; 6]);
    // A round of presence: one of its eight envelopes is for a contact.
    let before = hints(&world).len();
    world.edit_contacts(pair.caller, |contacts| contacts.share(bob, alice).unwrap());
    let mut tagged = 0;
    for _ in 0..8 {
        let posted = hints(&world).len();
        world.run_until("the next place", Duration::from_secs(181), |world| {
            hints(world).len() > posted
        });
        let tags = self::tags(&world, pair.caller, pair.callee);
        tagged += usize::from(tags.contains(&hints(&world)[posted]));
    }
    assert_eq!((tagged, hints(&world).len() - before), (1, 8));
}

#[test]
fn hints_of_contacts_never_come_twice_and_are_like_random_ones() {
    let (mut world, pair) = friends(56, 1);
    let bob = world.number(pair.callee, 0);
    let tags = tags(&world, pair.caller, pair.callee);
    let before = hints(&world).len();
    for _ in 0..40 {
        world.send_text(pair.alice, bob, "hello");
        world.run_for(Duration::from_secs(2));
    }
    let first: Vec<_> = hints(&world).split_off(before);
    let tagged = first.iter().filter(|hint| tags.contains(*hint)).count();
    assert_eq!((tagged, first.len()), (TAGS, 40), "then hints are random");
    assert_eq!(texts(&world, pair.bob).len(), 40);
    // A process that starts anew repeats none.
    world.kill(pair.caller);
    world.restart(pair.caller);
    world.register(pair.alice);
    for _ in 0..200 {
        world.send_text(pair.alice, bob, "hello");
        world.run_for(Duration::from_secs(18));
    }
    let all = hints(&world);
    assert!(all.len() > 240);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    // 240 hints of 128 bits: half of them are set, within four standard deviations of 88 bits.
    let ones: u32 = all.iter().flatten().map(|byte| byte.count_ones()).sum();
    let half = u32::try_from(all.len()).unwrap() * 64;
    assert!(ones.abs_diff(half) < 400, "{ones} of {}", 2 * half);
}

#[test]
fn a_tag_that_a_relay_puts_on_garbage_keeps_no_contact_away() {
    let (mut world, pair) = friends(57, 12);
    let bob = world.number(pair.callee, 0);
    let callee = Endpoint::Engine(pair.callee);
    world.filter_packets(move |packet| packet.to != callee || packet.from != Endpoint::Relay);
    let before = world.relay.passed().len();
    world.dial(pair.alice, bob);
    world.run_for(Duration::from_secs(1));
    let ring = world.relay.passed()[before].1.clone();
    world.remove_filter();
    let tried = world.host(pair.callee).engine.counters().not_ours;
    for _ in 0..3 {
        let mut garbage = ring.bytes.clone();
        garbage[1_000] ^= 1;
        world.post_as_attacker(0, garbage);
    }
    world.run_for(Duration::from_millis(200));
    assert_eq!(
        world.host(pair.callee).engine.counters().not_ours,
        tried + 3
    );
    // The ring itself is opened like a stranger's; its next copy has another tag, and waits for nothing.
    world.repost(ring);
    world.run_until("rings", Duration::from_millis(200), |world| {
        world.handset(pair.bob).is_ringing()
    });
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(60));
    world.filter_packets(move |packet| packet.to != callee || packet.from != Endpoint::Relay);
    world.dial(pair.alice, bob);
    world.run_for(Duration::from_secs(1));
    world.remove_filter();
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let copies = Duration::from_secs(8);
    under_flood(&mut world, &mut rng, copies, |world| {
        world.handset(pair.bob).is_ringing()
    });
}

#[test]
fn a_backup_without_the_newest_secrets_calls_and_is_called_like_a_stranger() {
    let (mut world, pair) = friends(58, 1);
    let backup = world.host(pair.callee).engine.saved_state().clone();
    for _ in 0..2 {
        talk(&mut world, pair);
    }
    world.restart_with(pair.callee, backup);
    world.register(pair.bob);
    world.run_for(WINDOW);
    assert_ne!(
        newest(&world, pair.caller, pair.callee),
        newest(&world, pair.callee, pair.caller)
    );
    let (alice, bob) = (world.number(pair.caller, 0), world.number(pair.callee, 0));
    world.send_text(pair.alice, bob, "to the backup");
    world.send_text(pair.bob, alice, "from the backup");
    world.run_for(Duration::from_secs(1));
    assert_eq!(texts(&world, pair.bob), ["to the backup"]);
    assert_eq!(texts(&world, pair.alice), ["from the backup"]);
    talk(&mut world, pair);
    assert_eq!(
        newest(&world, pair.caller, pair.callee),
        newest(&world, pair.callee, pair.caller)
    );
}

#[test]
fn a_confirmation_that_is_lost_costs_the_next_calls_nothing_but_their_tags() {
    let (mut world, pair) = friends(59, 1);
    let us = Endpoint::Engine(pair.callee);
    world.ring(pair);
    world.answer(pair.bob);
    let answers = |world: &World| {
        let steps = world.steps_of(pair.callee).into_iter();
        steps.filter(|step| *step == CallStep::AnswerSent).count()
    };
    world.run_until("answered", Duration::from_secs(2), |world| {
        answers(world) == 2
    });
    let shared = newest(&world, pair.callee, pair.caller);
    world.filter_packets(move |packet| packet.to != us || packet.from != Endpoint::Turn(0));
    world.run_until_quiet(Duration::from_secs(60));
    world.remove_filter();
    assert_eq!(newest(&world, pair.callee, pair.caller), shared);
    let (alice, bob) = (world.number(pair.caller, 0), world.number(pair.callee, 0));
    let secrets = &world.host(pair.caller).engine.saved_state().secrets;
    let [newer, older] = &secrets.of(alice, bob).unwrap().secrets[..] else {
        panic!("the caller keeps the one before");
    };
    assert!(newer != older && *older.as_bytes() == shared);
    world.send_text(pair.alice, bob, "like a stranger's");
    world.send_text(pair.bob, alice, "under the older secret");
    world.run_for(Duration::from_secs(1));
    assert_eq!(texts(&world, pair.bob), ["like a stranger's"]);
    assert_eq!(texts(&world, pair.alice), ["under the older secret"]);
    talk(&mut world, pair);
    assert_eq!(
        newest(&world, pair.caller, pair.callee),
        newest(&world, pair.callee, pair.caller)
    );
}

/// The newest secret that an engine's first line shares with the other's.
fn newest(world: &World, engine: usize, other: usize) -> [u8; 32] {
    let (own, number) = (world.number(engine, 0), world.number(other, 0));
    let secrets = &world.host(engine).engine.saved_state().secrets;
    *secrets.of(own, number).expect("they have talked").secrets[0].as_bytes()
}
