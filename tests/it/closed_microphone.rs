//! The callee's microphone stays shut until the caller's confirmation proves its key.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind},
};

#[test]
fn without_a_confirmation_no_audio_of_the_callee_ever_leaves() {
    let (mut world, pair) = World::of_two(1);
    let us = Endpoint::Engine(pair.caller);
    let connected = Rc::new(Cell::new(false));
    let cut = Rc::clone(&connected);
    // The confirmation is dropped, also on the data channel, which would repeat it.
    world.filter_packets(move |packet| {
        let is_confirmation = packet.from == us && packet.kind == PacketKind::Datagram;
        let is_frame = cut.get() && packet.kind == PacketKind::Dtls;
        !is_confirmation && !is_frame
    });
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("connected", Duration::from_secs(2), |world| {
        world.has_reached(pair.callee, CallStep::Connected)
            && world.has_reached(pair.caller, CallStep::Connected)
    });
    connected.set(true);
    world.run_until_quiet(Duration::from_secs(20));
    // Both send frames of one size; the callee's have nothing of its phone in them.
    let frames = |engine| {
        let frames = world.trace().iter().filter(move |packet| {
            packet.from == Endpoint::Engine(engine) && packet.kind == PacketKind::Srtp
        });
        frames.map(|packet| packet.bytes.len()).collect::<Vec<_>>()
    };
    let (ours, theirs) = (frames(pair.callee), frames(pair.caller));
    assert!(ours.len() > 100 && theirs.len() > 100);
    assert!(ours.iter().chain(&theirs).all(|bytes| *bytes == ours[0]));
    let passed = |engine| {
        let mut figures = world.figures().iter();
        let figures = figures.find(|(of, _, _)| *of == engine);
        figures.map(|(_, _, figures)| figures.from_phone.passed)
    };
    assert_eq!(passed(pair.callee), Some(0));
    assert!(passed(pair.caller) > Some(100), "the way was open");
    assert_eq!(world.handset(pair.alice).received_audio().packets(), 0);
    assert!(!world.has_reached(pair.callee, CallStep::Confirmed));
    assert!(world.has_reached(pair.callee, CallStep::Ended(EndReason::NotConfirmed)));
    for phone in [pair.alice, pair.bob] {
        assert_eq!(
            world.handset(phone).events().last(),
            Some(&&HandsetEvent::HungUp)
        );
    }
}

#[test]
fn a_confirmation_that_was_lost_comes_over_the_data_channel() {
    let (mut world, pair) = World::of_two(3);
    let us = Endpoint::Engine(pair.caller);
    world.filter_packets(move |packet| packet.from != us || packet.kind != PacketKind::Datagram);
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("confirmed", Duration::from_secs(3), |world| {
        world.has_reached(pair.callee, CallStep::Confirmed)
    });
    world.run_until("sound both ways", Duration::from_secs(2), |world| {
        world.handset(pair.alice).received_audio().packets() > 0
            && world.handset(pair.bob).received_audio().packets() > 0
    });
}

#[test]
fn audio_flows_from_the_confirmation_on() {
    let (mut world, pair) = World::of_two(2);
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("sound", Duration::from_secs(2), |world| {
        world.handset(pair.alice).received_audio().packets() > 0
    });
    assert!(world.has_reached(pair.callee, CallStep::Confirmed));
}
