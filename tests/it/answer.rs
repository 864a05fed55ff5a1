//! The answer goes from relayed address to relayed address, is repeated until it is confirmed, and goes over the relay only where the
//! callee's TURN server is strange to the caller's.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    CallPair, World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

/// The moment at which both phones hear each other, from now on.
fn time_to_audio(world: &mut World, pair: CallPair, limit: Duration) -> Duration {
    let start = world.clock();
    world.run_until("both hear", limit, |world| {
        [pair.alice, pair.bob]
            .into_iter()
            .all(|phone| world.handset(phone).received_audio().packets() > 0)
    });
    world.clock() - start
}

/// Envelopes that an engine gave to the relay since.
fn posted(world: &World, engine: usize, since: usize) -> usize {
    let sent = world.trace()[since..].iter();
    sent.filter(|packet| packet.from == Endpoint::Engine(engine) && packet.to == Endpoint::Relay)
        .count()
}

#[test]
fn a_callee_tells_the_relay_nothing_from_the_ring_to_the_end() {
    let (mut world, pair) = World::of_two(1);
    world.ring(pair);
    world.answer(pair.bob);
    time_to_audio(&mut world, pair, Duration::from_secs(1));
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(60));
    assert_eq!(posted(&world, pair.callee, 0), 0);
}

#[test]
fn a_lost_answer_and_a_lost_confirmation_come_again() {
    for lossy in [0, 1] {
        let (mut world, pair) = World::of_two(2);
        let engine = Endpoint::Engine([pair.caller, pair.callee][lossy]);
        let mut lost = 0;
        // The data channel could confirm too.
        world.filter_packets(move |packet| {
            let is_datagram = packet.from == engine && packet.kind == PacketKind::Datagram;
            lost += usize::from(is_datagram && lost < 2);
            !(is_datagram && lost < 2) && packet.kind != PacketKind::Dtls
        });
        world.ring(pair);
        world.answer(pair.bob);
        world.run_until("confirmed", Duration::from_secs(1), |world| {
            world.has_reached(pair.callee, CallStep::Confirmed)
        });
        assert_eq!(posted(&world, pair.callee, 0), 0);
    }
}

#[test]
fn where_no_datagram_reaches_the_caller_the_answer_goes_over_the_relay_after_two_seconds() {
    let (mut world, pair) = World::of_two(3);
    let theirs = Endpoint::Engine(pair.callee);
    world
        .filter_packets(move |packet| packet.from != theirs || packet.kind != PacketKind::Datagram);
    world.ring(pair);
    let before = world.trace().len();
    world.answer(pair.bob);
    world.run_for(Duration::from_millis(1_950));
    assert_eq!(posted(&world, pair.callee, before), 0);
    let waited = time_to_audio(&mut world, pair, Duration::from_secs(2));
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    world.run_for(Duration::from_secs(20));
    assert_eq!(posted(&world, pair.callee, before), 1);
}

#[test]
fn an_answer_that_no_relay_took_is_posted_again_until_one_has_it() {
    let (mut world, pair) = World::of_two(5);
    let theirs = Endpoint::Engine(pair.callee);
    world
        .filter_packets(move |packet| packet.from != theirs || packet.kind != PacketKind::Datagram);
    world.ring(pair);
    world.relay.is_down = true;
    let before = world.trace().len();
    world.answer(pair.bob);
    world.run_for(Duration::from_millis(8_500));
    assert!(!world.has_reached(pair.caller, CallStep::AnswerOpened));
    let in_vain = posted(&world, pair.callee, before);
    assert!((5..=7).contains(&in_vain), "once a second: {in_vain}");
    world.relay.is_down = false;
    let waited = time_to_audio(&mut world, pair, Duration::from_secs(3));
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(posted(&world, pair.callee, before), in_vain + 1);
    world.run_for(Duration::from_secs(20));
    assert_eq!(posted(&world, pair.callee, before), in_vain + 1);
}

#[test]
fn a_callee_who_hangs_up_at_once_is_heard_without_a_relay() {
    let (mut world, pair) = World::of_two(4);
    world.ring(pair);
    world.filter_packets(|packet| packet.kind != PacketKind::Dtls);
    world.answer(pair.bob);
    world.run_until("answered", Duration::from_secs(1), |world| {
        world.has_reached(pair.caller, CallStep::AnswerOpened)
    });
    world.hang_up(pair.bob);
    world.run_until("told", Duration::from_secs(1), |world| {
        world.has_reached(pair.caller, CallStep::Ended(EndReason::HungUpThere))
    });
    assert_eq!(posted(&world, pair.callee, 0), 0);
    world.run_for(Duration::from_millis(100));
    let heard = world.handset(pair.alice).events();
    assert_eq!(heard.last(), Some(&&HandsetEvent::HungUp));
}
