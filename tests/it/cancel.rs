//! The caller cancels before the callee answers.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

#[test]
fn the_other_phone_stops_as_soon_as_the_relay_delivers() {
    let (mut world, pair) = World::of_two(1);
    world.ring(pair);
    world.run_for(Duration::from_secs(4));
    let gave_up = world.clock();
    world.hang_up(pair.alice);
    world.run_until("the phone stops", Duration::from_secs(1), |world| {
        !world.handset(pair.bob).is_ringing()
    });
    assert!(world.clock() - gave_up < 3 * world.links.relay.delay);
    world.run_until_quiet(Duration::from_secs(10));
    assert!(
        world
            .handset(pair.alice)
            .events()
            .contains(&&HandsetEvent::Refused(487))
    );
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::Cancelled)));
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::Cancelled)));
}

#[test]
fn a_call_given_up_before_its_ring_is_posted_rings_no_phone() {
    let (mut world, pair) = World::of_two(2);
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_until("dialled", Duration::from_secs(1), |world| {
        world.has_reached(pair.caller, CallStep::Dialled)
    });
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(10));
    let posted = |world: &World| {
        let envelopes = world
            .trace()
            .iter()
            .filter(|packet| packet.kind == PacketKind::Envelope);
        envelopes.count()
    };
    assert_eq!(posted(&world), 0);
    assert_eq!(
        world
            .sip(Endpoint::Engine(pair.callee), Endpoint::Phone(pair.bob))
            .len(),
        2
    );
}

#[test]
fn a_cancel_that_crosses_the_answer_leaves_no_phone_off_the_hook() {
    // The caller cancels in each of the milliseconds in which the answer is under way.
    for millis in 0..60 {
        let (mut world, pair) = World::of_two(3);
        world.ring(pair);
        world.answer(pair.bob);
        world.run_for(Duration::from_millis(millis));
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(3));
        for phone in [pair.alice, pair.bob] {
            assert!(
                !world.handset(phone).is_talking(),
                "after {millis} ms\n{world:?}"
            );
        }
    }
}
