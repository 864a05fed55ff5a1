//! What can go wrong, and how soon it is said.

use std::time::Duration;

use ringfence_media::far::{FarConnectError, FarEvent, FarLegError, TurnTransport};

use crate::world::{ROLES, Setup, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn failed(world: &World, leg: usize) -> Option<FarLegError> {
    world.said[leg].iter().find_map(|(_, event)| match event {
        FarEvent::Failed(fault) => Some(*fault),
        _ => None,
    })
}

#[test]
fn a_wrong_password_is_reported_at_once() {
    for transport in [TurnTransport::Udp, TurnTransport::Stream] {
        let mut world = World::new(Setup {
            password: Some("wrong"),
            delay: MS(25),
            transport,
            ..Setup::default()
        });
        world.run_until(MS(500), |world| {
            world.both(|event| *event == FarEvent::Closed)
        });
        assert_eq!(
            failed(&world, 0),
            Some(FarLegError::Allocation { code: 401 })
        );
        assert_eq!(world.open_relays(), 0);
    }
}

#[test]
fn one_altered_record_of_the_handshake_costs_a_few_packets_and_not_the_call() {
    let mut world = World::new(Setup::default());
    world.allocate();
    world.alters_flight = true;
    world.connect();
    world.run_until(MS(1_000), |world| {
        world.both(|event| *event == FarEvent::Connected)
    });
    assert!(!world.alters_flight, "the record passed");
    let frames = world.frames[0].len();
    assert!(frames < 100, "{frames} frames");
}

#[test]
fn a_silent_server_is_given_four_seconds() {
    let mut world = World::new(Setup {
        loss: 1000,
        ..Setup::default()
    });
    world.run_until(Duration::from_secs(10), |world| {
        world.both(|event| *event == FarEvent::Closed)
    });
    assert_eq!(failed(&world, 0), Some(FarLegError::Timeout));
    assert_eq!(
        world.when(0, |event| matches!(event, FarEvent::Failed(_))),
        Duration::from_secs(4)
    );
}

#[test]
fn without_a_relay_there_is_no_call() {
    let mut world = World::connected(Setup::default());
    let description = world.description(1);
    let mut fresh = World::new(Setup {
        loss: 1000,
        ..Setup::default()
    });
    assert_eq!(
        fresh.legs[0].connect(&description, ROLES[0], fresh.now),
        Err(FarConnectError::NotNow)
    );
    // Nor a second one on the same leg.
    assert_eq!(
        world.legs[0].connect(&description, ROLES[0], world.now),
        Err(FarConnectError::NotNow)
    );
}

#[test]
fn hostile_descriptions_are_refused_and_change_nothing() {
    let mut world = World::new(Setup::default());
    world.allocate();
    let good = world.description(1);
    let own = world.local(0);
    let frames = world.frames[0].len();
    let relays = |relays: &[&str]| {
        let mut bad = good.clone();
        bad.relayed_addresses = relays.iter().map(|relay| relay.parse().unwrap()).collect();
        bad
    };
    let mut cases = vec![
        (relays(&[]), FarConnectError::NoAddress),
        (
            relays(&[
                "9.9.9.9:1",
                "9.9.9.9:2",
                "9.9.9.9:3",
                "9.9.9.9:4",
                "9.9.9.9:5",
            ]),
            FarConnectError::TooManyAddresses,
        ),
        (relays(&["127.0.0.1:9"]), FarConnectError::UnusableAddress),
        (
            relays(&["192.168.77.1:53"]),
            FarConnectError::UnusableAddress,
        ),
        (
            relays(&["9.9.9.9:7", "10.0.0.1:80"]),
            FarConnectError::UnusableAddress,
        ),
        (relays(&["9.9.9.9:0"]), FarConnectError::UnusableAddress),
        (
            relays(&["224.0.0.251:5353"]),
            FarConnectError::UnusableAddress,
        ),
        (
            relays(&["[::ffff:192.168.77.1]:9"]),
            FarConnectError::UnusableAddress,
        ),
        (relays(&["[fe80::1]:9"]), FarConnectError::UnusableAddress),
        (relays(&["[2606:4700::1111]:9"]), FarConnectError::NoAddress),
        (
            relays(&[&own.relayed_address.to_string()]),
            FarConnectError::UnusableAddress,
        ),
    ];
    for (ufrag, pwd) in [
        ("abc", good.pwd.as_str()),
        ("abcd", "short"),
        ("a b\r\n", &good.pwd),
        ("", ""),
        (&"x".repeat(300), &good.pwd),
    ] {
        let mut bad = good.clone();
        (bad.ufrag, bad.pwd) = (ufrag.into(), pwd.into());
        cases.push((bad, FarConnectError::Credentials));
    }
    let mut mirror = good.clone();
    mirror.ssrc = own.ssrc;
    cases.push((mirror, FarConnectError::SsrcInUse));
    for (bad, error) in cases {
        assert_eq!(
            world.legs[0].connect(&bad, ROLES[0], world.now),
            Err(error),
            "{:?}",
            bad.relayed_addresses
        );
    }
    world.run_for(MS(100));
    assert_eq!(
        world.frames[0].len(),
        frames,
        "a refused description made packets"
    );
    world.connect();
    world.run_until(MS(100), |world| {
        world.both(|event| *event == FarEvent::Connected)
    });
}

#[test]
fn another_certificate_than_the_promised_one_ends_the_call() {
    for liar in [0, 1] {
        let mut world = World::new(Setup::default());
        world.allocate();
        for leg in [0, 1] {
            let mut remote = world.description(1 - leg);
            if leg != liar {
                remote.fingerprint[7] ^= 1;
            }
            world.legs[leg]
                .connect(&remote, ROLES[leg], world.now)
                .unwrap();
        }
        world.run_until(Duration::from_secs(1), |world| {
            failed(world, 1 - liar).is_some()
        });
        assert_eq!(failed(&world, 1 - liar), Some(FarLegError::Dtls));
        assert!(!world.has(1 - liar, |event| *event == FarEvent::Connected));
    }
}

#[test]
fn another_password_than_the_promised_one_never_connects() {
    let mut world = World::new(Setup::default());
    world.allocate();
    for leg in [0, 1] {
        let mut remote = world.description(1 - leg);
        remote.pwd = "A".repeat(24);
        world.legs[leg]
            .connect(&remote, ROLES[leg], world.now)
            .unwrap();
    }
    world.run_until(Duration::from_secs(20), |world| {
        world.both(|event| *event == FarEvent::Closed)
    });
    assert_eq!(failed(&world, 0), Some(FarLegError::Ice));
    assert_eq!(
        world.when(0, |event| matches!(event, FarEvent::Failed(_))),
        Duration::from_secs(15)
    );
}

#[test]
fn a_side_that_vanishes_is_given_up_after_a_minute() {
    let mut world = World::connected(Setup::default());
    world.run_for(Duration::from_secs(5));
    let last = world.now - world.start;
    world.cut = true;
    let given_up = |event: &FarEvent| *event == FarEvent::GivenUp;
    world.run_until(Duration::from_secs(65), |world| world.has(0, given_up));
    let noticed = world.when(0, given_up);
    let took = noticed - last;
    assert!((MS(59_500)..=MS(60_000)).contains(&took), "{took:?}");
}

#[test]
fn an_answer_may_take_seconds_to_reach_the_caller() {
    for delay in [MS(300), Duration::from_secs(3), Duration::from_secs(9)] {
        let mut world = World::new(Setup {
            delay: MS(10),
            ..Setup::default()
        });
        world.allocate();
        world.run_for(MS(100));
        let (caller, callee) = (world.description(0), world.description(1));
        world.legs[1].connect(&caller, ROLES[1], world.now).unwrap();
        world.run_for(delay);
        world.legs[0].connect(&callee, ROLES[0], world.now).unwrap();
        let connect = world.now;
        world.run_until(Duration::from_secs(5), |world| {
            world.both(|event| *event == FarEvent::Connected)
        });
        assert!(
            world.now - connect <= MS(145),
            "{delay:?}: {:?}",
            world.now - connect
        );
    }
}

#[test]
fn the_allocation_is_given_back_at_once() {
    let mut world = World::connected(Setup {
        delay: MS(10),
        ..Setup::default()
    });
    // DTLS says no farewell before its handshake is confirmed.
    world.run_for(MS(100));
    let before = world.frames[0].len();
    world.legs[0].close(world.now);
    world.run_for(Duration::ZERO);
    let refresh = world.frames[0][before..]
        .iter()
        .any(|(_, frame)| frame.starts_with(&[0x00, 0x04]));
    assert!(refresh, "the deletion waits");
    world.run_for(MS(100));
    assert_eq!(world.open_relays(), 0, "{:?}", world.said);
    assert!(
        world.both(|event| *event == FarEvent::Closed),
        "the other side hears the farewell: {:?}",
        world.said[1]
    );
    assert!(world.legs.iter().all(|leg| leg.next_timeout().is_none()));
}

#[test]
fn a_leg_closed_too_early_leaves_no_relay() {
    for after in [0, 10, 25, 30, 45, 60, 99] {
        let mut world = World::new(Setup {
            delay: MS(25),
            ..Setup::default()
        });
        world.run_for(MS(after));
        for leg in &mut world.legs {
            leg.close(world.now);
        }
        world.run_until(Duration::from_secs(3), |world| {
            world.both(|event| *event == FarEvent::Closed)
        });
        assert_eq!(world.open_relays(), 0, "closed after {after} ms");
        assert!(!world.has(0, |event| matches!(event, FarEvent::Allocated(_))) || after > 90);
    }
}

#[test]
fn a_closed_connection_to_the_server_is_replaced() {
    let setup = Setup {
        transport: TurnTransport::Stream,
        ..Setup::default()
    };
    let mut world = World::connected(setup.clone());
    world.asks[0] = vec!["9.9.9.9:3478"];
    let began = world.now;
    world.legs[0].handle_turn_closed(world.now);
    world.run_until(MS(500), |world| {
        world.has(0, |event| *event == FarEvent::Heard)
    });
    assert!(world.now - began < MS(500), "{:?}", world.now - began);
    assert_eq!(failed(&world, 0), None);
    for sequence in 0..10 {
        world.speak(0, sequence);
        world.run_for(MS(20));
    }
    assert_eq!(world.heard(1).len(), 10);

    let mut world = World::new(setup);
    world.allocate();
    world.legs[0].handle_turn_closed(world.now);
    world.run_for(MS(10));
    assert!(world.has(0, |event| *event == FarEvent::WayLost));
    let frames = world.frames[0].len();
    world.speak(0, 1);
    assert!(!world.legs[0].send_control(b"x", world.now));
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.frames[0].len(), frames, "a leg without a way speaks");
}

