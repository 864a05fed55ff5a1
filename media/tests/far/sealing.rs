//! One key and index are sealed once in the life of a call, whatever becomes of it: the numbers of all packets of media that leave a leg.

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_media::far::{FarEvent, FarPacket, TurnTransport};

use crate::world::{Setup, World};

const MS: fn(u64) -> Duration = Duration::from_millis;

const A: &str = "9.9.9.9:3478";
const B: &str = "8.8.8.8:3478";

/// VP8 between engines.
const VP8: u8 = 112;

/// The data of a frame of ChannelData or of a Send indication, which is media.
fn media(frame: &[u8]) -> Option<&[u8]> {
    let data = match frame {
        [0x40..=0x4f, _, high, low, data @ ..] => {
            data.get(..usize::from(u16::from_be_bytes([*high, *low])))?
        }
        [0x00, 0x16, ..] => {
            let at = frame.windows(2).position(|kind| kind == [0x00, 0x13])?;
            let length = u16::from_be_bytes([frame[at + 2], frame[at + 3]]);
            frame.get(at + 4..at + 4 + usize::from(length))?
        }
        _ => return None,
    };
    matches!(data.first(), Some(128..=191)).then_some(data)
}

/// What has to be different for each packet under one key: for RTP the SSRC and the index, which is reckoned as a receiver does, for RTCP
/// the SSRC and the index that stands in the packet. The number of those that left.
fn no_index_twice(world: &World, leg: usize) -> usize {
    let mut newest = std::collections::BTreeMap::<[u8; 4], i64>::new();
    let mut seen = BTreeSet::new();
    let frames = world.frames[leg].iter();
    for data in frames.filter_map(|(_, frame)| media(frame)) {
        let nonce = if (192..224).contains(&data[1]) {
            let word: [u8; 4] = data[data.len() - 4..].try_into().unwrap();
            (
                data[4..8].to_vec(),
                true,
                i64::from(u32::from_be_bytes(word)),
            )
        } else {
            let ssrc: [u8; 4] = data[8..12].try_into().unwrap();
            let number = u16::from_be_bytes([data[2], data[3]]);
            let newest = newest.entry(ssrc).or_insert(i64::from(number));
            let step = number.wrapping_sub(*newest as u16).cast_signed();
            let index = *newest + i64::from(step);
            *newest = index.max(*newest);
            (ssrc.to_vec(), false, index)
        };
        assert!(seen.insert(nonce.clone()), "{leg}: {nonce:?} twice");
    }
    seen.len()
}

fn send(world: &mut World, leg: usize, payload_type: u8, sequence: u16) {
    let packet = FarPacket {
        payload_type,
        marker: false,
        sequence,
        timestamp: u32::from(sequence) * 160,
        payload: vec![sequence as u8; 160],
    };
    world.legs[leg].write_rtp(packet, world.now);
}

/// Both send audio and video for a second, from this number on.
fn talk(world: &mut World, from: u16) {
    for step in 0..50 {
        for leg in [0, 1] {
            for payload_type in [0, VP8] {
                send(world, leg, payload_type, from.wrapping_add(step));
            }
        }
        world.run_for(MS(20));
    }
}

#[test]
fn no_key_and_index_are_used_twice_in_a_call_with_video_that_moves_and_is_held() {
    for transport in [TurnTransport::Udp, TurnTransport::Stream] {
        let setup = Setup {
            servers: [A, B],
            delay: MS(10),
            permitted: [A, B]
                .map(|server| server.split(':').next().unwrap().parse().unwrap())
                .to_vec(),
            transport,
            video: true,
            ..Setup::default()
        };
        let mut world = World::connected(setup.clone());
        world.asks = setup.servers.map(|server| vec![server]);
        let mut from = 65_436u16;
        for round in 0..8u16 {
            // The numbers roll over in the second round.
            talk(&mut world, from);
            match round % 4 {
                0 if transport == TurnTransport::Udp => {
                    world.restart(if round == 0 { A } else { B });
                    world.run_for(MS(1_500));
                }
                // On hold.
                1 => world.run_for(MS(4_000)),
                // What was sent is sent again with other content, as after a mistake in the numbers.
                2 => talk(&mut world, from),
                _ => {
                    world.legs[0].request_keyframe(world.now);
                    world.legs[1].request_keyframe(world.now);
                }
            }
            from = from.wrapping_add(50);
        }
        let heard = world.heard(0).len();
        assert!(heard > 400, "{heard}");
        assert!(world.has(0, |event| *event == FarEvent::KeyframeRequested));
        for leg in [0, 1] {
            let again = world.legs[leg].counters().unsent;
            assert!(again >= 200, "refused: {again}");
            world.legs[leg].close(world.now);
        }
        world.run_for(MS(3_000));
        for leg in [0, 1] {
            let sealed = no_index_twice(&world, leg);
            assert!(sealed > 700, "{sealed}");
        }
    }
}
