//! An attacker floods the relay with envelopes, garbage and genuine: calls still work, and memory stays bounded.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_book::Number;
use ringfence_engine::sealed::envelope::VERSION;
use ringfence_tests::world::{
    World,
    handset::{HandsetBehaviour, HandsetEvent},
    links::Endpoint,
};

#[test]
fn a_call_works_in_a_flood_of_garbage() {
    let (mut world, pair) = World::of_two(1);
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let before = world.trace().len();
    for _ in 0..5_000 {
        let mut bytes = vec![0; 1024];
        rng.fill_bytes(&mut bytes);
        bytes[0] = VERSION;
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

/// A phone that shows all calls for which it rings, as a desk phone does.
fn add_desk_phone(world: &mut World, engine: usize, line: usize) -> usize {
    let phone = world.add_phone(engine, line);
    let behaviour = HandsetBehaviour {
        rings_for_several: true,
        ..HandsetBehaviour::PLAIN
    };
    world.set_behaviour(phone, behaviour);
    phone
}

/// For how many calls of this number a phone has rung.
fn rung_by(world: &World, phone: usize, number: Number) -> usize {
    let (events, number) = (world.handset(phone).events(), number.to_string());
    let rang = |event: &&&HandsetEvent| matches!(event, HandsetEvent::Ringing { caller } if *caller == number);
    events.iter().filter(rang).count()
}

/// What a ring of this engine says of its media: a genuine one, for rings that only sound.
fn media_of(world: &mut World, phone: usize, callee: Number) -> Vec<u8> {
    world.dial(phone, callee);
    world.run_for(Duration::from_secs(1));
    world.hang_up(phone);
    world.run_until_quiet(Duration::from_secs(11));
    world.opened_rings()[0].media().to_vec()
}

#[test]
fn a_friend_rings_while_one_number_rings_without_end() {
    let mut world = World::new(2);
    let (flooder, friend, callee) = (
        world.open_engine(1),
        world.open_engine(1),
        world.open_engine(1),
    );
    let (mallory, alice) = (world.add_phone(flooder, 0), world.add_phone(friend, 0));
    let bob = add_desk_phone(&mut world, callee, 0);
    let (bobs, alices) = (world.number(callee, 0), world.number(friend, 0));
    let media = media_of(&mut world, mallory, bobs);
    let mallorys = rung_by(&world, bob, world.number(flooder, 0));
    // Eight rings at once, and one more each second.
    for _ in 0..8 {
        world.ring_with_keys_of(flooder, bobs, &media, world.wall());
    }
    for second in 0..300 {
        world.ring_with_keys_of(flooder, bobs, &media, world.wall());
        match second % 30 {
            5 => world.dial(alice, bobs),
            15 => world.hang_up(alice),
            _ => {}
        }
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(world.host(callee).engine.counters().flooded, 0);
    assert_eq!(
        rung_by(&world, bob, alices),
        10,
        "each time that Alice dialled"
    );
    let mallorys = rung_by(&world, bob, world.number(flooder, 0)) - mallorys;
    assert!(
        mallorys <= 2,
        "phones ring for Mallory all the time, and are called once in three minutes: {mallorys}"
    );
    assert_eq!(world.host(callee).engine.call_counts().ringing, 1);
    world.dial(alice, bobs);
    world.run_until("Alice rings", Duration::from_secs(2), |world| {
        rung_by(world, bob, alices) == 11
    });
    world.answer(bob);
    world.run_until("Alice hears", Duration::from_secs(2), |world| {
        world.handset(alice).received_audio().packets() > 10
    });
}

#[test]
fn a_contact_rings_while_eight_strangers_do() {
    let mut world = World::new(3);
    let (friend, callee, strangers) = (
        world.open_engine(1),
        world.open_engine(1),
        world.open_engine(8),
    );
    let alice = world.add_phone(friend, 0);
    let bob = add_desk_phone(&mut world, callee, 0);
    let (bobs, alices) = (world.number(callee, 0), world.number(friend, 0));
    // A number becomes a contact when this line dials it.
    world.dial(bob, alices);
    world.run_for(Duration::from_secs(1));
    world.hang_up(bob);
    world.run_until_quiet(Duration::from_secs(11));
    let phones = Vec::from_iter((0..8).map(|line| world.add_phone(strangers, line)));
    for phone in phones {
        world.dial(phone, bobs);
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(Duration::from_secs(2));
    let host = world.host(callee);
    assert_eq!(host.engine.call_counts().ringing, 6);
    assert_eq!(host.engine.counters().flooded, 2);
    world.dial(alice, bobs);
    world.run_until("Alice rings", Duration::from_secs(2), |world| {
        rung_by(world, bob, alices) == 1
    });
    world.answer(bob);
    world.run_until("Alice hears", Duration::from_secs(2), |world| {
        world.handset(alice).received_audio().packets() > 10
    });
}

#[test]
fn a_phone_that_rings_has_no_call_yet() {
    let mut world = World::new(4);
    let (stranger, friend) = (world.open_engine(1), world.open_engine(1));
    world.most_calls = Some(1);
    let callee = world.open_engine(1);
    let (mallory, alice) = (world.add_phone(stranger, 0), world.add_phone(friend, 0));
    let (bob, beside) = (
        add_desk_phone(&mut world, callee, 0),
        world.add_phone(callee, 0),
    );
    let (bobs, alices) = (world.number(callee, 0), world.number(friend, 0));
    world.dial(mallory, bobs);
    world.run_until("Mallory rings", Duration::from_secs(2), |world| {
        world.handset(bob).is_ringing()
    });
    world.dial(alice, bobs);
    world.run_until("Alice rings beside him", Duration::from_secs(2), |world| {
        rung_by(world, bob, alices) == 1
    });
    world.hang_up(alice);
    world.run_for(Duration::from_secs(8));
    world.dial(beside, alices);
    world.run_until(
        "Bob's other phone calls her",
        Duration::from_secs(2),
        |world| world.handset(alice).is_ringing(),
    );
}

#[test]
fn who_hangs_up_and_dials_again_is_answered_although_the_cancel_is_on_its_way() {
    let (mut world, pair) = World::of_two(5);
    world.ring(pair);
    world.hang_up(pair.alice);
    world.run_for(Duration::from_millis(100));
    world.dial(pair.alice, world.number(pair.callee, 0));
    // The cancel of the first ring leaves within seven seconds.
    let silent = |world: &World| !world.handset(pair.bob).is_ringing();
    assert!(world.never(Duration::from_secs(10), silent));
    let alices = world.number(pair.caller, 0);
    assert_eq!(rung_by(&world, pair.bob, alices), 1);
    world.answer(pair.bob);
    world.run_until("Alice hears", Duration::from_secs(2), |world| {
        world.handset(pair.alice).received_audio().packets() > 10
    });
    world.hang_up(pair.bob);
    // The note of the first ring would be believed after a minute.
    world.run_for(Duration::from_secs(70));
    let calls = &world.host(pair.callee).saved_state.0.calls;
    assert_eq!(calls.len(), 1, "what rang on is one call");
    assert!(calls[0].talked.is_some());
}
