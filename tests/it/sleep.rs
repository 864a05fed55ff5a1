//! A machine that slept: its wall clock has jumped and its monotonic clock has not. The first call works all the same.

use std::time::Duration;

use ringfence_tests::world::{ClockError, World};

const TWO_HOURS: Duration = Duration::from_secs(2 * 3_600);

#[test]
fn the_first_call_out_of_a_machine_that_slept_works() {
    let (mut world, pair) = World::of_two(1);
    world.sleep(pair.caller, TWO_HOURS);
    world.call(pair);
    assert_eq!(world.host(pair.caller).checked_connections, 1);
}

#[test]
fn the_first_call_into_a_machine_that_slept_works() {
    let (mut world, pair) = World::of_two(2);
    world.sleep(pair.callee, TWO_HOURS);
    world.call(pair);
    assert_eq!(world.host(pair.callee).checked_connections, 1);
}

#[test]
fn a_machine_that_is_awake_checks_no_connections() {
    let (mut world, pair) = World::of_two(3);
    world.run_for(Duration::from_secs(600));
    assert_eq!(world.host(pair.caller).checked_connections, 0);
}

/// Relays were asked for rings since a time that is in the future then.
#[test]
fn a_clock_that_was_set_back_has_connections_made_anew() {
    let (mut world, pair) = World::of_two(4);
    for (error, expected) in [(TWO_HOURS, 1), (Duration::ZERO, 2)] {
        world.set_clock(pair.callee, ClockError::Ahead(error));
        world.run_for(Duration::from_secs(600));
        assert_eq!(world.host(pair.callee).checked_connections, expected);
    }
    world.call(pair);
}
