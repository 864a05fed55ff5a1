//! An engine is killed, and starts again: its phones ring without registering anew, phones that were in a call are told, and so are
//! the engines on the other side, by what was sealed while the calls lived.

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::world::{
    CallPair, World,
    handset::{HandsetBehaviour, HandsetEvent, Hold},
    links::{Endpoint, PacketKind},
};

/// A process that is started again by its service manager.
const RESTART: Duration = Duration::from_millis(100);

/// Within this time of the restart everybody has to know.
const TOLD: Duration = Duration::from_secs(3);

/// A call that lives, and in turn the caller's and the callee's engine, each with its phone and the other one.
fn each_side(mut test: impl FnMut(World, CallPair, (usize, usize, usize))) {
    for seed in 0..2 {
        let (mut world, pair) = World::of_two(seed);
        world.call(pair);
        world.run_for(Duration::from_secs(1));
        let sides = [
            (pair.caller, pair.alice, pair.bob),
            (pair.callee, pair.bob, pair.alice),
        ];
        let side = sides[usize::from(seed == 1)];
        test(world, pair, side);
    }
}

fn has_heard_the_end(world: &World, phone: usize) -> bool {
    world.handset(phone).events().last() == Some(&&HandsetEvent::HungUp)
}

/// How many envelopes an engine has posted since the trace had so many packets.
fn posted(world: &World, engine: usize, since: usize) -> usize {
    let us = Endpoint::Engine(engine);
    let packets = world.trace()[since..].iter();
    packets
        .filter(|packet| packet.from == us && packet.kind == PacketKind::Envelope)
        .count()
}

#[test]
fn a_phone_rings_at_once_after_its_engine_was_killed() {
    let (mut world, pair) = World::of_two(1);
    let registers = |world: &World| {
        let lines = world.sip(Endpoint::Phone(pair.bob), Endpoint::Engine(pair.callee));
        lines
            .iter()
            .filter(|line| line.starts_with("REGISTER"))
            .count()
    };
    let before = registers(&world);
    world.kill_for(pair.callee, RESTART);
    world.dial(pair.alice, world.number(pair.callee, 0));
    world.run_until("the phone rings", Duration::from_secs(1), |world| {
        world.handset(pair.bob).is_ringing()
    });
    assert_eq!(registers(&world), before, "it has not registered anew");
    world.answer(pair.bob);
    world.run_until("both talk", TOLD, |world| {
        world.has_reached(pair.callee, CallStep::FirstAudio)
    });
}

#[test]
fn a_phone_calls_at_once_after_its_engine_was_killed() {
    let (mut world, pair) = World::of_two(2);
    world.kill_for(pair.caller, RESTART);
    world.call(pair);
}

#[test]
fn both_phones_of_a_call_are_told_within_three_seconds_of_the_restart() {
    each_side(|mut world, pair, (engine, phone, other)| {
        let other_engine = pair.caller + pair.callee - engine;
        let before = world.trace().len();
        world.kill_for(engine, RESTART);
        world.run_until("both phones are told", TOLD, |world| {
            has_heard_the_end(world, phone) && has_heard_the_end(world, other)
        });
        assert!(world.has_reached(other_engine, CallStep::Ended(EndReason::HungUpThere)));
        world.run_for(Duration::from_secs(5));
        assert_eq!(posted(&world, engine, before), 1);
        let (saved, _) = &world.host(engine).restart;
        assert!(saved.endings.is_empty() && saved.final_messages.is_empty());
        world.call(pair);
    });
}

#[test]
fn an_ending_that_no_relay_took_is_posted_again() {
    each_side(|mut world, _, (engine, _, other)| {
        world.relay.is_down = true;
        world.kill_for(engine, RESTART);
        world.run_for(Duration::from_secs(2));
        world.relay.is_down = false;
        world.run_until("the other phone is told", Duration::from_secs(1), |world| {
            has_heard_the_end(world, other)
        });
    });
}

