//! Calls that lose a way out: the own, the other's, again and again; and what strangers make of it.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_media::far::{DATAGRAM_FIRST_BYTE, DATAGRAM_LEN, FarEvent};

use crate::world::{Setup, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

const A: &str = "9.9.9.9:3478";
const B: &str = "8.8.8.8:3478";

/// Silence of a second is found out, and the rest is five round trips of a leg.
const BACK: Duration = Duration::from_millis(1_500);

/// Two legs at two servers, which let each other's addresses through.
fn two_servers() -> Setup {
    Setup {
        servers: [A, B],
        delay: MS(20),
        permitted: [A, B, "7.7.7.7:1"].map(ip).to_vec(),
        ..Setup::default()
    }
}

fn ip(server: &str) -> std::net::IpAddr {
    server.parse::<SocketAddr>().unwrap().ip()
}

/// Both speak for a time; returns the longest silence that each heard, at the end too.
fn talk(world: &mut World, from: u16, packets: u16) -> [Duration; 2] {
    let began = world.now;
    for sequence in from..from + packets {
        for leg in [0, 1] {
            world.speak(leg, sequence);
        }
        world.run_for(MS(20));
    }
    [0, 1].map(|leg| {
        let heard = world.said[leg].iter();
        let times = heard.filter(|(at, event)| *at >= began && matches!(event, FarEvent::Rtp(_)));
        let mut last = began;
        let mut longest = Duration::ZERO;
        for (at, _) in times {
            longest = longest.max(*at - last);
            last = *at;
        }
        longest.max(world.now - last)
    })
}

fn count(world: &World, leg: usize, wanted: impl Fn(&FarEvent) -> bool) -> usize {
    let said = world.said[leg].iter();
    said.filter(|(_, event)| wanted(event)).count()
}

fn lost(world: &World, leg: usize) -> usize {
    count(world, leg, |event| *event == FarEvent::WayLost)
}

fn found(world: &World, leg: usize) -> usize {
    count(world, leg, |event| matches!(event, FarEvent::WayFound(_)))
}

fn no_one_failed(world: &World) {
    for leg in [0, 1] {
        let is_end = |event: &FarEvent| matches!(event, FarEvent::Failed(_) | FarEvent::Closed);
        assert!(!world.has(leg, is_end), "{leg}");
    }
}

/// Everything is as before the faults: sound passes without a gap, and each leg has one allocation.
fn all_is_well(world: &mut World, from: u16) {
    // Old allocations are released, and candidate pairs that failed are forgotten.
    talk(world, from, 1_000);
    assert_eq!(world.open_relays(), 2);
    let gaps = talk(world, from + 1_000, 50);
    assert!(gaps.iter().all(|gap| *gap <= MS(61)), "{gaps:?}");
    no_one_failed(world);
}

#[test]
fn a_server_that_starts_again_costs_its_side_less_than_two_seconds() {
    for leg in [0, 1] {
        let setup = two_servers();
        let mut world = World::connected(setup.clone());
        world.asks[leg] = vec![setup.servers[leg]];
        talk(&mut world, 0, 50);
        world.restart(setup.servers[leg]);
        let gaps = talk(&mut world, 50, 150);
        assert!(gaps.iter().all(|gap| *gap < BACK), "{leg}: {gaps:?}");
        assert_eq!((lost(&world, leg), found(&world, leg)), (1, 1));
        assert_eq!(lost(&world, 1 - leg), 0, "the other has its way");
        all_is_well(&mut world, 200);
    }
}

#[test]
fn a_server_that_does_not_come_back_is_replaced_by_another() {
    for leg in [0, 1] {
        let setup = two_servers();
        let mut world = World::connected(setup.clone());
        world.asks[leg] = vec![setup.servers[leg], "7.7.7.7:3478"];
        talk(&mut world, 0, 50);
        world.stop(setup.servers[leg]);
        let gaps = talk(&mut world, 50, 200);
        assert!(gaps.iter().all(|gap| *gap < BACK), "{leg}: {gaps:?}");
        assert_eq!(ip("7.7.7.7:1"), world.relayed(leg).ip());
        world.restart(setup.servers[leg]);
        all_is_well(&mut world, 250);
    }
}

#[test]
fn a_way_whose_login_is_over_is_changed_for_another_before_it_ends() {
    for leg in [0, 1] {
        let setup = two_servers();
        let mut world = World::connected(setup.clone());
        talk(&mut world, 0, 50);
        world.end_login(leg);
        // It is met with the next refresh.
        world.change_network(leg);
        let gaps = talk(&mut world, 50, 50);
        assert!(gaps.iter().all(|gap| *gap <= MS(61)), "{gaps:?}");
        assert!(world.legs[leg].wants_way() && !world.legs[leg].wants_elsewhere());
        world.ask(leg, setup.servers[leg]);
        // The other side sends to where this one was, for as long as a check and its answer take.
        let gaps = talk(&mut world, 100, 100);
        assert!(gaps.iter().all(|gap| *gap <= MS(250)), "{leg}: {gaps:?}");
        assert!(!world.legs[leg].wants_way());
        assert_eq!((lost(&world, leg), found(&world, leg)), (0, 1));
        // The server does not let the old allocation be deleted either: it ends with its lifetime.
        let gaps = talk(&mut world, 200, 500);
        assert!(gaps.iter().all(|gap| *gap <= MS(61)), "{gaps:?}");
        assert_eq!(world.open_relays(), 3);
        no_one_failed(&world);
    }
}

#[test]
fn after_a_change_of_network_the_server_is_asked_at_once() {
    let mut lost_after = Vec::new();
    for changes in [false, true] {
        let mut world = World::connected(two_servers());
        talk(&mut world, 0, 50);
        world.stop(A);
        let stopped = world.now;
        // What was on its way would say that the server lives.
        world.run_for(MS(50));
        if changes {
            world.change_network(0);
        }
        talk(&mut world, 50, 100);
        let mut said = world.said[0].iter();
        let told = said.find(|(_, event)| *event == FarEvent::WayLost);
        lost_after.push(told.expect("the way is lost").0 - stopped);
    }
    // The silence before the question is saved, less what was on its way.
    assert!(lost_after[1] + MS(300) < lost_after[0], "{lost_after:?}");
}

#[test]
fn a_change_of_network_takes_no_way_from_a_call_whose_server_answers() {
    let mut world = World::connected(two_servers());
    for round in 0..10 {
        for leg in [0, 1] {
            world.change_network(leg);
        }
        let gaps = talk(&mut world, round * 30, 30);
        assert!(gaps.iter().all(|gap| *gap <= MS(61)), "{gaps:?}");
    }
    assert_eq!((lost(&world, 0), lost(&world, 1)), (0, 0));
    all_is_well(&mut world, 300);
}

#[test]
fn a_server_that_is_slow_is_not_taken_for_a_dead_one() {
    for leg in [0, 1] {
        let setup = Setup {
            delay: MS(300),
            ..two_servers()
        };
        let mut world = World::connected(setup.clone());
        talk(&mut world, 0, 50);
        world.stop(setup.servers[1 - leg]);
        world.run_for(MS(5_000));
        assert_eq!((lost(&world, leg), lost(&world, 1 - leg)), (0, 1));
    }
}

#[test]
fn a_datagram_for_the_address_of_before_reaches_a_side_that_has_moved() {
    for leg in [0, 1] {
        let setup = two_servers();
        let mut world = World::connected(setup.clone());
        world.asks[leg] = vec![setup.servers[leg]];
        let before = world.relayed(leg);
        talk(&mut world, 0, 50);
        world.restart(setup.servers[leg]);
        talk(&mut world, 50, 150);
        assert_ne!(world.relayed(leg), before);
        let mut datagram = vec![0; DATAGRAM_LEN];
        datagram[0] = DATAGRAM_FIRST_BYTE;
        world.legs[1 - leg].send_datagram(before, &datagram, world.now);
        world.run_for(MS(200));
        assert!(world.has(leg, |event| *event == FarEvent::Datagram(datagram.clone())));
    }
}

#[test]
fn five_losses_in_one_call_are_made_good_and_the_newest_way_wins() {
    for leg in [0, 1] {
        let setup = two_servers();
        let mut world = World::connected(setup.clone());
        world.asks[leg] = vec![setup.servers[leg]];
        let mut next = 0;
        for round in 1..=5 {
            talk(&mut world, next, 50);
            world.restart(setup.servers[leg]);
            let gaps = talk(&mut world, next + 50, 150);
            next += 200;
            assert!(
                gaps.iter().all(|gap| *gap < BACK),
                "{leg} {round}: {gaps:?}"
            );
            assert_eq!(found(&world, leg), round);
        }
        all_is_well(&mut world, next);
    }
}

#[test]
fn one_side_after_the_other_loses_its_way() {
    let setup = two_servers();
    let mut world = World::connected(setup.clone());
    world.asks = setup.servers.map(|server| vec![server]);
    let mut next = 0;
    for leg in [0, 1, 0, 1, 1, 0] {
        talk(&mut world, next, 50);
        world.restart(setup.servers[leg]);
        let gaps = talk(&mut world, next + 50, 150);
        next += 200;
        assert!(gaps.iter().all(|gap| *gap < BACK), "{leg}: {gaps:?}");
    }
    assert_eq!((found(&world, 0), found(&world, 1)), (3, 3));
    all_is_well(&mut world, next);
}

#[test]
fn a_path_that_comes_back_as_it_was_after_half_a_minute_carries_the_call_again() {
    let mut world = World::connected(two_servers());
    talk(&mut world, 0, 50);
    world.cut = true;
    talk(&mut world, 50, 30 * 50);
    world.cut = false;
    let gaps = talk(&mut world, 2_000, 400);
    assert!(gaps.iter().all(|gap| *gap < MS(5_500)), "{gaps:?}");
    for leg in [0, 1] {
        assert_eq!(count(&world, leg, |event| *event == FarEvent::Unheard), 1);
        assert_eq!(count(&world, leg, |event| *event == FarEvent::Heard), 1);
    }
    all_is_well(&mut world, 2_400);
}

#[test]
fn no_sound_goes_to_a_side_that_is_unheard_for_five_seconds() {
    let setup = two_servers();
    let mut world = World::connected(setup.clone());
    talk(&mut world, 0, 50);
    world.stop(B);
    talk(&mut world, 50, 250 + 10);
    let (at, sent) = (world.now, world.frames[0].len());
    talk(&mut world, 310, 250);
    let later = world.frames[0][sent..].iter();
    let sound = later.filter(|(_, frame)| frame.len() > 170);
    assert_eq!(sound.count(), 0, "since {:?}", at - world.start);
    no_one_failed(&world);
}

#[test]
fn a_side_that_is_unheard_for_a_minute_is_given_up() {
    let mut world = World::connected(two_servers());
    talk(&mut world, 0, 50);
    let last = world.now;
    world.stop(B);
    world.run_until(Duration::from_secs(70), |world| {
        world.has(0, |event| *event == FarEvent::GivenUp)
    });
    let took = world.now - last;
    assert!((MS(59_000)..MS(61_000)).contains(&took), "{took:?}");
}

#[test]
fn heavy_loss_is_no_lost_way_for_long_and_costs_no_sound() {
    for seed in 1..=5 {
        let setup = Setup {
            loss: 300,
            seed,
            ..two_servers()
        };
        let mut world = World::new(Setup {
            loss: 0,
            ..setup.clone()
        });
        world.allocate();
        world.connect();
        world.run_until(Duration::from_secs(10), |world| {
            world.both(|event| *event == FarEvent::Connected)
        });
        // The last packet of the handshake is acknowledged.
        talk(&mut world, 0, 25);
        world.set_loss(300);
        world.asks = setup.servers.map(|server| vec![server]);
        let gaps = talk(&mut world, 25, 1_475);
        assert!(gaps.iter().all(|gap| *gap < BACK), "{seed}: {gaps:?}");
        world.set_loss(0);
        all_is_well(&mut world, 1_500);
    }
}

#[test]
fn the_last_packet_of_the_handshake_need_not_be_acknowledged() {
    let mut world = World::connected(two_servers());
    world.loses_dtls = true;
    let gaps = talk(&mut world, 0, 2_000);
    assert!(gaps.iter().all(|gap| *gap <= MS(61)), "{gaps:?}");
    no_one_failed(&world);
}

/// What left a leg towards the other as a check, without the TURN header.
fn checks_of(world: &World, leg: usize) -> Vec<Vec<u8>> {
    let frames = world.frames[leg].iter().rev();
    let channel = frames.filter(|(_, frame)| frame[0] >> 6 == 1);
    let data = channel.map(|(_, frame)| frame[4..].to_vec());
    data.filter(|data| data.starts_with(&[0, 1])).collect()
}

/// The same check by a sender who does not know the password: everything is right but the integrity (RFC 8489 section 14.5).
fn forged(check: &[u8]) -> Vec<u8> {
    let mut check = check.to_vec();
    let fingerprint = check.len() - 8;
    assert_eq!(check[fingerprint..fingerprint + 2], [0x80, 0x28]);
    check[fingerprint - 1] ^= 1;
    let crc = check[..fingerprint].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    });
    let value = (!crc ^ 0x5354_554e).to_be_bytes();
    check[fingerprint + 4..].copy_from_slice(&value);
    check
}

