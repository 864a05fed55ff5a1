//! Several phones on one line: all ring, one answers, the others are cancelled with a reason.

use std::time::Duration;

use ringfence_tests::{
    tone::HIGH,
    world::{World, handset::HandsetEvent},
};

#[test]
fn the_first_to_answer_gets_the_call() {
    let (mut world, pair) = World::of_two(1);
    let others = [
        world.add_phone(pair.callee, 0),
        world.add_phone(pair.callee, 0),
    ];
    world.ring(pair);
    world.run_until("all ring", Duration::from_secs(1), |world| {
        others
            .iter()
            .all(|phone| world.handset(*phone).is_ringing())
    });
    world.answer(pair.bob);
    let talk = Duration::from_secs(2);
    world.run_for(talk);
    for phone in others {
        let Some(HandsetEvent::Cancelled {
            reason: Some(reason),
        }) = world.handset(phone).events().last()
        else {
            panic!("no reason given\n{world:?}");
        };
        assert!(reason.contains("cause=200"), "RFC 3326: {reason}");
        assert_eq!(world.handset(phone).received_audio().packets(), 0);
    }
    let heard = world.handset(pair.alice).received_audio().heard(HIGH);
    assert!(heard.tone > talk.mul_f64(0.85), "{heard:?}");
}

#[test]
fn one_refusal_does_not_stop_the_others() {
    let (mut world, pair) = World::of_two(2);
    let other = world.add_phone(pair.callee, 0);
    world.ring(pair);
    world.run_for(Duration::from_millis(100));
    world.decline(other, 486);
    world.run_for(Duration::from_secs(1));
    assert!(world.handset(pair.bob).is_ringing());
    world.answer(pair.bob);
    world.run_until("talks", Duration::from_secs(2), |world| {
        world.handset(pair.alice).received_audio().packets() > 10
    });
}

#[test]
fn two_who_pick_up_at_once_do_not_share_the_call() {
    let (mut world, pair) = World::of_two(3);
    let other = world.add_phone(pair.callee, 0);
    world.ring(pair);
    world.run_until("both ring", Duration::from_secs(1), |world| {
        world.handset(other).is_ringing()
    });
    world.answer(pair.bob);
    world.answer(other);
    world.run_for(Duration::from_secs(3));
    let talking = [pair.bob, other]
        .into_iter()
        .filter(|phone| world.handset(*phone).is_talking());
    assert_eq!(talking.count(), 1, "{world:?}");
    assert!(world.handset(pair.alice).is_talking());
}
