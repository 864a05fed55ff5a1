//! Datagrams from relayed addresses that a leg has never heard of: at any time of an allocation's life, from the addresses that were
//! permitted beforehand and from no others.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_media::far::{DATAGRAM_LEN, FarEvent};

use crate::world::{Setup, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The relayed addresses of eight other servers.
fn eight() -> Vec<IpAddr> {
    (1..=8).map(|last| IpAddr::from([9, 9, 8, last])).collect()
}

fn datagram(number: u16) -> Vec<u8> {
    let mut bytes = vec![0x5a; DATAGRAM_LEN];
    bytes[0] = 4;
    bytes[1..3].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn datagrams(world: &World, leg: usize) -> usize {
    let said = world.said[leg].iter();
    said.filter(|(_, event)| matches!(event, FarEvent::Datagram(_)))
        .count()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is for a person")]
fn eight_addresses_are_permitted_for_six_hours_whatever_their_ports() {
    for checked_every in [None, Some(20)] {
        let mut world = World::new(Setup {
            delay: MS(25),
            permitted: eight(),
            ..Setup::default()
        });
        world.allocate();
        world.run_for(Duration::from_secs(2));
        let own = world.local(0).relayed_address;
        let seconds = 6 * 60 * 60;
        let mut sent: u16 = 0;
        for second in 0..seconds {
            if checked_every.is_some_and(|every| second % every == 0) {
                for leg in &mut world.legs {
                    leg.check(world.now);
                }
            }
            if second % 10 == 0 {
                sent += 1;
                let ip = IpAddr::from([9, 9, 8, 1 + (sent % 8) as u8]);
                world.inject_peer(own, SocketAddr::new(ip, 10_000 + sent), &datagram(sent));
                let stranger = IpAddr::from([9, 9, 7, 1]);
                world.inject_peer(
                    own,
                    SocketAddr::new(stranger, 10_000 + sent),
                    &datagram(sent),
                );
            }
            world.run_for(Duration::from_secs(1));
        }
        assert_eq!(datagrams(&world, 0), usize::from(sent));
        assert_eq!(world.open_relays(), 2);
        println!(
            "checked every {checked_every:?} s: {} packets an hour to the server, {sent} datagrams of {sent} arrived",
            world.frames[0].len() / 6
        );
    }
}

#[test]
fn a_datagram_crosses_between_two_servers_before_and_in_a_call() {
    let mut world = World::new(Setup {
        delay: MS(25),
        servers: ["9.9.9.9:3478", "9.9.8.1:3478"],
        permitted: vec![[9, 9, 9, 9].into(), [9, 9, 8, 1].into()],
        ..Setup::default()
    });
    world.allocate();
    world.run_for(Duration::from_secs(1));
    let to = world.local(0).relayed_address;
    let send = |world: &mut World, number| {
        let now = world.now;
        assert!(world.legs[1].send_datagram(to, &datagram(number), now));
        world.run_for(MS(51));
        let counters = (world.legs[0].counters(), world.legs[1].counters());
        assert_eq!(datagrams(world, 0), usize::from(number), "{counters:?}");
    };
    send(&mut world, 1);
    // The callee connects when it answers, the caller when it has the answer.
    world.connect_leg(1);
    send(&mut world, 2);
    world.connect_leg(0);
    send(&mut world, 3);
    world.run_until(Duration::from_secs(5), |world| {
        world.both(|event| *event == FarEvent::Connected)
    });
    let before = world.legs[0].counters().stray;
    send(&mut world, 4);
    assert_eq!(world.legs[0].counters().stray, before);
}

#[test]
fn what_is_not_a_datagram_for_a_relayed_address_is_not_sent() {
    let mut world = World::new(Setup::default());
    let (now, to) = (world.now, "9.9.9.9:50000".parse().unwrap());
    assert!(
        !world.legs[1].send_datagram(to, &datagram(1), now),
        "no allocation"
    );
    world.allocate();
    let now = world.now;
    for elsewhere in [
        "127.0.0.1:1000",
        "192.168.1.1:1000",
        "9.9.9.9:0",
        "[::]:1000",
    ] {
        let elsewhere = elsewhere.parse().unwrap();
        assert!(!world.legs[1].send_datagram(elsewhere, &datagram(1), now));
    }
    assert!(!world.legs[1].send_datagram(to, &datagram(1)[1..], now));
    let mut sound = datagram(1);
    sound[0] = 0x80;
    assert!(!world.legs[1].send_datagram(to, &sound, now));
}

#[test]
fn a_flood_of_datagrams_is_cut_and_ends_nothing() {
    let mut world = World::connected(Setup {
        permitted: eight(),
        ..Setup::default()
    });
    let own = world.local(0).relayed_address;
    for number in 0..100 {
        world.inject_peer(own, "9.9.8.1:1000".parse().unwrap(), &datagram(number));
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(datagrams(&world, 0), 32);
    assert_eq!(world.legs[0].counters().datagrams, 68);
    world.speak(1, 0);
    world.run_until(Duration::from_secs(1), |world| !world.heard(0).is_empty());
}