#[test]
fn an_engine_that_is_killed_again_before_a_relay_took_an_ending_posts_it_the_next_time() {
    each_side(|mut world, _, (engine, _, other)| {
        world.relay.is_down = true;
        world.kill_for(engine, RESTART);
        world.run_for(Duration::from_secs(1));
        world.kill_for(engine, RESTART);
        world.relay.is_down = false;
        world.run_until("the other phone is told", TOLD, |world| {
            has_heard_the_end(world, other)
        });
    });
}

#[test]
fn nothing_is_posted_for_a_call_that_is_long_over() {
    each_side(|mut world, _, (engine, phone, _)| {
        let before = world.trace().len();
        world.kill_for(engine, Duration::from_secs(11 * 60));
        world.run_until("the own phone is told all the same", TOLD, |world| {
            has_heard_the_end(world, phone)
        });
        world.run_for(Duration::from_secs(60));
        assert_eq!(posted(&world, engine, before), 0);
    });
}

#[test]
fn an_ending_shares_its_event_key_with_no_other_envelope() {
    each_side(|mut world, pair, (engine, _, other)| {
        world.kill_for(engine, RESTART);
        world.run_until("the other phone is told", TOLD, |world| {
            has_heard_the_end(world, other)
        });
        // A ring that is given up, and one whose caller is killed.
        for _ in 0..3 {
            world.run_for(Duration::from_secs(1));
            world.ring(pair);
            world.hang_up(pair.alice);
            world.run_for(Duration::from_secs(1));
            world.ring(pair);
            world.kill_for(pair.caller, RESTART);
            world.run_for(Duration::from_secs(5));
        }
        let keys: Vec<_> = world
            .relay
            .passed()
            .iter()
            .map(|(_, sealed)| sealed.event_key)
            .collect();
        let once: BTreeSet<_> = keys.iter().collect();
        assert_eq!(once.len(), keys.len());
        assert!(keys.len() >= 12, "{} envelopes", keys.len());
    });
}

#[test]
fn a_call_of_an_hour_is_ended_like_a_short_one() {
    each_side(|mut world, pair, (engine, phone, other)| {
        // Both hold, so that an hour has little audio.
        for phone in [pair.alice, pair.bob] {
            let behaviour = HandsetBehaviour {
                holds_by: Hold::Inactive,
                ..HandsetBehaviour::PLAIN
            };
            world.set_behaviour(phone, behaviour);
            world.hold(phone, true);
            world.run_for(Duration::from_secs(1));
        }
        world.run_for(Duration::from_secs(3_600));
        world.kill_for(engine, RESTART);
        world.run_until("both phones are told", TOLD, |world| {
            has_heard_the_end(world, phone) && has_heard_the_end(world, other)
        });
    });
}

#[test]
fn an_engine_that_hangs_up_leaves_nothing_to_be_posted() {
    each_side(|mut world, _, (engine, phone, _)| {
        world.hang_up(phone);
        world.run_until_quiet(Duration::from_secs(5));
        let before = world.trace().len();
        world.kill_for(engine, RESTART);
        world.run_for(Duration::from_secs(10));
        assert_eq!(posted(&world, engine, before), 0);
        let packets = world.trace()[before..].iter();
        let byes = packets.filter(|packet| packet.first_line().starts_with("BYE"));
        assert_eq!(byes.count(), 0);
    });
}

#[test]
fn a_ring_is_taken_back_when_the_callers_engine_was_killed() {
    let (mut world, pair) = World::of_two(3);
    world.ring(pair);
    world.kill_for(pair.caller, RESTART);
    world.run_until("both phones are told", TOLD, |world| {
        let refused = HandsetEvent::Refused(503);
        !world.handset(pair.bob).is_ringing()
            && world.handset(pair.alice).events().last() == Some(&&refused)
    });
}

