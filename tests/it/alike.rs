//! What a relay sees of a call: the same, whatever becomes of it and whoever is called.

use std::time::Duration;

use ringfence_tests::world::{CallPair, World, links::Endpoint};

/// The longest that a call's envelopes take: six pauses of seven seconds.
const ALL: Duration = Duration::from_secs(43);

/// A caller's log of one call at the relay: when each envelope came, counted from the first; whether relays keep it; its bytes.
type Log = Vec<(Duration, bool, usize)>;

/// Rings a number, lets `happen` what happens then, and returns what the relay saw of the caller; nobody else posted.
fn log_of(seed: u64, is_assigned: bool, happen: impl Fn(&mut World, CallPair)) -> Log {
    let (mut world, pair) = World::of_two(seed);
    let number = match is_assigned {
        true => world.number(pair.callee, 0),
        false => world.unassigned(),
    };
    let before = world.relay.passed().len();
    world.dial(pair.alice, number);
    happen(&mut world, pair);
    world.run_for(ALL);
    let posts = world
        .trace()
        .iter()
        .filter(|packet| packet.to == Endpoint::Relay);
    let posters: Vec<_> = posts.map(|packet| packet.from).collect();
    assert!(
        posters
            .iter()
            .all(|from| *from == Endpoint::Engine(pair.caller)),
        "{posters:?}"
    );
    let passed = &world.relay.passed()[before..];
    let first = passed[0].0;
    let seen = passed
        .iter()
        .map(|(at, sealed)| (*at - first, sealed.note_made.is_some(), sealed.bytes.len()));
    seen.collect()
}

fn picked_up(world: &mut World, pair: CallPair) {
    world.run_until("rings", Duration::from_secs(2), |world| {
        world.handset(pair.bob).is_ringing()
    });
    world.answer(pair.bob);
}

#[test]
fn calls_answered_unanswered_cancelled_and_refused_are_alike_and_so_are_numbers() {
    for seed in 0..6 {
        let logs = [
            log_of(seed, true, picked_up),
            log_of(seed, true, |world, pair| {
                picked_up(world, pair);
                world.run_for(Duration::from_secs(9));
                world.hang_up(pair.bob);
            }),
            log_of(seed, true, |_, _| {}),
            log_of(seed, true, |world, pair| {
                world.run_for(Duration::from_secs(3));
                world.hang_up(pair.alice);
            }),
            log_of(seed, true, |world, pair| {
                world.run_for(Duration::from_secs(1));
                world.decline(pair.bob, 603);
            }),
            log_of(seed, true, |world, pair| world.switch_off(pair.callee)),
            log_of(seed, false, |_, _| {}),
            log_of(seed, false, |world, pair| {
                world.run_for(Duration::from_secs(3));
                world.hang_up(pair.alice);
            }),
        ];
        for log in logs {
            let kinds: Vec<_> = log
                .iter()
                .map(|(_, is_note, bytes)| (*is_note, *bytes))
                .collect();
            assert_eq!(kinds[..2], [(false, 1024), (true, 1024)]);
            assert_eq!(kinds[2..], [(false, 1024); 6]);
            assert!(log[1].0 < Duration::from_millis(10), "{log:?}");
            for pair in log[1..].windows(2) {
                let pause = pair[1].0 - pair[0].0;
                let law = Duration::from_millis(3_950)..Duration::from_millis(7_050);
                assert!(law.contains(&pause), "{log:?}");
            }
        }
    }
}
