//! When the callee refuses, no packet about it leaves the LAN.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{World, handset::HandsetEvent, links::Endpoint};

#[test]
fn a_refusal_is_silence_to_every_other_party() {
    for status in [486, 603, 480, 500] {
        let (mut world, pair) = World::of_two(1);
        world.ring(pair);
        let before = world.trace().len();
        world.decline(pair.bob, status);
        world.run_until("declined", Duration::from_secs(1), |world| {
            world.has_reached(pair.callee, CallStep::Ended(EndReason::Declined))
        });
        world.run_for(Duration::from_secs(10));
        let us = Endpoint::Engine(pair.callee);
        let outside = [Endpoint::Relay, Endpoint::Turn(0)];
        let left = world.trace()[before..]
            .iter()
            .find(|packet| packet.from == us && outside.contains(&packet.to));
        assert_eq!(left, None);
        assert!(
            !world
                .handset(pair.alice)
                .events()
                .iter()
                .any(|notice| { matches!(notice, HandsetEvent::Refused(_)) })
        );
        world.run_until_quiet(Duration::from_secs(30));
        assert_eq!(
            world.handset(pair.alice).events().last(),
            Some(&&HandsetEvent::Refused(480))
        );
    }
}
