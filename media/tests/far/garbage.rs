//! Bytes that a hostile TURN server, or an attacker on the path, could send to a leg.

use std::time::Duration;

use proptest::prelude::*;
use ringfence_media::far::{FarEvent, TurnTransport};

use crate::world::{Setup, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// First bytes that choose a protocol: STUN, DTLS handshake and alerts, DTLS 1.3 records, RTP, RTCP (RFC 7983).
const BEGINNINGS: [&[u8]; 10] = [
    &[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42],
    &[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
    &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 30, 1],
    &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 0],
    &[20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1],
    &[0x2f, 1, 2, 0, 40],
    &[0x80, 0],
    &[0x9f, 111],
    &[0x80, 200, 0, 6],
    &[0x81, 203, 0, 1],
];

fn survives(world: &mut World) {
    world.speak(0, 900);
    world.speak(1, 900);
    world.run_for(MS(100));
    for leg in [0, 1] {
        assert!(
            !world.has(leg, |event| matches!(
                event,
                FarEvent::Failed(_) | FarEvent::Closed
            )),
            "{:?}",
            world.said[leg]
        );
        assert_eq!(world.heard(leg).len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_call_survives_anything_at_its_relay(packets in prop::collection::vec((0usize..11, prop::collection::vec(any::<u8>(), 0..80)), 1..30)) {
        let mut world = World::connected(Setup::default());
        world.run_for(MS(50));
        let (own, other) = (world.local(0).relayed_address, world.local(1).relayed_address);
        for (beginning, rest) in packets {
            let mut packet = BEGINNINGS.get(beginning).map_or(Vec::new(), |bytes| bytes.to_vec());
            packet.extend(rest);
            world.inject_peer(own, other, &packet);
            world.inject_peer(other, own, &packet);
            world.run_for(MS(3));
        }
        survives(&mut world);
    }

    #[test]
    fn a_leg_survives_anything_while_it_connects(packets in prop::collection::vec((0usize..11, prop::collection::vec(any::<u8>(), 0..80)), 1..30)) {
        let mut world = World::new(Setup { delay: MS(10), ..Setup::default() });
        world.allocate();
        let (own, other) = (world.local(0).relayed_address, world.local(1).relayed_address);
        world.connect();
        for (beginning, rest) in packets {
            let mut packet = BEGINNINGS.get(beginning).map_or(Vec::new(), |bytes| bytes.to_vec());
            packet.extend(rest);
            world.inject_peer(own, other, &packet);
            world.inject_peer(other, own, &packet);
            world.run_for(MS(5));
        }
        // A forged handshake packet may cost the call (it is not authenticated yet), never the engine.
        world.run_for(Duration::from_secs(20));
    }

    #[test]
    fn a_leg_survives_anything_at_its_socket(
        frames in prop::collection::vec((0u8..0x80, any::<u8>(), prop::collection::vec(any::<u8>(), 0..120)), 1..40),
        stream: bool,
    ) {
        let transport = if stream { TurnTransport::Stream } else { TurnTransport::Udp };
        let mut world = World::new(Setup { transport, delay: MS(10), ..Setup::default() });
        for (kind, method, rest) in frames {
            let mut frame = vec![kind, method, 0, (rest.len() & 0xfc) as u8, 0x21, 0x12, 0xa4, 0x42];
            frame.extend(rest);
            world.inject(0, &frame);
            world.run_for(MS(5));
        }
        world.run_for(Duration::from_secs(20));
    }
}

#[test]
fn packets_that_come_twice_pass_once() {
    let mut world = World::connected(Setup::default());
    for sequence in 0..20 {
        world.speak(1, sequence);
        world.run_for(MS(20));
    }
    let (own, other) = (
        world.local(0).relayed_address,
        world.local(1).relayed_address,
    );
    let old: Vec<Vec<u8>> = world.frames[1]
        .iter()
        .map(|(_, frame)| frame.clone())
        .collect();
    for frame in old.iter().filter(|frame| frame[0] >> 6 == 1) {
        world.inject_peer(own, other, &frame[4..]);
    }
    world.run_for(MS(100));
    assert_eq!(world.heard(0).len(), 20);
    assert!(!world.has(0, |event| matches!(
        event,
        FarEvent::Failed(_) | FarEvent::Closed
    )));
}