#[test]
fn a_server_that_refuses_the_other_relay_is_named() {
    // The leg may use private relays; its server does not reach them.
    let mut world = World::new(Setup {
        delay: MS(10),
        private: true,
        ..Setup::default()
    });
    world.allocate();
    let mut remote = world.description(1);
    remote.relayed_addresses = vec!["10.0.0.1:9".parse().unwrap()];
    world.legs[0].connect(&remote, ROLES[0], world.now).unwrap();
    world.run_until(MS(100), |world| failed(world, 0).is_some());
    assert_eq!(failed(&world, 0), Some(FarLegError::Forbidden));
}

/// A server that has started again refuses everything of an allocation that it does not know any more.
#[test]
fn what_a_lost_way_refuses_is_no_reason_to_give_up() {
    let mut world = World::new(Setup {
        delay: MS(10),
        private: true,
        ..Setup::default()
    });
    world.allocate();
    world.legs[0].handle_turn_unreachable(world.now);
    let mut remote = world.description(1);
    remote.relayed_addresses = vec!["10.0.0.1:9".parse().unwrap()];
    world.legs[0].connect(&remote, ROLES[0], world.now).unwrap();
    world.run_for(Duration::from_secs(2));
    assert_eq!(failed(&world, 0), None);
    assert!(world.legs[0].wants_way());
}

