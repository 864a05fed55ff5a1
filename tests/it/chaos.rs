//! Random actions at random times over bad links: nothing panics, no phone is left in a call without a peer, and in the end no
//! call is left.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_tests::world::World;

/// Engines with two lines and three phones each.
const ENGINES: usize = 3;

#[test]
fn whatever_people_do_everything_ends() {
    let lives = if std::env::var_os("RINGFENCE_TEST_LONG").is_some() {
        60
    } else {
        3
    };
    for seed in 0..lives {
        live(seed);
    }
}

fn live(seed: u64) {
    let mut world = World::new(seed);
    let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 0xc4a0_5000);
    let engines: Vec<usize> = (0..ENGINES).map(|_| world.open_engine(2)).collect();
    let mut phones = Vec::new();
    for engine in engines.iter().copied() {
        for line in [0, 0, 1] {
            phones.push(world.add_phone(engine, line));
        }
    }
    for wire in [
        &mut world.links.sip,
        &mut world.links.turn,
        &mut world.links.relay,
    ] {
        wire.jitter = Duration::from_millis(20);
        wire.loss = 0.01 * f64::from(rng.next_u32() % 4);
    }
    for _ in 0..120 {
        let phone = phones[below(&mut rng, phones.len())];
        act(&mut world, &mut rng, phone);
        world.run_for(Duration::from_millis(u64::from(rng.next_u32() % 1_500)));
    }
    for phone in &phones {
        world.hang_up(*phone);
    }
    // Rings that were not cancelled and 200s that were not acknowledged time out after half a minute.
    world.run_for(Duration::from_secs(100));
    for phone in phones {
        assert!(
            !world.handset(phone).is_talking(),
            "seed {seed}, phone {phone}\n{world:?}"
        );
    }
    for engine in engines {
        assert!(
            world.host(engine).engine.is_idle(),
            "seed {seed}, engine {engine}\n{world:?}"
        );
    }
    assert_eq!(world.turn.relays(), 0, "seed {seed}\n{world:?}");
    assert_eq!(world.turn.misdirected(), []);
}

fn act(world: &mut World, rng: &mut ChaCha20Rng, phone: usize) {
    let handset = world.handset(phone);
    let (rings, talks, is_free) = (
        handset.is_ringing(),
        handset.is_talking(),
        handset.is_free(),
    );
    match (rng.next_u32() % 4, rings, talks) {
        (0 | 1, true, _) => world.answer(phone),
        (2, true, _) => world.decline(phone, 486),
        (0, _, true) => world.hang_up(phone),
        (1, _, true) => {
            let mut rtp = world.handset(phone).config().rtp;
            rtp.set_port(rtp.port() + 2);
            world.reinvite(phone, rtp);
        }
        (2, false, false) => world.hang_up(phone),
        (..) if is_free => {
            let number = world.number(below(rng, ENGINES), below(rng, 2));
            world.dial(phone, number);
        }
        _ => {}
    }
}

fn below(rng: &mut ChaCha20Rng, end: usize) -> usize {
    rng.next_u32() as usize % end
}
