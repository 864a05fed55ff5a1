//! What a phone does in a running call: hold, keys told beside the sound; and calls of phones that make no offer.

use std::time::Duration;

use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{World, handset::Notice},
};

#[test]
fn a_phone_that_holds_hears_nothing_until_it_takes_the_call_back() {
    let (mut world, pair) = World::of_two(1);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    world.hold(pair.alice, true);
    world.run_for(Duration::from_millis(200));
    let before = world.handset(pair.alice).ear().packets();
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.handset(pair.alice).ear().packets(), before);
    world.hold(pair.alice, false);
    world.run_for(Duration::from_secs(2));
    assert!(world.handset(pair.alice).ear().packets() > before + 80);
    assert!(world.handset(pair.bob).is_talking());
}

#[test]
fn a_key_told_by_info_is_heard_as_an_event() {
    let (mut world, pair) = World::of_two(2);
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    for key in ['5', '#', '#'] {
        world.press(pair.alice, key);
        world.run_for(Duration::from_millis(400));
    }
    world.press(pair.bob, '0');
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.handset(pair.bob).ear().keys(), [5, 11, 11]);
    assert_eq!(world.handset(pair.alice).ear().keys(), [0]);
}

#[test]
fn a_phone_that_makes_no_offer_is_offered_what_the_other_one_took() {
    let (mut world, pair) = World::of_two(3);
    let number = world.number(pair.callee, 0);
    world.dial_silently(pair.alice, number);
    world.run_until("Bob's phone rings", Duration::from_secs(3), |world| {
        world.handset(pair.bob).is_ringing()
    });
    assert!(
        world
            .handset(pair.alice)
            .notices()
            .contains(&&Notice::HearsRingback)
    );
    world.answer(pair.bob);
    let talk = Duration::from_secs(3);
    world.run_for(talk);
    for (phone, hz) in [(pair.alice, HIGH), (pair.bob, LOW)] {
        let heard = world.handset(phone).ear().heard(hz);
        assert!(heard.tone > talk.mul_f64(0.85), "{heard:?}\n{world:?}");
    }
    world.hang_up(pair.alice);
    world.run_for(Duration::from_secs(3));
    assert!(world.handset(pair.bob).is_free());
}
