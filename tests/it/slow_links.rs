//! Links with long delays that reorder packets: everything takes longer, nothing fails.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::World,
};

#[test]
fn a_call_over_half_a_second_of_wires() {
    for seed in 0..5 {
        let (mut world, pair) = World::of_two(seed);
        world.links.turn.delay = Duration::from_millis(120);
        world.links.turn.jitter = Duration::from_millis(60);
        world.links.relay.delay = Duration::from_millis(400);
        world.links.relay.jitter = Duration::from_millis(200);
        world.links.sip.delay = Duration::from_millis(40);
        world.links.sip.jitter = Duration::from_millis(40);
        world.call(pair);
        world.run_for(Duration::from_secs(10));
        for (phone, hz) in [(pair.alice, HIGH), (pair.bob, LOW)] {
            let packets = world.handset(phone).received_audio().packets();
            assert!(packets > 450, "seed {seed}: {packets} of 500");
            // The handset drops late packets; a phone with a jitter buffer would not.
            let heard = world.handset(phone).received_audio().heard(hz);
            assert!(
                heard.tone > heard.recorded.mul_f64(0.3),
                "seed {seed}: {heard:?}"
            );
        }
        world.hang_up(pair.bob);
        // The answer to the hang-up may be overtaken by the deletion of its allocation: then it is waited for.
        world.run_until_quiet(Duration::from_secs(12));
        assert!(!world.handset(pair.alice).is_talking());
    }
}

#[test]
fn a_relay_with_a_round_trip_of_eight_seconds_brings_a_ring_and_its_cancel() {
    let (mut world, pair) = World::of_two(7);
    world.links.relay.delay = Duration::from_secs(4);
    world.call(pair);
    world.hang_up(pair.bob);
    // The six envelopes of the call take their time as well.
    world.run_for(Duration::from_secs(60));
    world.ring(pair);
    world.hang_up(pair.alice);
    world.run_until("the phone stops", Duration::from_secs(15), |world| {
        !world.handset(pair.bob).is_ringing()
    });
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::Cancelled)));
}
