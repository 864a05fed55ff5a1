//! What strangers send, however much, keeps nothing of a friend away.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_engine::sealed::envelope::VERSION;
use ringfence_tests::world::dishonest_book::Forgery;
use ringfence_tests::world::{World, handset::HandsetEvent, links::Endpoint};

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
    callee: ringfence_book::Number,
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