#[test]
fn phones_that_ring_stop_when_their_engine_was_killed() {
    let (mut world, pair) = World::of_two(4);
    world.ring(pair);
    let before = world.trace().len();
    world.kill_for(pair.callee, RESTART);
    world.run_until("the phone stops", TOLD, |world| {
        !world.handset(pair.bob).is_ringing()
    });
    assert_eq!(
        posted(&world, pair.callee, before),
        0,
        "the caller learns nothing"
    );
}

#[test]
fn a_kill_between_pick_up_and_audio_leaves_no_phone_in_a_call() {
    for step in [
        CallStep::PickedUp,
        CallStep::AnswerSent,
        CallStep::Confirmed,
    ] {
        let (mut world, pair) = World::of_two(5);
        world.ring(pair);
        world.answer(pair.bob);
        world.run_until("the step", Duration::from_secs(3), |world| {
            world.has_reached(pair.callee, step)
        });
        if step == CallStep::AnswerSent {
            // It is on its way: a permission of the TURN server comes first.
            world.run_until("the answer is open", Duration::from_secs(3), |world| {
                world.has_reached(pair.caller, CallStep::AnswerOpened)
            });
        }
        world.kill_for(pair.callee, RESTART);
        world.run_until("the own phone is told", TOLD, |world| {
            world.handset(pair.bob).is_free()
        });
        if step != CallStep::PickedUp {
            world.run_until("the other phone is told", TOLD, |world| {
                world.handset(pair.alice).is_free()
            });
        }
    }
}

#[test]
fn a_phone_that_is_gone_after_the_restart_is_no_longer_registered() {
    let (mut world, pair) = World::of_two(6);
    world.filter_packets(move |packet| packet.from != Endpoint::Phone(pair.bob));
    world.kill_for(pair.callee, RESTART);
    let phones = |world: &World| {
        let engine = &world.host(pair.callee).engine;
        engine.phones(&engine.lines()[0])
    };
    assert_eq!(phones(&world), 1);
    world.run_for(Duration::from_secs(40));
    assert_eq!(phones(&world), 0);
    assert!(world.host(pair.callee).restart.0.phones.is_empty());
}

#[test]
fn refreshed_registrations_do_not_keep_a_disk_busy() {
    let (mut world, pair) = World::of_two(7);
    let before = world.host(pair.callee).restart.1;
    for _ in 0..60 {
        world.refresh(pair.bob);
        world.run_for(Duration::from_secs(1));
    }
    let writes = world.host(pair.callee).restart.1 - before;
    assert!((1..=3).contains(&writes), "{writes} in a minute");
}

#[test]
fn an_engine_that_shuts_down_before_the_phones_ack_waits_until_the_phone_has_hung_up() {
    let (mut world, pair) = World::of_two(8);
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("the answer is open", TOLD, |world| {
        world.has_reached(pair.caller, CallStep::AnswerOpened)
    });
    world.shut_down(pair.caller);
    world.run_until("the engine has nothing left to do", TOLD, |world| {
        world.host(pair.caller).engine.is_idle()
    });
    assert!(has_heard_the_end(&world, pair.alice));
}

#[test]
fn a_phone_that_sent_no_ack_before_the_shut_down_is_told_at_the_next_start() {
    let (mut world, pair) = World::of_two(9);
    world.ring(pair);
    world.answer(pair.bob);
    world.run_until("the answer is open", TOLD, |world| {
        world.has_reached(pair.caller, CallStep::AnswerOpened)
    });
    world.shut_down(pair.caller);
    world.filter_packets(move |packet| packet.from != Endpoint::Phone(pair.alice));
    // As long as the shell waits.
    world.run_for(Duration::from_millis(2_500));
    assert!(!world.host(pair.caller).engine.is_idle());
    world.remove_filter();
    world.kill_for(pair.caller, RESTART);
    world.run_until("the phone is told", TOLD, |world| {
        has_heard_the_end(world, pair.alice)
    });
}
