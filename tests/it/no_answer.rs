//! The callee does not answer: after 30 s the caller gets 480, and the callee's phone stops ringing.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{World, handset::HandsetEvent};

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

#[test]
fn after_half_a_minute_the_caller_hears_480_and_the_other_phone_stops() {
    let (mut world, pair) = World::of_two(1);
    world.ring(pair);
    let began = time_of(&world, pair.alice, &HandsetEvent::Ringback);
    world.run_until_quiet(Duration::from_secs(40));
    let refused = time_of(&world, pair.alice, &HandsetEvent::Refused(480));
    let waited = refused - began;
    assert!(
        waited.abs_diff(HALF_A_MINUTE) < Duration::from_millis(50),
        "{waited:?}"
    );
    let stopped = HandsetEvent::Cancelled { reason: None };
    assert!(world.handset(pair.bob).events().contains(&&stopped));
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoAnswer)));
    // It knows from the ring how long the caller waits.
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::NoAnswer)));
}

#[test]
fn a_phone_whose_caller_cannot_say_goodbye_stops_by_itself() {
    let (mut world, pair) = World::of_two(2);
    world.ring(pair);
    world.relay.is_down = true;
    world.run_until_quiet(Duration::from_secs(60));
    assert!(!world.handset(pair.bob).is_ringing());
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::NoAnswer)));
    let rang = time_of(&world, pair.bob, &HandsetEvent::Cancelled { reason: None });
    assert!(rang < Duration::from_secs(40), "{rang:?}");
}

#[test]
fn a_phone_can_call_again_after_a_call_without_answer() {
    let (mut world, pair) = World::of_two(3);
    world.ring(pair);
    world.run_until_quiet(Duration::from_secs(42));
    world.call(pair);
}

fn time_of(world: &World, phone: usize, notice: &HandsetEvent) -> Duration {
    let at = world.handset(phone).time_of(notice);
    world.since(at.unwrap_or_else(|| panic!("phone {phone} never time_of {notice:?}\n{world:?}")))
}
