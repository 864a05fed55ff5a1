//! Links lose packets: calls are still set up, audio has gaps only where packets were lost, and no phone is left in a call.

use std::time::Duration;

use ringfence_engine::{CallStep, EndReason};
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{
        World,
        handset::HandsetEvent,
        links::{Endpoint, PacketKind},
    },
};

#[test]
fn a_fifth_of_all_packets_lost_on_the_way_through_both_turn_wires() {
    let mut shares = Vec::new();
    for seed in 0..10 {
        let (mut world, pair) = World::of_two(seed);
        world.links.turn.loss = 0.1;
        world.links.turn.jitter = Duration::from_millis(15);
        world.ring(pair);
        world.answer(pair.bob);
        world.run_until("both hear", Duration::from_secs(10), |world| {
            let handsets = [pair.alice, pair.bob].map(|phone| world.handset(phone));
            handsets
                .into_iter()
                .all(|handset| handset.received_audio().packets() > 0)
        });
        world.run_for(Duration::from_secs(20));
        for (phone, hz) in [(pair.alice, HIGH), (pair.bob, LOW)] {
            let heard = world.handset(phone).received_audio().heard(hz);
            let share = heard.tone.div_duration_f64(heard.recorded);
            // The first reports of the losses may be lost as well.
            assert!(share > 0.78, "seed {seed}: {heard:?}");
            shares.push(share);
        }
        world.hang_up(pair.alice);
        world.run_until("the other phone knows", Duration::from_secs(20), |world| {
            !world.handset(pair.bob).is_talking()
        });
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    assert!(mean > 0.88, "{shares:?}");
}

#[test]
fn a_fifth_of_all_sip_datagrams_lost() {
    for seed in 0..20 {
        let (mut world, pair) = World::of_two(seed);
        world.links.sip.loss = 0.2;
        world.dial(pair.alice, world.number(pair.callee, 0));
        world.run_until("the other phone rings", Duration::from_secs(32), |world| {
            world.handset(pair.bob).is_ringing()
        });
        world.answer(pair.bob);
        world.run_until("both talk", Duration::from_secs(30), |world| {
            let handsets = [pair.alice, pair.bob].map(|phone| world.handset(phone));
            handsets
                .into_iter()
                .all(|handset| handset.received_audio().packets() > 50)
        });
        world.hang_up(pair.bob);
        world.run_until("the other phone knows", Duration::from_secs(35), |world| {
            !world.handset(pair.alice).is_talking()
        });
    }
}

#[test]
fn an_ack_that_is_lost_twice_is_asked_for_again() {
    let (mut world, pair) = World::of_two(1);
    let us = Endpoint::Phone(pair.alice);
    let mut left = 2;
    world.filter_packets(move |packet| {
        let is_ack = packet.from == us && packet.first_line().starts_with("ACK");
        // The first ACK answers the 401.
        let answers_200 = is_ack && !String::from_utf8_lossy(&packet.bytes).contains("CSeq: 3 ");
        if answers_200 && left > 0 {
            left -= 1;
            return false;
        }
        true
    });
    world.call(pair);
    world.run_for(Duration::from_secs(40));
    assert!(world.handset(pair.alice).is_talking());
    let ok = world.sip(Endpoint::Engine(pair.caller), us);
    let oks = ok
        .iter()
        .filter(|line| line.starts_with("SIP/2.0 200"))
        .count();
    assert_eq!(oks, 1 + 3, "one for REGISTER, three for the INVITE: {ok:?}");
}

#[test]
fn a_call_whose_ack_never_comes_is_hung_up() {
    let (mut world, pair) = World::of_two(1);
    let us = Endpoint::Phone(pair.bob);
    world
        .filter_packets(move |packet| !(packet.to == us && packet.first_line().starts_with("ACK")));
    world.call(pair);
    world.remove_filter();
    // The callee's phone retransmits its 200, and gets another ACK.
    world.run_for(Duration::from_secs(40));
    assert!(world.handset(pair.bob).is_talking());

    let (mut world, pair) = World::of_two(2);
    let us = Endpoint::Phone(pair.alice);
    world.filter_packets(move |packet| {
        let is_ack = packet.from == us && packet.first_line().starts_with("ACK");
        !is_ack || String::from_utf8_lossy(&packet.bytes).contains("CSeq: 3 ")
    });
    world.call(pair);
    world.run_until_quiet(Duration::from_secs(40));
    let waited = world.clock();
    assert!(
        waited > Duration::from_secs(32),
        "64 times T1 (RFC 3261 13.3.1.4): {waited:?}"
    );
    assert_eq!(
        world.handset(pair.bob).events().last(),
        Some(&&HandsetEvent::HungUp)
    );
    assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::HungUpHere)));
}

/// From now on, of those of the first engine.
fn lose_every_tenth_frame(world: &mut World) {
    let mut number = 0;
    world.filter_packets(move |packet| {
        let is_sound = packet.from == Endpoint::Engine(0) && packet.kind == PacketKind::Srtp;
        number += u64::from(is_sound);
        !is_sound || !number.is_multiple_of(10)
    });
}

#[test]
fn lost_audio_is_counted() {
    let (mut world, pair) = World::of_two(5);
    world.call(pair);
    lose_every_tenth_frame(&mut world);
    world.run_for(Duration::from_secs(10));
    world.remove_filter();
    world.run_for(Duration::from_secs(1));
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
    let figures = |engine| {
        let mut all = world.figures().iter();
        all.find(|(of, _, _)| *of == engine).unwrap().2
    };
    let (callee, caller) = (figures(pair.callee), figures(pair.caller));
    assert!((50..=52).contains(&callee.repair.lost), "{callee:?}");
    assert_eq!((caller.repair.lost, caller.to_phone.lost), (0, 0));
}

#[test]
fn lost_audio_is_brought_back_once_the_other_side_has_reported_it() {
    let (mut world, pair) = World::of_two(5);
    world.call(pair);
    lose_every_tenth_frame(&mut world);
    world.run_for(Duration::from_secs(20));
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(5));
    let mut all = world.figures().iter();
    let figures = all.find(|(of, _, _)| *of == pair.callee).unwrap().2;
    let repair = figures.repair;
    assert!((95..=115).contains(&repair.lost), "{repair:?}");
    // A report comes within 7.5 s.
    assert!(repair.repaired >= 55, "{repair:?}");
    let missed = figures.to_phone.lost + repair.concealed;
    assert!(missed <= 40, "{figures:?}");
}
