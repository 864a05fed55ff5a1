//! Connectivity checks in a call: seldom and alike while sound tells that the path lives, often when it does not.

use std::time::Duration;

use ringfence_media::far::FarEvent;

use crate::world::{Setup, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// How long a connection settles: on slow wires the first answers come late, which is rough for 10 s.
const SETTLED: Duration = Duration::from_secs(30);

/// The checks that a leg sends on its channel in a stretch of time: their times and sizes.
fn checks(world: &World, leg: usize, from: Duration, until: Duration) -> Vec<(Duration, usize)> {
    let frames = world.frames[leg].iter();
    let checks = frames.filter(|(_, frame)| frame[0] >> 6 == 1 && frame[4..].starts_with(&[0, 1]));
    let checks = checks.map(|(at, frame)| (*at - world.start, frame.len()));
    checks
        .filter(|(at, _)| (from..until).contains(at))
        .collect()
}

fn talk(world: &mut World, from: u16, packets: u16) {
    for sequence in from..from + packets {
        for leg in [0, 1] {
            world.speak(leg, sequence);
        }
        world.run_for(MS(20));
    }
}

fn connected(delay: u64) -> World {
    World::connected(Setup {
        delay: MS(delay),
        ..Setup::default()
    })
}

#[test]
fn while_both_speak_checks_are_seldom_and_those_of_both_sides_alike() {
    for delay in [0, 20, 300] {
        let mut world = connected(delay);
        talk(&mut world, 0, 90 * 50);
        let until = world.now - world.start;
        let of = [0, 1].map(|leg| checks(&world, leg, SETTLED, until));
        let counts = of.each_ref().map(Vec::len);
        let seconds = (until - SETTLED).as_secs() as usize;
        // One every two or three seconds.
        for count in counts {
            assert!(
                (seconds / 4..=seconds / 2).contains(&count),
                "{delay}: {counts:?}"
            );
        }
        assert!(counts[0].abs_diff(counts[1]) <= 3, "{delay}: {counts:?}");
        let gaps = of[0].windows(2).map(|pair| pair[1].0 - pair[0].0);
        assert!(
            gaps.clone().all(|gap| gap >= MS(1_990)),
            "{delay}: {:?}",
            of[0]
        );
        let all = of.iter().flatten().map(|(_, size)| *size);
        let sizes: std::collections::BTreeSet<_> = all.collect();
        assert_eq!(sizes.len(), 1, "{sizes:?}");
    }
}

#[test]
fn where_nobody_speaks_checks_keep_the_path_alive() {
    let mut world = connected(20);
    talk(&mut world, 0, 20 * 50);
    let silent = world.now - world.start;
    world.run_for(Duration::from_secs(30));
    for leg in [0, 1] {
        let checks = checks(&world, leg, silent, silent + Duration::from_secs(30));
        assert!((80..=110).contains(&checks.len()), "{}", checks.len());
        assert!(!world.has(leg, |event| *event == FarEvent::Unheard));
        assert!(!world.has(leg, |event| *event == FarEvent::WayLost));
    }
}

#[test]
fn a_silence_is_checked_soon() {
    let mut world = connected(20);
    talk(&mut world, 0, 40 * 50);
    let spoken = world.now - world.start;
    world.run_for(MS(1_500));
    for leg in [0, 1] {
        let checks = checks(&world, leg, spoken, spoken + MS(1_500));
        let first = checks.first().map(|(at, _)| *at - spoken);
        // After 300 ms without sound, and as many since str0m made its last check.
        assert!(first.is_some_and(|first| first <= MS(640)), "{first:?}");
        assert!(checks.len() >= 3, "{checks:?}");
    }
}

#[test]
fn control_messages_are_as_quick_as_ever_while_checks_are_seldom() {
    let mut world = connected(20);
    talk(&mut world, 0, 40 * 50);
    for round in 0..10u8 {
        for leg in [0, 1] {
            let at = world.now;
            assert!(world.legs[leg].send_control(&[leg as u8, round], at));
            world.run_until(MS(100), |world| {
                world.has(1 - leg, |event| {
                    *event == FarEvent::Control(vec![leg as u8, round])
                })
            });
        }
        talk(&mut world, 2_000 + u16::from(round) * 150, 150);
    }
    // What was said is acknowledged, and not said again and again.
    let dtls = |leg: usize| {
        let frames = world.frames[leg].iter();
        let dtls = frames.filter(|(at, frame)| {
            *at - world.start > SETTLED && frame[0] >> 6 == 1 && matches!(frame[4], 20..=63)
        });
        dtls.count()
    };
    let counts = [dtls(0), dtls(1)];
    assert!(counts.iter().all(|count| *count <= 30), "{counts:?}");
}
