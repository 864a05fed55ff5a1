//! An attacker floods the relay with envelopes, garbage and genuine: calls still work, and memory stays bounded.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_tests::world::{World, handset::HandsetEvent, links::Endpoint};

#[test]
fn a_call_works_in_a_flood_of_garbage() {
    let (mut world, pair) = World::of_two(1);
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let before = world.trace().len();
    for _ in 0..5_000 {
        let mut bytes = vec![0; 1024];
        rng.fill_bytes(&mut bytes);
        bytes[0] = 1;
        world.post_as_attacker(0, bytes);
        world.run_for(Duration::from_micros(200));
    }
    world.run_for(Duration::from_secs(1));
    let counters = world.host(pair.callee).engine.counters();
    assert_eq!(counters.envelopes, 5_000);
    assert_eq!(counters.not_ours, 5_000);
    let answered = world.trace()[before..]
        .iter()
        .find(|packet| matches!(packet.from, Endpoint::Engine(_)));
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
    let (mallory, alice) = (world.add_phone(flooder, 0), world.add_phone(caller, 0));
    let bob = world.add_phone(callee, 0);
    world.dial(mallory, world.number(callee, 0));
    world.run_for(Duration::from_secs(1));
    world.hang_up(mallory);
    world.run_until_quiet(Duration::from_secs(11));
    let media = world.opened_rings()[0].media().to_vec();
    for _ in 0..200 {
        let wall = world.wall();
        world.ring_with_keys_of(flooder, world.number(callee, 0), &media, wall);
        world.run_for(Duration::from_millis(20));
    }
    let rings = world
        .handset(bob)
        .events()
        .into_iter()
        .filter(|notice| matches!(notice, HandsetEvent::Ringing { .. }));
    assert!(rings.count() < 10, "{world:?}");
    // Bob does not answer; when that call has timed out, Alice gets through.
    world.run_until_quiet(Duration::from_secs(60));
    world.dial(alice, world.number(callee, 0));
    world.run_until("rings", Duration::from_secs(2), |world| {
        world.handset(bob).is_ringing()
    });
    world.answer(bob);
    world.run_until("hears", Duration::from_secs(2), |world| {
        world.handset(alice).received_audio().packets() > 10
    });
}
