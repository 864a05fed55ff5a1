//! The caller cancels before the callee answers.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind, TracedPacket},
};

#[test]
fn the_other_phone_stops_with_the_next_envelope_of_its_caller() {
    let (mut world, pair) = World::of_two(1);
    world.ring(pair);
    world.run_for(Duration::from_secs(4));
    let gave_up = world.clock();
    world.hang_up(pair.alice);
    world.run_until("the phone stops", Duration::from_secs(8), |world| {
        !world.handset(pair.bob).is_ringing()
    });
    let longest = Duration::from_secs(7) + 3 * world.links.relay.delay;
    assert!(world.clock() - gave_up < longest);
    world.run_until_quiet(Duration::from_secs(11));
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
fn a_cancel_that_is_lost_is_made_good_by_the_next_envelope() {
    for lost in 1..=3 {
        let (mut world, pair) = World::of_two(5);
        world.ring(pair);
        let gave_up = world.clock();
        world.hang_up(pair.alice);
        let (caller, mut sent) = (Endpoint::Engine(pair.caller), 0);
        world.filter_packets(move |packet| {
            let is_posted = packet.from == caller && packet.to == Endpoint::Relay;
            sent += usize::from(is_posted);
            !(is_posted && sent <= lost)
        });
        world.run_until("the phone stops", Duration::from_secs(29), |world| {
            !world.handset(pair.bob).is_ringing()
        });
        let (pauses, longest) = (u32::try_from(lost + 1).unwrap(), Duration::from_secs(7));
        let most = pauses * longest + 3 * world.links.relay.delay;
        assert!(world.clock() - gave_up < most, "{lost} lost");
        assert!(
            world.has_reached(pair.callee, CallStep::Ended(EndReason::Cancelled)),
            "{lost} lost"
        );
    }
}

#[test]
fn a_caller_who_gives_up_while_the_relay_is_away_is_heard_when_it_is_back() {
    let (mut world, pair) = World::of_two(6);
    world.ring(pair);
    world.relay.is_down = true;
    world.hang_up(pair.alice);
    world.run_for(Duration::from_secs(12));
    assert!(world.handset(pair.bob).is_ringing());
    world.relay.is_down = false;
    world.run_until("the phone stops", Duration::from_secs(8), |world| {
        world.has_reached(pair.callee, CallStep::Ended(EndReason::Cancelled))
    });
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
fn who_picks_up_after_the_caller_has_gone_is_told_at_once() {
    let (mut world, pair) = World::of_two(4);
    world.ring(pair);
    world.hang_up(pair.alice);
    world.run_for(Duration::from_secs(2));
    assert!(world.handset(pair.bob).is_ringing(), "the cancel waits");
    world.answer(pair.bob);
    world.run_until("told", Duration::from_millis(500), |world| {
        world.has_reached(pair.callee, CallStep::Ended(EndReason::HungUpThere))
    });
    world.run_until_quiet(Duration::from_secs(11));
    let posted = |packet: &&TracedPacket| {
        packet.from == Endpoint::Engine(pair.callee) && packet.to == Endpoint::Relay
    };
    assert_eq!(world.trace().iter().filter(posted).count(), 0);
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
        world.run_until_quiet(Duration::from_secs(13));
        for phone in [pair.alice, pair.bob] {
            assert!(
                !world.handset(phone).is_talking(),
                "after {millis} ms\n{world:?}"
            );
        }
    }
}