#[test]
fn strays_at_the_socket_do_nothing() {
    let mut world = World::connected(Setup::default());
    let binding = [
        0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ];
    let mut long = vec![0x40, 0x07, 0xff, 0xff];
    long.resize(1500, 1);
    let strays: [&[u8]; 9] = [
        b"",
        b"\0",
        b"GET / HTTP/1.1",
        &binding,
        &[0x40, 0x00],
        &[0x4f, 0xff, 0, 4, 1, 2, 3, 4],
        &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
        &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &long,
    ];
    for round in 0..50u16 {
        for stray in strays {
            world.inject(0, stray);
        }
        world.speak(1, round);
        world.run_for(MS(20));
    }
    assert!(
        world.legs[0].counters().stray >= 400,
        "{:?}",
        world.legs[0].counters()
    );
    assert_eq!(world.heard(0).len(), 50);
    assert_eq!(failed(&world, 0), None);
}

#[test]
fn only_the_accepted_relay_reaches_webrtc() {
    let mut world = World::connected(Setup::default());
    let relay = world.local(0).relayed_address;
    let neighbour = "9.9.9.9:50999".parse().unwrap();
    // Its address has a permission, since the other side's relay is there; its port is not the accepted one.
    for _ in 0..10 {
        world.inject_peer(
            relay,
            neighbour,
            &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        world.inject_peer(relay, "1.2.3.4:5".parse().unwrap(), b"no permission");
    }
    world.run_for(MS(10));
    assert_eq!(world.legs[0].counters().unpermitted, 10);
    world.speak(1, 0);
    world.run_for(MS(10));
    assert_eq!(world.heard(0).len(), 1);
}

/// A DTLS record with the INIT of SCTP: 40 bytes (RFC 9260 section 3.3.2).
const INIT_RECORD: usize = 62;

#[test]
fn an_init_of_sctp_that_comes_late_ends_no_call() {
    let mut world = World::new(Setup {
        delay: Duration::from_millis(5),
        ..Setup::default()
    });
    world.allocate();
    world.keeps = Some(INIT_RECORD);
    world.connect();
    // SCTP repeats it after three seconds.
    let open = |event: &FarEvent| *event == FarEvent::ControlOpen;
    world.run_until(Duration::from_secs(10), |world| world.both(open));
    world.deliver_kept();
    world.run_for(Duration::from_secs(1));
    let over = |event: &FarEvent| matches!(event, FarEvent::Closed | FarEvent::Failed(_));
    assert!(!world.has(0, over) && !world.has(1, over));
    for (leg, text) in [(0, b"one"), (1, b"two")] {
        assert!(world.legs[leg].send_control(text, world.now));
        world.run_until(Duration::from_secs(1), |world| {
            world.has(1 - leg, |event| *event == FarEvent::Control(text.to_vec()))
        });
    }
}

#[test]
fn an_end_before_the_data_channel_stands_is_no_failure() {
    let mut world = World::new(Setup::default());
    world.allocate();
    world.keeps = Some(INIT_RECORD);
    world.connect();
    world.run_until(Duration::from_secs(5), |world| {
        world.both(|event| *event == FarEvent::Connected)
    });
    world.legs[0].close(world.now);
    let over = |event: &FarEvent| *event == FarEvent::Closed;
    world.run_until(Duration::from_secs(5), |world| world.both(over));
    assert!(!world.has(1, |event| matches!(event, FarEvent::Failed(_))));
    assert!(!world.has(1, |event| *event == FarEvent::ControlOpen));
}
