//! Relay-only, watched from outside: in everything that leaves an engine in a whole call, the TURN server's is the only
//! address. Not in a packet's destination, not in a STUN attribute behind its XOR, not in an opened envelope.
//!
//! There is no `raddr` to look at: a description holds relayed addresses and nothing else, and the candidate made of it on
//! the other side has none.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ringfence_media::Description;
use ringfence_tests::world::{
    Pair, World,
    links::{Kind, Passage, Place},
    turn::TURN_IP,
    turn_packets::{Stun, carried},
};

/// A whole call: set up, talked, hung up.
fn whole_call() -> (World, Pair) {
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
    let heard = [pair.caller, pair.callee].map(|engine| world.seat(engine).heard_of());
    assert_eq!(heard[1], [rung]);
    for described in heard {
        assert_eq!(described.len(), 1);
        for relay in &described[0].relays {
            assert_eq!(relay.ip(), IpAddr::from(TURN_IP));
        }
        let own = secrets(&world);
        assert_eq!(find(&described[0].encode(), &own, true), None);
    }
}

#[test]
fn packets_leave_for_the_turn_server_and_the_relay_alone() {
    let (world, pair) = whole_call();
    let houses = [(pair.caller, pair.alice), (pair.callee, pair.bob)];
    for (engine, phone) in houses {
        let sent = world
            .trace()
            .iter()
            .filter(|passage| passage.from == Place::Engine(engine));
        for passage in sent {
            let is_home = passage.to == Place::Phone(phone);
            assert!(
                is_home || matches!(passage.to, Place::Turn | Place::Relay),
                "{passage:?}"
            );
            assert_ne!(passage.kind, Kind::Unknown);
        }
    }
    assert_eq!(world.turn.astray(), []);
    for (_, _, figures) in world.figures() {
        assert_eq!(figures.candidate_types, Some(("relay", "relay")));
    }
}

#[test]
fn no_address_of_a_house_leaves_it() {
    let (world, _) = whole_call();
    let secrets = secrets(&world);
    let mut checked = 0;
    for passage in world.trace().iter().filter(|passage| leaves(passage)) {
        checked += 1;
        assert_eq!(
            find(&passage.bytes, &secrets, !is_sealed(passage.kind)),
            None,
            "{passage:?}"
        );
        let inner = carried(&passage.bytes).unwrap_or(&passage.bytes);
        for stun in [Stun::read(&passage.bytes), Stun::read(inner)]
            .into_iter()
            .flatten()
        {
            for address in stun.addresses() {
                assert_eq!(address.ip(), IpAddr::from(TURN_IP), "{passage:?}");
            }
        }
    }
    assert!(checked > 300, "a whole call is more than {checked} packets");
}

#[test]
fn this_search_would_find_an_address() {
    let (world, pair) = whole_call();
    let secrets = secrets(&world);
    // In the houses the addresses are everywhere.
    let at_home = [(pair.caller, pair.alice), (pair.callee, pair.bob)];
    for (engine, phone) in at_home {
        let invite = world.trace().iter().find(|passage| {
            let ends = [passage.from, passage.to];
            passage.kind == Kind::Sip
                && ends.contains(&Place::Engine(engine))
                && ends.contains(&Place::Phone(phone))
        });
        assert!(find(&invite.expect("the phone registered").bytes, &secrets, true).is_some());
    }
    // And the TURN server tells its client from where it was reached, behind an XOR.
    let [_, provider] = world.seat(pair.caller).addresses();
    let mapped = world.trace().iter().any(|passage| {
        let stun = Stun::read(&passage.bytes).filter(|_| passage.to == Place::Engine(pair.caller));
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

fn leaves(passage: &Passage) -> bool {
    let outside = [Place::Turn, Place::Relay, Place::Relayed];
    outside.contains(&passage.to)
}

/// Ciphertext under keys of this call: four bytes of an address turn up in it by chance.
fn is_sealed(kind: Kind) -> bool {
    matches!(kind, Kind::Srtp | Kind::Srtcp | Kind::Dtls | Kind::Envelope)
}

/// The addresses of all engines and phones.
fn secrets(world: &World) -> Vec<IpAddr> {
    let engines = (0..2).flat_map(|engine| world.seat(engine).addresses());
    let phones = (0..2).map(|phone| world.handset(phone).card().address.ip());
    engines.chain(phones).collect()
}

/// The first of these addresses that is in the bytes: as text, or in binary (IPv4 only where that is no accident).
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