#[test]
fn a_check_that_is_replayed_from_elsewhere_draws_no_sound_there() {
    let mut world = World::connected(two_servers());
    talk(&mut world, 0, 50);
    let stranger: SocketAddr = "7.7.7.7:50007".parse().unwrap();
    let check = checks_of(&world, 1).swap_remove(0);
    let own = world.relayed(0);
    let before = world.frames[0].len();
    for at in 0..20 {
        world.inject_peer(own, stranger, &check);
        let gaps = talk(&mut world, 50 + at * 50, 50);
        assert!(gaps.iter().all(|gap| *gap <= MS(61)), "{gaps:?}");
    }
    let sound = world.frames[0][before..].iter();
    let to_stranger = |frame: &[u8]| world.goes_to(0, frame, stranger);
    let drawn: Vec<usize> = sound
        .filter(|(_, frame)| to_stranger(frame))
        .map(|(_, frame)| frame.len())
        .collect();
    assert!(!drawn.is_empty(), "it is checked");
    assert!(drawn.iter().all(|len| *len < 170), "{drawn:?}");
    all_is_well(&mut world, 2_000);
}

#[test]
fn a_strangers_check_is_not_answered() {
    let mut world = World::connected(two_servers());
    talk(&mut world, 0, 50);
    let stranger: SocketAddr = "7.7.7.7:50007".parse().unwrap();
    let own = world.relayed(0);
    let check = checks_of(&world, 1).swap_remove(0);
    let (mut cut, forged) = (check.clone(), forged(&check));
    cut.pop();
    let unpermitted = world.legs[0].counters().unpermitted;
    for bytes in [&forged, &cut] {
        world.inject_peer(own, stranger, bytes);
    }
    talk(&mut world, 50, 50);
    assert_eq!(world.legs[0].counters().unpermitted, unpermitted + 2);
    let frames = world.frames[0].iter();
    assert_eq!(
        frames
            .filter(|(_, frame)| world.goes_to(0, frame, stranger))
            .count(),
        0
    );
    all_is_well(&mut world, 100);
}

