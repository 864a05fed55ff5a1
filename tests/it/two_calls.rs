//! Two calls at once between the same two engines: each phone hears only its own peer.

use std::time::Duration;

use ringfence_tests::{
    tone::{HIGH, LOW},
    world::World,
};

#[test]
fn two_calls_at_once_keep_apart() {
    let mut world = World::new(1);
    let (here, there) = (world.open_engine(2), world.open_engine(2));
    // Phones with an even index send a low tone, the others a high one.
    let low = [world.add_phone(here, 0), world.add_phone(there, 1)];
    let callers = [low[0], world.add_phone(here, 1)];
    let high = world.add_phone(there, 0);
    let ears = [(callers[0], callers[1]), (low[1], high)];
    assert_ne!(ears[0].0 % 2, ears[1].0 % 2);
    world.dial(callers[0], world.number(there, 1));
    world.dial(callers[1], world.number(there, 0));
    world.run_until("both ring", Duration::from_secs(2), |world| {
        world.handset(low[1]).is_ringing() && world.handset(high).is_ringing()
    });
    world.answer(high);
    world.answer(low[1]);
    let talk = Duration::from_secs(3);
    world.run_for(talk);
    assert_eq!(world.turn.relays(), 4);
    let tone = |phone: usize| if phone.is_multiple_of(2) { LOW } else { HIGH };
    for (phone, other) in [
        (callers[0], low[1]),
        (low[1], callers[0]),
        (callers[1], high),
        (high, callers[1]),
    ] {
        let heard = world.handset(phone).received_audio().heard(tone(other));
        assert!(
            heard.tone > talk.mul_f64(0.85),
            "{phone} hears {other}: {heard:?}"
        );
    }
    // One hangs up; the other call goes on.
    world.hang_up(callers[0]);
    world.run_for(talk);
    assert!(!world.handset(low[1]).is_talking());
    assert!(world.handset(high).is_talking() && world.handset(callers[1]).is_talking());
    assert_eq!(world.turn.relays(), 2);
}
