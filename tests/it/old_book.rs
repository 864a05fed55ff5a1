//! A phone book that has stopped is told to a person who has a phone alone: by a text, when a phone of the line dials.

use std::time::Duration;

use ringfence_tests::world::{CallPair, World, handset::HandsetEvent};

const DAY: Duration = Duration::from_secs(86_400);

/// Alice calls Bob. How many texts about the book have the two phones now?
fn after_a_call(world: &mut World, pair: CallPair) -> [usize; 2] {
    for engine in [pair.caller, pair.callee] {
        world.renew_credentials(engine);
    }
    world.call(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(10));
    [pair.alice, pair.bob].map(|phone| {
        let events = world.handset(phone).events();
        let notices = events.iter().filter(|event| {
            matches!(event, HandsetEvent::Text { from, body, .. }
                if from == "ringfence" && body.starts_with("The phone book is"))
        });
        notices.count()
    })
}

#[test]
fn who_dials_is_told_once_a_day_that_the_phone_book_has_stopped() {
    let (mut world, pair) = World::of_two(9);
    assert_eq!(after_a_call(&mut world, pair), [0, 0]);
    world.run_for(DAY * 2);
    assert_eq!(after_a_call(&mut world, pair), [1, 0]);
    assert_eq!(after_a_call(&mut world, pair), [1, 0], "once a day");
    world.run_for(DAY);
    assert_eq!(after_a_call(&mut world, pair), [2, 0]);
    world.run_for(DAY);
    world.publish_ring_key(pair.callee, 0);
    world.renew_books();
    assert_eq!(after_a_call(&mut world, pair), [2, 0], "it is back");
}
