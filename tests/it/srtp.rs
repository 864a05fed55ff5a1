//! A phone with SRTP (SDES) has a call with one without.

use std::time::Duration;

use ringfence_engine::line::command::LineCommand;
use ringfence_media::Srtp;
use ringfence_tests::world::{
    World,
    handset::{HandsetBehaviour, HandsetEvent},
    links::{Endpoint, PacketKind},
};

const SECRET: HandsetBehaviour = HandsetBehaviour {
    offers_savp: true,
    ..HandsetBehaviour::PLAIN
};

#[test]
fn audio_crosses_between_an_encrypted_and_a_plain_phone_and_no_key_does() {
    let (mut world, pair) = World::of_two(1);
    world.set_behaviour(pair.alice, SECRET);
    world.call(pair);
    let talk = Duration::from_secs(2);
    world.run_for(talk);
    world.assert_both_hear(pair, talk);
    let keys = world.handset(pair.alice).keys();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1], "each side has its own");
    let hers = [Endpoint::Phone(pair.alice), Endpoint::Engine(pair.caller)];
    for packet in world.trace() {
        let is_hers = hers.contains(&packet.from) && hers.contains(&packet.to);
        let text = String::from_utf8_lossy(&packet.bytes);
        if is_hers && packet.kind == PacketKind::Rtp {
            assert_eq!(packet.size, 12 + 160 + 10, "with its tag");
        } else if !is_hers {
            assert!(
                !text.contains("crypto") && !text.contains("SAVP"),
                "{packet:?}"
            );
            assert!(keys.iter().all(|key| !text.contains(key.as_str())));
        }
    }
}

#[test]
fn a_phone_that_dials_plainly_after_its_encrypted_offer_is_refused_rings_once() {
    let mut world = World::new(2);
    let engines = [(); 2].map(|()| world.open_engine_with(1, Srtp::Off));
    let (alice, bob) = (
        world.add_phone(engines[0], 0),
        world.add_phone(engines[1], 0),
    );
    let number = world.number(engines[1], 0);
    world.set_behaviour(alice, SECRET);
    world.dial(alice, number);
    world.run_until("refused", Duration::from_secs(1), |world| {
        world.handset(alice).events().last() == Some(&&HandsetEvent::Refused(488))
    });
    // At once, under a new Call-ID.
    world.set_behaviour(alice, HandsetBehaviour::PLAIN);
    world.dial(alice, number);
    world.run_for(Duration::from_secs(5));
    let rings = |world: &World| {
        let notices = world.handset(bob).events().into_iter();
        notices
            .filter(|notice| matches!(notice, HandsetEvent::Ringing { .. }))
            .count()
    };
    assert_eq!(rings(&world), 1);
    world.answer(bob);
    world.run_for(Duration::from_secs(2));
    assert!(world.handset(bob).received_audio().packets() > 50);
    assert_eq!(rings(&world), 1);
}

/// Phones take another key in a later offer of the same dialog for a fault, and hear nothing (RFC 4568 section 7.1.4 leaves it to the offerer).
#[test]
fn a_phone_that_is_summoned_is_offered_the_same_keys_when_the_other_side_has_answered() {
    let mut world = World::new(3);
    let engines = [Srtp::Required, Srtp::Off].map(|srtp| world.open_engine_with(1, srtp));
    let (alice, bob) = (
        world.add_phone(engines[0], 0),
        world.add_phone(engines[1], 0),
    );
    let (own, called) = (world.number(engines[0], 0), world.number(engines[1], 0));
    world
        .command(engines[0], own, LineCommand::Call(called))
        .expect("a phone is there");
    let soon = Duration::from_secs(5);
    for phone in [alice, bob] {
        world.run_until("it rings", soon, |world| world.handset(phone).is_ringing());
        world.answer(phone);
    }
    world.run_for(soon);
    let mut offered: Vec<Vec<String>> = Vec::new();
    for packet in world.trace() {
        let text = String::from_utf8_lossy(&packet.bytes);
        if packet.to == Endpoint::Phone(alice) && text.starts_with("INVITE ") {
            let keys = text.lines().filter(|line| line.starts_with("a=crypto:"));
            offered.push(keys.map(str::to_owned).collect());
        }
    }
    assert!(offered.len() >= 2 && !offered[0].is_empty(), "{offered:?}");
    assert!(
        offered.iter().all(|keys| *keys == offered[0]),
        "{offered:?}"
    );
}
