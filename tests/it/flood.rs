//! Somebody floods the relay with envelopes, garbage and genuine: calls go on, and nothing grows without bound.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_tests::world::{World, handset::Notice, links::Place};

#[test]
fn a_call_works_in_a_flood_of_garbage() {
    let (mut world, pair) = World::of_two(1);
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let before = world.trace().len();
    for _ in 0..5_000 {
        let mut bytes = vec![0; 1024];
        rng.fill_bytes(&mut bytes);
        bytes[0] = 1;
        world.post_as_stranger(0, bytes);
        world.run_for(Duration::from_micros(200));
    }
    world.run_for(Duration::from_secs(1));
    let counters = world.seat(pair.callee).engine.counters();
    assert_eq!(counters.envelopes, 5_000);
    assert_eq!(counters.not_ours, 5_000);
    let answered = world.trace()[before..]
        .iter()
        .find(|passage| matches!(passage.from, Place::Engine(_)));
    assert_eq!(answered, None);
    world.call(pair);
}

#[test]
fn one_caller_who_rings_without_end_does_not_keep_others_away() {
    let mut world = World::new(2);
    let (flooder, caller, callee) = (
        world.open_engine(1),
        world.open_engine(1),
        world.open_engine(1),
    );
    let (mallory, alice) = (world.plug_in(flooder, 0), world.plug_in(caller, 0));
    let bob = world.plug_in(callee, 0);
    world.dial(mallory, world.number(callee, 0));
    world.run_for(Duration::from_secs(1));
    world.hang_up(mallory);
    world.run_until_quiet(Duration::from_secs(5));
    let media = world.opened_rings()[0].media().to_vec();
    for _ in 0..200 {
        let wall = world.wall();
        world.ring_with_keys_of(flooder, world.number(callee, 0), &media, wall);
        world.run_for(Duration::from_millis(20));
    }
    let rings = world
        .handset(bob)
        .notices()
        .into_iter()
        .filter(|notice| matches!(notice, Notice::Rings { .. }));
    assert!(rings.count() < 10, "{world:?}");
    // Bob lets it ring; when that is over, Alice gets through.
    world.run_until_quiet(Duration::from_secs(60));
    world.dial(alice, world.number(callee, 0));
    world.run_until("rings", Duration::from_secs(2), |world| {
        world.handset(bob).is_ringing()
    });
    world.answer(bob);
    world.run_until("hears", Duration::from_secs(2), |world| {
        world.handset(alice).ear().packets() > 10
    });
}
