//! The phone book learns nothing of calls: neither side sends it a request between dialling and hanging up.

use std::time::Duration;

use ringfence_tests::world::World;

#[test]
fn calls_ask_the_phone_book_nothing() {
    let (mut world, pair) = World::of_two(1);
    let asked = world.phone_book.requests();
    assert!(asked > 0, "activations and downloads count");
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
    world.dial(pair.bob, world.number(pair.caller, 0));
    world.run_for(Duration::from_secs(1));
    world.hang_up(pair.bob);
    world.dial(pair.alice, world.unassigned());
    world.run_until_quiet(Duration::from_secs(45));
    world.dial_digits(pair.alice, "112");
    world.run_until_quiet(Duration::from_secs(40));
    assert_eq!(world.phone_book.requests(), asked);
}
