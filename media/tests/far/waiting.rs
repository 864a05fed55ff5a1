//! A leg that waits for its call, and the question whether its allocation still stands.

use std::time::Duration;

use ringfence_box::turn::{ClientFlow, ClientTransport};
use ringfence_media::far::{FarEvent, FarLegError};

use crate::world::{LOCALS, Setup, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Between two checks.
const EVERY: Duration = Duration::from_secs(20);

fn waiting(setup: Setup) -> World {
    let mut world = World::new(setup);
    world.allocate();
    world.run_for(EVERY);
    world
}

fn check(world: &mut World) {
    for leg in &mut world.legs {
        leg.check(world.now);
    }
}

/// The server loses all that it knows, as in a restart.
fn restart(world: &mut World) {
    let now = world.now;
    for machine in world.machines.values_mut() {
        for local in LOCALS {
            let client = ClientFlow {
                transport: ClientTransport::Datagram,
                addr: local.parse().unwrap(),
            };
            machine.handle_client_closed(client, now);
        }
    }
}

fn failure(world: &World) -> Option<FarLegError> {
    world.said[0].iter().find_map(|(_, event)| match event {
        FarEvent::Failed(fault) => Some(*fault),
        _ => None,
    })
}

#[test]
fn an_hour_of_checks_changes_nothing_about_the_call_after_it() {
    let slow = Setup {
        delay: MS(25),
        ..Setup::default()
    };
    let took = |world: &mut World| {
        let from = world.now;
        world.connect();
        world.run_until(Duration::from_secs(5), |world| {
            world.both(|event| *event == FarEvent::Connected)
        });
        world.now - from
    };
    let mut fresh = World::new(slow.clone());
    fresh.allocate();
    fresh.run_for(MS(200));
    let mut checked = waiting(slow);
    for _ in 0..180 {
        let frames = checked.frames[0].len();
        check(&mut checked);
        assert!(!checked.legs[0].is_ready());
        checked.run_for(MS(101));
        assert!(checked.legs[0].is_ready());
        checked.run_for(EVERY - MS(101));
        let asked = checked.frames[0].len() - frames;
        assert!((1..=4).contains(&asked), "{asked} frames");
    }
    assert_eq!(took(&mut checked), took(&mut fresh));
    checked.run_for(Duration::from_secs(1_300));
    assert_eq!(failure(&checked), None);
}

#[test]
fn a_server_that_has_forgotten_the_allocation_is_found_out_in_three_seconds() {
    let mut world = waiting(Setup::default());
    restart(&mut world);
    let asked = world.now - world.start;
    check(&mut world);
    world.run_for(Duration::from_secs(10));
    assert_eq!(failure(&world), None, "its call may get another way");
    let lost = world.when(0, |event| *event == FarEvent::WayLost);
    assert_eq!(lost - asked, Duration::from_secs(3));
    assert!(world.legs[0].wants_way());
}

#[test]
fn a_check_survives_lost_packets_and_can_be_overtaken_by_a_call() {
    let mut world = waiting(Setup::default());
    world.cut = true;
    check(&mut world);
    world.run_for(MS(700));
    world.cut = false;
    // A second question while the first is open is none.
    check(&mut world);
    assert!(!world.legs[0].is_ready());
    world.connect();
    world.run_until(Duration::from_secs(1), |world| {
        world.both(|event| *event == FarEvent::Connected)
    });
    world.run_for(Duration::from_secs(10));
    assert_eq!(failure(&world), None);
}

#[test]
fn only_a_waiting_leg_is_checked() {
    let mut world = World::new(Setup {
        delay: MS(25),
        ..Setup::default()
    });
    assert!(!world.legs[0].is_ready());
    check(&mut world);
    world.allocate();
    assert!(world.legs[0].is_ready());
    for leg in &mut world.legs {
        leg.close(world.now);
    }
    check(&mut world);
    assert!(!world.legs[0].is_ready());
    world.run_for(Duration::from_secs(10));
    assert_eq!((failure(&world), world.open_relays()), (None, 0));
}
