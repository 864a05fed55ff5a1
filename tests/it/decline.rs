//! The callee refuses: nothing of that leaves the house.

use std::time::Duration;

use ringfence_engine::{End, Step};
use ringfence_tests::world::{World, handset::Notice, links::Place};

#[test]
fn a_refusal_is_silence_to_everybody_outside() {
    for status in [486, 603, 480, 500] {
        let (mut world, pair) = World::of_two(1);
        world.ring(pair);
        let before = world.trace().len();
        world.decline(pair.bob, status);
        world.run_until("declined", Duration::from_secs(1), |world| {
            world.has_taken(pair.callee, Step::Ended(End::Declined))
        });
        world.run_for(Duration::from_secs(10));
        let us = Place::Engine(pair.callee);
        let outside = [Place::Relay, Place::Turn];
        let left = world.trace()[before..]
            .iter()
            .find(|passage| passage.from == us && outside.contains(&passage.to));
        assert_eq!(left, None);
        assert!(
            !world
                .handset(pair.alice)
                .notices()
                .iter()
                .any(|notice| { matches!(notice, Notice::Refused(_)) })
        );
        world.run_until_quiet(Duration::from_secs(30));
        assert_eq!(
            world.handset(pair.alice).notices().last(),
            Some(&&Notice::Refused(480))
        );
    }
}
