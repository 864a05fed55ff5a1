//! Two people dial each other at the same moment: one call.

use std::time::Duration;

use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{Pair, World},
};

/// Alice dials, and this much later Bob does.
fn dial_each_other(seed: u64, apart: Duration) -> (World, Pair) {
    let (mut world, pair) = World::of_two(seed);
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_for(apart);
    world.dial(pair.bob, world.number(pair.caller, 0));
    (world, pair)
}

fn assert_one_call(world: &mut World, pair: Pair) {
    let talk = Duration::from_secs(3);
    world.run_until("both talk", Duration::from_secs(5), |world| {
        [pair.alice, pair.bob]
            .into_iter()
            .all(|phone| world.handset(phone).ear().packets() > 0)
    });
    world.run_for(talk);
    for (phone, hz) in [(pair.alice, HIGH), (pair.bob, LOW)] {
        let heard = world.handset(phone).ear().heard(hz);
        assert!(heard.tone > talk.mul_f64(0.85), "{heard:?}\n{world:?}");
    }
    assert_eq!(world.turn.relays(), 2, "{world:?}");
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
    assert!(!world.handset(pair.bob).is_talking());
}

#[test]
fn both_dial_at_once_and_talk() {
    // Either may have the lower key.
    for seed in 0..6 {
        let (mut world, pair) = dial_each_other(seed, Duration::ZERO);
        assert_one_call(&mut world, pair);
    }
}

#[test]
fn however_little_one_is_ahead_they_talk() {
    for seed in 0..4 {
        for millis in 1..90 {
            let (mut world, pair) = dial_each_other(seed, Duration::from_millis(millis));
            // Rings before or after the other one has dialled: then that phone is busy, or rings.
            world.run_for(Duration::from_millis(500));
            if world.handset(pair.bob).is_ringing() {
                world.answer(pair.bob);
            }
            assert_one_call(&mut world, pair);
        }
    }
}
