//! A world is determined by its seed: the same seed gives the same trace, with the same times and sizes.

use std::{thread::sleep, time::Duration};

use ringfence_engine::CallStep;
use ringfence_tests::world::{World, links::PacketKind};

/// A call over bad links.
fn life(seed: u64) -> World {
    let (mut world, pair) = World::of_two(seed);
    for wire in [
        &mut world.links.turn,
        &mut world.links.sip,
        &mut world.links.relay,
    ] {
        wire.loss = 0.05;
        wire.jitter = Duration::from_millis(8);
    }
    world.call(pair);
    world.run_for(Duration::from_secs(3));
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(90));
    world
}

#[test]
fn a_seed_gives_the_same_world_again() {
    let (first, second) = (life(11), life(11));
    assert_eq!(first.steps(), second.steps());
    let pairs = first.trace().iter().zip(second.trace());
    for (one, other) in pairs {
        assert_eq!(one.replayable(), other.replayable());
    }
    assert_eq!(first.trace().len(), second.trace().len());
    assert!(first.trace().iter().any(|packet| packet.lost));
    assert!(
        first
            .trace()
            .iter()
            .any(|packet| packet.kind == PacketKind::Srtp)
    );
}

#[test]
fn another_seed_gives_another_world() {
    let (first, second) = (life(11), life(14));
    let lost = |world: &World| -> Vec<Duration> {
        let lost = world.trace().iter().filter(|packet| packet.lost);
        lost.map(|packet| packet.at).collect()
    };
    assert_ne!(lost(&first), lost(&second));
}

#[test]
fn the_time_that_a_machine_takes_for_a_world_changes_nothing_in_it() {
    let steps = |pause| {
        let (mut world, pair) = World::of_two(11);
        sleep(pause);
        let mut is_kept = false;
        // SCTP's INIT, which is repeated by a timer.
        world.filter_packets(move |packet| {
            let is_init = packet.kind == PacketKind::Dtls && packet.bytes.len() == 66;
            !is_init || std::mem::replace(&mut is_kept, true)
        });
        world.call(pair);
        world.run_until("the data channel", Duration::from_secs(10), |world| {
            (0..2).all(|engine| world.has_reached(engine, CallStep::ControlOpen))
        });
        world.steps().to_vec()
    };
    assert_eq!(steps(Duration::ZERO), steps(Duration::from_millis(300)));
}
