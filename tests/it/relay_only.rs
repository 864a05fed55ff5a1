//! Relay-only, checked from outside: in everything that an engine sends in a whole call, the only address is the TURN server's.
//! That holds for the destinations of packets, for STUN attributes without their XOR, and for opened envelopes.
//!
//! There is no `raddr` to check: a description contains only relayed addresses, and the receiver's candidates have none.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ringfence_media::Description;
use ringfence_tests::world::{
    CallPair, World,
    links::{Endpoint, PacketKind, TracedPacket},
    turn::TURN_IP,
    turn_packets::{Stun, carried},
};

/// A whole call, from setup to hanging up.
fn whole_call() -> (World, CallPair) {
    let (mut world, pair) = World::of_two(1);
    world.call(pair);
    world.run_for(Duration::from_secs(2));
    world.hang_up(pair.bob);
    world.run_until_quiet(Duration::from_secs(5));
    (world, pair)
}

#[test]
fn descriptions_name_the_turn_server_alone() {
    let (world, pair) = whole_call();
    let rings = world.opened_rings();
    assert_eq!(rings.len(), 1);
    let rung = Description::decode(rings[0].media()).expect("our engine wrote it");
    let heard = [pair.caller, pair.callee].map(|engine| world.host(engine).heard_of());
    assert_eq!(heard[1], [rung]);
    for described in heard {
        assert_eq!(described.len(), 1);
        for relay in &described[0].relayed_addresses {
            assert_eq!(relay.ip(), IpAddr::from(TURN_IP));
        }
        let own = secrets(&world);
        assert_eq!(find(&described[0].encode(), &own, true), None);
    }
}

#[test]
fn packets_leave_for_the_turn_server_and_the_relay_alone() {
    let (world, pair) = whole_call();
    let sides = [(pair.caller, pair.alice), (pair.callee, pair.bob)];
    for (engine, phone) in sides {
        let sent = world
            .trace()
            .iter()
            .filter(|packet| packet.from == Endpoint::Engine(engine));
        for packet in sent {
            let is_home = packet.to == Endpoint::Phone(phone);
            assert!(
                is_home || matches!(packet.to, Endpoint::Turn(_) | Endpoint::Relay),
                "{packet:?}"
            );
            assert_ne!(packet.kind, PacketKind::Unknown);
        }
    }
    assert_eq!(world.turn.misdirected(), []);
    for (_, _, figures) in world.figures() {
        assert_eq!(figures.candidate_types, Some(("relay", "relay")));
    }
}

#[test]
fn no_address_of_an_engine_leaves_its_network() {
    let (world, _) = whole_call();
    let secrets = secrets(&world);
    let mut checked = 0;
    for packet in world.trace().iter().filter(|packet| leaves(packet)) {
        checked += 1;
        assert_eq!(
            find(&packet.bytes, &secrets, !is_sealed(packet.kind)),
            None,
            "{packet:?}"
        );
        let inner = carried(&packet.bytes).unwrap_or(&packet.bytes);
        for stun in [Stun::read(&packet.bytes), Stun::read(inner)]
            .into_iter()
            .flatten()
        {
            for address in stun.addresses() {
                assert_eq!(address.ip(), IpAddr::from(TURN_IP), "{packet:?}");
            }
        }
    }
    assert!(checked > 300, "a whole call is more than {checked} packets");
}

#[test]
fn this_search_would_find_an_address() {
    let (world, pair) = whole_call();
    let secrets = secrets(&world);
    // In the LANs the addresses are in many packets.
    let at_home = [(pair.caller, pair.alice), (pair.callee, pair.bob)];
    for (engine, phone) in at_home {
        let invite = world.trace().iter().find(|packet| {
            let ends = [packet.from, packet.to];
            packet.kind == PacketKind::Sip
                && ends.contains(&Endpoint::Engine(engine))
                && ends.contains(&Endpoint::Phone(phone))
        });
        assert!(find(&invite.expect("the phone registered").bytes, &secrets, true).is_some());
    }
    // And the TURN server sends its client the client's address, with an XOR.
    let provider = world.host(pair.caller).addresses()[1];
    let mapped = world.trace().iter().any(|packet| {
        let stun = Stun::read(&packet.bytes).filter(|_| packet.to == Endpoint::Engine(pair.caller));
        stun.is_some_and(|stun| {
            stun.addresses()
                .iter()
                .any(|address| address.ip() == provider)
        })
    });
    assert!(mapped);
    let binary = IpAddr::from([10, 77, 0, 1]);
    assert!(find(&[9, 9, 10, 77, 0, 1, 9], &[binary], true).is_some());
}

fn leaves(packet: &TracedPacket) -> bool {
    let outside = [Endpoint::Turn(0), Endpoint::Relay, Endpoint::Relayed(0)];
    outside.contains(&packet.to)
}

/// Ciphertext, in which the four bytes of an address may occur by chance.
fn is_sealed(kind: PacketKind) -> bool {
    matches!(
        kind,
        PacketKind::Srtp
            | PacketKind::Srtcp
            | PacketKind::Dtls
            | PacketKind::Datagram
            | PacketKind::Envelope
    )
}

/// The addresses of all engines and phones.
fn secrets(world: &World) -> Vec<IpAddr> {
    let engines = (0..2).flat_map(|engine| world.host(engine).addresses());
    let phones = (0..2).map(|phone| world.handset(phone).config().address.ip());
    engines.chain(phones).collect()
}

/// The first of these addresses that occurs in the bytes, as text or in binary (IPv4 only where it cannot occur by chance).
fn find(bytes: &[u8], secrets: &[IpAddr], short_too: bool) -> Option<IpAddr> {
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    secrets.iter().copied().find(|secret| {
        let binary = match secret {
            IpAddr::V4(ip) => short_too && holds(&ip.octets()),
            IpAddr::V6(ip) => holds(&ip.octets()),
        };
        let text = SocketAddr::new(*secret, 0).ip().to_string();
        binary || holds(text.as_bytes())
    })
}
