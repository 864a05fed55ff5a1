//! When an engine shuts down, its calls end properly on both sides.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

#[test]
fn a_talking_engine_hangs_up_both_phones_within_three_seconds() {
    for seed in 0..2 {
        let (mut world, pair) = World::of_two(seed);
        world.call(pair);
        world.run_for(Duration::from_secs(1));
        let engine = if seed == 0 { pair.caller } else { pair.callee };
        world.shut_down(engine);
        world.run_until_quiet(Duration::from_secs(3));
        for phone in [pair.alice, pair.bob] {
            assert_eq!(
                world.handset(phone).events().last(),
                Some(&&HandsetEvent::HungUp)
            );
        }
        assert!(world.has_reached(engine, CallStep::Ended(EndReason::ShutDown)));
    }
}

#[test]
fn a_calling_engine_takes_its_ring_back() {
    let (mut world, pair) = World::of_two(3);
    world.ring(pair);
    world.shut_down(pair.caller);
    world.run_until_quiet(Duration::from_secs(3));
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::Refused(503))
    );
    assert!(!world.handset(pair.bob).is_ringing());
}

#[test]
fn a_ringing_engine_goes_in_silence() {
    let (mut world, pair) = World::of_two(4);
    world.ring(pair);
    let before = world.trace().len();
    world.shut_down(pair.callee);
    world.run_until("the phone stops", Duration::from_secs(1), |world| {
        !world.handset(pair.bob).is_ringing()
    });
    world.run_until_quiet(Duration::from_secs(40));
    let us = Endpoint::Engine(pair.callee);
    let left = world.trace()[before..]
        .iter()
        .find(|packet| packet.from == us && packet.kind != PacketKind::Sip);
    assert_eq!(left, None);
    assert_eq!(
        world.handset(pair.alice).events().last(),
        Some(&&HandsetEvent::Refused(480))
    );
}
