//! A caller with valid keys names addresses that are no relayed addresses: nothing is ever sent there.

use std::{net::SocketAddr, time::Duration};

use ringfence_engine::CallStep;
use ringfence_media::Description;
use ringfence_tests::world::{CallPair, World, links::Endpoint, turn::TURN_IP, turn_packets::Stun};

/// A ring of Alice's engine in which the relayed addresses are replaced.
fn ring_naming(world: &mut World, pair: CallPair, relays: &[&str]) {
    world.ring(pair);
    world.hang_up(pair.alice);
    world.run_until_quiet(Duration::from_secs(11));
    let media = world.opened_rings()[0].media().to_vec();
    let mut hostile = Description::decode(&media).expect("our engine wrote it");
    hostile.relayed_addresses = relays
        .iter()
        .map(|relay| relay.parse().expect("an address"))
        .collect();
    world.ring_with_keys_of(
        pair.caller,
        world.number(pair.callee, 0),
        &hostile.encode(),
        world.wall(),
    );
    world.run_for(Duration::from_millis(200));
}

#[test]
fn addresses_that_are_no_relays_are_never_sent_to() {
    let private_addresses = [
        "10.77.1.100:7078",
        "192.168.1.1:80",
        "127.0.0.1:22",
        "169.254.1.1:5000",
        "100.64.0.1:5000",
        "224.0.0.1:5000",
        "0.0.0.0:5000",
        "255.255.255.255:5000",
        "[fd77:1234:5678:1::64]:7078",
        "[::1]:22",
        "[fe80::1]:5000",
        "[::ffff:10.77.1.100]:7078",
        "11.22.33.44:0",
    ];
    for address in private_addresses {
        for relays in [vec![address], vec!["11.22.33.44:50000", address]] {
            let (mut world, pair) = World::of_two(1);
            ring_naming(&mut world, pair, &relays);
            if world.handset(pair.bob).is_ringing() {
                world.answer(pair.bob);
            }
            world.run_until_quiet(Duration::from_secs(45));
            assert!(
                !world.has_reached(pair.callee, CallStep::Connected),
                "{address}"
            );
            assert!(!world.handset(pair.bob).is_talking(), "{address}");
            assert_eq!(world.turn.misdirected(), [], "{address}");
            let ip = address.parse::<SocketAddr>().expect("an address").ip();
            let named = world.trace().iter().any(|packet| {
                let stun = Stun::read(&packet.bytes).filter(|_| packet.to == Endpoint::Turn(0));
                stun.is_some_and(|stun| {
                    stun.addresses()
                        .iter()
                        .any(|address| address.ip() == ip && ip != TURN_IP)
                })
            });
            assert!(!named, "{address} was named to the TURN server");
        }
    }
}
