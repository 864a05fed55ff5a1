//! Phones that die in a call, or seem to: a call ends on both sides when its phone is gone, and in no other case.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    CallPair, World,
    handset::{HandsetBehaviour, HandsetEvent, Hold},
    links::{Endpoint, PacketKind},
};

const GONE: CallStep = CallStep::Ended(EndReason::PhoneGone);

fn talking(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    world.call(pair);
    world.run_for(Duration::from_secs(2));
    (world, pair)
}

fn has_hung_up(world: &World, phone: usize) -> bool {
    world.handset(phone).events().last() == Some(&&HandsetEvent::HungUp)
}

#[test]
fn a_phone_that_dies_ends_its_call_on_both_sides_after_half_a_minute() {
    for seed in 0..2 {
        let (mut world, pair) = talking(seed);
        let sides = [
            (pair.caller, pair.alice, pair.bob),
            (pair.callee, pair.bob, pair.alice),
        ];
        let (engine, dead, other) = sides[usize::from(seed == 1)];
        let phone = Endpoint::Phone(dead);
        world.filter_packets(move |packet| packet.from != phone && packet.to != phone);
        assert!(
            world.never(Duration::from_secs(28), |world| has_hung_up(world, other)),
            "it may come back"
        );
        world.run_until("the call is over", Duration::from_secs(4), |world| {
            world.has_reached(engine, GONE) && has_hung_up(world, other)
        });
        let byes = world
            .trace()
            .iter()
            .filter(|packet| packet.to == phone && packet.first_line().starts_with("BYE"));
        let texts: Vec<_> = byes
            .map(|packet| String::from_utf8_lossy(&packet.bytes).into_owned())
            .collect();
        assert!(!texts.is_empty() && texts.iter().all(|bye| bye.contains("Reason: ")));
        world.run_until_quiet(Duration::from_secs(60));
    }
}

#[test]
fn a_phone_that_sends_no_audio_but_answers_stays_in_its_call() {
    let (mut world, pair) = talking(2);
    let phone = Endpoint::Phone(pair.bob);
    world.filter_packets(move |packet| packet.from != phone || packet.kind != PacketKind::Rtp);
    assert!(world.never(Duration::from_secs(120), |world| {
        world.has_reached(pair.callee, GONE) || has_hung_up(world, pair.alice)
    }));
    let asked = world.sip(Endpoint::Engine(pair.callee), phone);
    let asked = asked.iter().filter(|line| line.starts_with("OPTIONS"));
    let asked = asked.count();
    assert!((10..=13).contains(&asked), "OPTIONS: {asked}");
}

#[test]
fn a_phone_that_is_silent_for_twenty_seconds_and_answers_nothing_may_come_back() {
    let (mut world, pair) = talking(3);
    let phone = Endpoint::Phone(pair.bob);
    for _ in 0..3 {
        world.filter_packets(move |packet| packet.from != phone);
        world.run_for(Duration::from_secs(20));
        world.remove_filter();
        world.run_for(Duration::from_secs(10));
    }
    assert!(!world.has_reached(pair.callee, GONE));
    assert!(world.handset(pair.alice).is_talking());
}

#[test]
fn a_phone_that_restarts_and_says_so_ends_its_call_at_the_first_probe() {
    let (mut world, pair) = talking(4);
    world.reboot(pair.bob);
    world.run_until("the other phone is told", Duration::from_secs(6), |world| {
        has_hung_up(world, pair.alice)
    });
    world.run_until_quiet(Duration::from_secs(40));
}

#[test]
fn a_phone_that_restarts_and_answers_whatever_it_is_asked_ends_its_call_too() {
    let (mut world, pair) = talking(5);
    world.set_behaviour(
        pair.bob,
        HandsetBehaviour {
            ignores_dialogs: true,
            ..HandsetBehaviour::PLAIN
        },
    );
    world.reboot(pair.bob);
    world.run_until("the other phone is told", Duration::from_secs(6), |world| {
        has_hung_up(world, pair.alice)
    });
    assert!(world.has_reached(pair.callee, GONE));
}

#[test]
fn a_phone_that_was_silent_for_long_and_restarts_ends_its_call_within_three_seconds() {
    let (mut world, pair) = talking(6);
    world.set_behaviour(
        pair.bob,
        HandsetBehaviour {
            ignores_dialogs: true,
            ..HandsetBehaviour::PLAIN
        },
    );
    let phone = Endpoint::Phone(pair.bob);
    world.filter_packets(move |packet| packet.from != phone || packet.kind != PacketKind::Rtp);
    world.run_for(Duration::from_secs(60));
    world.reboot(pair.bob);
    world.run_until("the other phone is told", Duration::from_secs(3), |world| {
        has_hung_up(world, pair.alice)
    });
}

#[test]
fn a_phone_that_registers_anew_while_it_sends_keeps_its_call() {
    let (mut world, pair) = talking(7);
    world.register(pair.bob);
    assert!(world.never(Duration::from_secs(60), |world| {
        has_hung_up(world, pair.alice) || world.handset(pair.bob).is_free()
    }));
}

#[test]
fn a_phone_that_registers_anew_while_it_holds_keeps_its_call() {
    let (mut world, pair) = talking(8);
    world.set_behaviour(
        pair.bob,
        HandsetBehaviour {
            holds_by: Hold::Inactive,
            ..HandsetBehaviour::PLAIN
        },
    );
    world.hold(pair.bob, true);
    world.run_for(Duration::from_secs(20));
    world.register(pair.bob);
    world.run_for(Duration::from_secs(60));
    world.hold(pair.bob, false);
    assert!(world.never(Duration::from_secs(30), |world| {
        has_hung_up(world, pair.alice) || world.handset(pair.bob).is_free()
    }));
}