#[test]
fn seventeen_addresses_are_too_many() {
    let mut world = World::connected(two_servers());
    talk(&mut world, 0, 50);
    let own = world.relayed(0);
    let stranger = |port| SocketAddr::new(ip("7.7.7.7:1"), port);
    for port in 1..=40 {
        let check = checks_of(&world, 1).swap_remove(0);
        world.inject_peer(own, stranger(port), &check);
        talk(&mut world, 50 + port * 10, 10);
    }
    let is_met = |port: &u16| {
        let mut frames = world.frames[0].iter();
        frames.any(|(_, frame)| world.goes_to(0, frame, stranger(*port)))
    };
    assert_eq!((1..=40).filter(is_met).count(), 15, "and the true one");
    all_is_well(&mut world, 1_000);
}

#[test]
fn another_client_at_the_old_address_is_not_the_other_side() {
    let setup = two_servers();
    let mut world = World::connected(setup.clone());
    talk(&mut world, 0, 50);
    let (own, old) = (world.relayed(0), world.relayed(1));
    let forged = forged(&checks_of(&world, 1)[0]);
    world.stop(B);
    let packets: [&[u8]; 4] = [
        &forged,
        &[0x80, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0x55, 0x55],
        &[
            0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        &[0x17, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 9, 9],
    ];
    for _ in 0..20 {
        for packet in packets {
            world.inject_peer(own, old, packet);
        }
        world.run_for(MS(100));
    }
    assert!(world.has(0, |event| *event == FarEvent::Unheard));
    assert!(!world.has(0, |event| *event == FarEvent::Heard));
}

#[test]
fn a_side_that_was_told_of_is_met() {
    let setup = two_servers();
    let mut world = World::connected(setup.clone());
    talk(&mut world, 0, 50);
    world.asks = setup.servers.map(|server| vec![server]);
    // Both lose their ways at once: neither knows where the other is.
    world.restart(A);
    world.restart(B);
    talk(&mut world, 50, 150);
    assert!(world.both(|event| matches!(event, FarEvent::WayFound(_))));
    assert!(!world.has(0, |event| *event == FarEvent::Heard));
    let there = world.relayed(0);
    for unusable in ["10.0.0.1:5", "224.0.0.1:5", "7.7.7.7:0", "[2001:4860::1]:5"] {
        world.legs[1].meet(unusable.parse().unwrap(), world.now);
    }
    world.legs[1].meet(there, world.now);
    let gaps = talk(&mut world, 200, 50);
    assert!(gaps.iter().all(|gap| *gap < MS(500)), "{gaps:?}");
    assert!(world.both(|event| *event == FarEvent::Heard));
    all_is_well(&mut world, 250);
}

#[test]
fn an_allocation_that_was_lost_while_it_waited_is_replaced_when_the_call_connects() {
    for leg in [0, 1] {
        let setup = two_servers();
        let mut world = World::new(setup.clone());
        world.allocate();
        world.run_for(MS(500));
        world.asks[leg] = vec![setup.servers[leg]];
        world.restart(setup.servers[leg]);
        let began = world.now;
        world.connect();
        world.run_until(Duration::from_secs(5), |world| {
            world.both(|event| *event == FarEvent::Connected)
        });
        let took = world.now - began;
        assert!(took < Duration::from_secs(2), "{leg}: {took:?}");
        assert_eq!(found(&world, leg), 1);
        all_is_well(&mut world, 0);
    }
}

#[test]
fn a_way_that_is_not_wanted_is_given_back() {
    let mut world = World::connected(two_servers());
    talk(&mut world, 0, 50);
    world.ask(0, "7.7.7.7:3478");
    talk(&mut world, 50, 100);
    assert_eq!((found(&world, 0), world.open_relays()), (0, 2));
}

#[test]
fn a_leg_that_waits_gets_another_way_and_connects_from_there() {
    for leg in [0, 1] {
        let setup = two_servers();
        let mut world = World::new(setup.clone());
        world.allocate();
        world.asks[leg] = vec![setup.servers[leg]];
        world.restart(setup.servers[leg]);
        world.legs[leg].check(world.now);
        world.run_for(MS(4_000));
        assert_eq!((lost(&world, leg), found(&world, leg)), (1, 1));
        assert!(world.legs[leg].is_ready());
        // The other side was told the address of before.
        world.connect();
        world.run_until(Duration::from_secs(2), |world| {
            world.both(|event| *event == FarEvent::Connected)
        });
        all_is_well(&mut world, 0);
    }
}

#[test]
fn a_leg_whose_way_is_lost_when_it_is_connected_connects_as_soon_as_it_has_another() {
    let setup = two_servers();
    let mut world = World::new(setup.clone());
    world.allocate();
    world.stop(setup.servers[0]);
    world.legs[0].check(world.now);
    world.run_for(MS(3_500));
    assert!(world.legs[0].wants_way());
    world.connect();
    world.run_for(MS(2_000));
    world.asks[0] = vec!["7.7.7.7:3478"];
    world.ask(0, "7.7.7.7:3478");
    world.run_until(Duration::from_secs(2), |world| {
        world.both(|event| *event == FarEvent::Connected)
    });
    all_is_well(&mut world, 0);
}
