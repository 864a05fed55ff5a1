//! Two parties that dial each other at the same time get one call.

use std::time::Duration;

use ringfence_engine::line::command::LineCommand;
use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    CallPair, World,
    handset::HandsetEvent,
    links::{Endpoint, TracedPacket},
};

/// Alice dials, and this much later Bob does.
fn dial_each_other(seed: u64, apart: Duration) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_for(apart);
    world.dial(pair.bob, world.number(pair.caller, 0));
    (world, pair)
}

fn assert_one_call(world: &mut World, pair: CallPair) {
    let talk = Duration::from_secs(3);
    world.run_until("both talk", Duration::from_secs(5), |world| {
        [pair.alice, pair.bob]
            .into_iter()
            .all(|phone| world.handset(phone).received_audio().packets() > 0)
    });
    world.run_for(talk);
    world.assert_both_hear(pair, talk);
    assert_eq!(world.turn.relays(), 2, "{world:?}");
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
    assert!(!world.handset(pair.bob).is_talking());
}

#[test]
fn both_dial_at_once_and_talk() {
    // Either may have the lower key.
    for seed in 0..6 {
        let (mut world, pair) = dial_each_other(seed, Duration::ZERO);
        assert_one_call(&mut world, pair);
    }
}

#[test]
fn however_little_one_is_ahead_they_talk() {
    for seed in 0..2 {
        for millis in (1..90).step_by(2) {
            let (mut world, pair) = dial_each_other(seed, Duration::from_millis(millis));
            assert_one_call(&mut world, pair);
        }
    }
}

/// The ring that does not count comes when the other one has long been answered: its way over the relay is longer than the answer's.
#[test]
fn a_ring_that_crossed_one_rings_no_other_phone() {
    // Either may have the lower key.
    for seed in 0..6 {
        for millis in [0, 60, 150] {
            let (mut world, pair) = World::of_two(seed);
            let others = [pair.caller, pair.callee].map(|engine| world.add_phone(engine, 0));
            world.links.relay.delay = Duration::from_millis(100);
            world.thin_sound(pair.alice);
            world.thin_sound(pair.bob);
            world.dial(pair.alice, world.number(pair.callee, 0));
            world.run_for(Duration::from_millis(millis));
            world.dial(pair.bob, world.number(pair.caller, 0));
            let rings = |world: &World| {
                others
                    .iter()
                    .any(|phone| world.handset(*phone).is_ringing())
            };
            assert!(
                world.never(Duration::from_secs(40), rings),
                "{seed} {millis} {world:?}"
            );
            let talks = |phone| world.handset(phone).received_audio().packets() > 150;
            assert!(talks(pair.alice) && talks(pair.bob));
            world.hang_up(pair.bob);
            world.run_until_quiet(Duration::from_secs(60));
            // No missed call is listed, once its note may be believed.
            world.run_for(Duration::from_secs(90));
            for engine in [pair.caller, pair.callee] {
                let calls = &world.host(engine).saved_state.0.calls;
                assert!(calls.len() <= 1, "{calls:?}");
            }
        }
    }
}

/// It comes when the call is over as well, and rings: the envelopes that follow it say that it counts no more.
#[test]
fn a_ring_that_crossed_one_is_taken_back_by_the_next_envelope() {
    let mut rang = 0;
    for seed in 0..6 {
        let (mut world, pair) = World::of_two(seed);
        world.links.relay.delay = Duration::from_secs(1);
        world.dial(pair.alice, world.number(pair.callee, 0));
        world.run_for(Duration::from_millis(1_900));
        world.dial(pair.bob, world.number(pair.caller, 0));
        world.run_until("both talk", Duration::from_secs(5), |world| {
            [pair.alice, pair.bob]
                .into_iter()
                .all(|phone| world.handset(phone).received_audio().packets() > 0)
        });
        world.hang_up(pair.alice);
        let rings = |world: &World| world.handset(pair.alice).is_ringing();
        rang += usize::from(!world.never(Duration::from_secs(4), rings));
        world.run_for(Duration::from_secs(8));
        assert!(world.never(Duration::from_secs(20), rings), "{world:?}");
    }
    assert!(rang > 0, "none came so late");
}

#[test]
fn who_dials_back_while_it_rings_picks_up() {
    let (mut world, pair) = World::of_two(1);
    let other = world.add_phone(pair.callee, 0);
    world.ring(pair);
    world.run_for(Duration::from_secs(4));
    world.dial(other, world.number(pair.caller, 0));
    world.run_until("both talk", Duration::from_secs(2), |world| {
        [pair.alice, other]
            .into_iter()
            .all(|phone| world.handset(phone).received_audio().packets() > 0)
    });
    // The phone that rang stops ringing and shows no missed call.
    let Some(HandsetEvent::Cancelled {
        reason: Some(reason),
    }) = world.handset(pair.bob).events().last()
    else {
        panic!("it still rings\n{world:?}");
    };
    assert!(reason.contains("cause=200"), "{reason}");
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::DialledBack)));
    // No second ring was sent; answer and confirmation do not go over the relay.
    let posted = |packet: &&TracedPacket| {
        packet.from == Endpoint::Engine(pair.callee) && packet.to == Endpoint::Relay
    };
    assert_eq!(world.trace().iter().filter(posted).count(), 0);
    world.hang_up(other);
    world.run_until_quiet(Duration::from_secs(5));
}

#[test]
fn who_dials_a_caller_that_rings_silently_picks_up() {
    // Either may have the lower key.
    for seed in 0..4 {
        let (mut world, pair) = World::of_two(seed);
        world
            .command(
                pair.callee,
                world.number(pair.callee, 0),
                LineCommand::DoNotDisturb(true),
            )
            .expect("it has that line");
        world.dial(pair.alice, world.number(pair.callee, 0));
        let rings = |world: &World| world.handset(pair.bob).is_ringing();
        assert!(world.never(Duration::from_secs(10), rings));
        world.dial(pair.bob, world.number(pair.caller, 0));
        world.run_until("both talk", Duration::from_secs(2), |world| {
            [pair.alice, pair.bob]
                .into_iter()
                .all(|phone| world.handset(phone).received_audio().packets() > 0)
        });
        world.hang_up(pair.bob);
        world.run_until_quiet(Duration::from_secs(60));
        let calls = &world.host(pair.callee).saved_state.0.calls;
        assert_eq!(calls.len(), 1, "the ring became this call");
    }
}

#[test]
fn a_caller_who_gives_up_while_the_other_dials_back_is_called() {
    let (mut world, pair) = World::of_two(2);
    world.ring(pair);
    world.hang_up(pair.alice);
    world.run_for(Duration::from_millis(20));
    // The cancellation is under way.
    world.dial(pair.bob, world.number(pair.caller, 0));
    world.run_until("rings", Duration::from_secs(2), |world| {
        world.handset(pair.alice).is_ringing()
    });
    world.answer(pair.alice);
    assert_one_call(&mut world, pair);
}
