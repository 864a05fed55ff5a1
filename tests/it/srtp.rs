//! A phone whose sound is encrypted (SDES) talks with one whose sound is not.

use std::time::Duration;

use ringfence_media::Srtp;
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{
        World,
        handset::{Make, Notice},
        links::{Kind, Place},
    },
};

const SECRET: Make = Make {
    offers_savp: true,
    ..Make::PLAIN
};

#[test]
fn sound_crosses_between_an_encrypted_and_a_plain_phone_and_no_key_does() {
    let (mut world, pair) = World::of_two(1);
    world.become_of_make(pair.alice, SECRET);
    world.call(pair);
    let talk = Duration::from_secs(2);
    world.run_for(talk);
    for (phone, hz) in [(pair.alice, HIGH), (pair.bob, LOW)] {
        let heard = world.handset(phone).ear().heard(hz);
        assert!(heard.tone > talk.mul_f64(0.85), "{heard:?}");
    }
    let keys = world.handset(pair.alice).keys();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1], "each side has its own");
    let hers = [Place::Phone(pair.alice), Place::Engine(pair.caller)];
    for passage in world.trace() {
        let is_hers = hers.contains(&passage.from) && hers.contains(&passage.to);
        let text = String::from_utf8_lossy(&passage.bytes);
        if is_hers && passage.kind == Kind::Sound {
            assert_eq!(passage.size, 12 + 160 + 10, "with its tag");
        } else if !is_hers {
            assert!(
                !text.contains("crypto") && !text.contains("SAVP"),
                "{passage:?}"
            );
            assert!(keys.iter().all(|key| !text.contains(key.as_str())));
        }
    }
}

#[test]
fn a_phone_that_dials_plainly_after_its_encrypted_offer_is_refused_rings_once() {
    let mut world = World::new(2);
    let engines = [(); 2].map(|()| world.open_engine_with(1, Srtp::Off));
    let (alice, bob) = (world.plug_in(engines[0], 0), world.plug_in(engines[1], 0));
    let number = world.number(engines[1], 0);
    world.become_of_make(alice, SECRET);
    world.dial(alice, number);
    world.run_until("refused", Duration::from_secs(1), |world| {
        world.handset(alice).notices().last() == Some(&&Notice::Refused(488))
    });
    // At once, under a new Call-ID.
    world.become_of_make(alice, Make::PLAIN);
    world.dial(alice, number);
    world.run_for(Duration::from_secs(5));
    let rings = |world: &World| {
        let notices = world.handset(bob).notices().into_iter();
        notices
            .filter(|notice| matches!(notice, Notice::Rings { .. }))
            .count()
    };
    assert_eq!(rings(&world), 1);
    world.answer(bob);
    world.run_for(Duration::from_secs(2));
    assert!(world.handset(bob).ear().packets() > 50);
    assert_eq!(rings(&world), 1);
}
