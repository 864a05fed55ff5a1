//! Every byte that leaves a leg: it goes from relay to relay, and no local address is in it, in any guise.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_media::far::{FarEvent, TurnTransport};

use crate::world::{LOCALS, Setup, World};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Type and value of each attribute of a STUN message (RFC 8489 section 14).
fn attributes(message: &[u8]) -> Vec<(u16, &[u8])> {
    let mut rest = &message[20..];
    let mut found = Vec::new();
    while let [kind_high, kind_low, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        found.push((u16::from_be_bytes([*kind_high, *kind_low]), &tail[..length]));
        rest = &tail[length.next_multiple_of(4).min(tail.len())..];
    }
    found
}

fn xor_address(value: &[u8]) -> SocketAddr {
    let port = u16::from_be_bytes([value[2] ^ COOKIE[0], value[3] ^ COOKIE[1]]);
    let ip: Vec<u8> = value[4..8]
        .iter()
        .zip(COOKIE)
        .map(|(byte, key)| byte ^ key)
        .collect();
    SocketAddr::new(IpAddr::from(<[u8; 4]>::try_from(ip).unwrap()), port)
}

fn hides(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// What WebRTC may send through a relay.
fn inspect_webrtc(packet: &[u8], peer: SocketAddr, ssrc: u32) {
    match packet[0] {
        0..4 => {
            for (kind, value) in attributes(packet) {
                match kind {
                    // USERNAME, MESSAGE-INTEGRITY, ERROR-CODE, PRIORITY, USE-CANDIDATE, FINGERPRINT, ICE-CONTROLLED, ICE-CONTROLLING
                    0x0006 | 0x0008 | 0x0009 | 0x0024 | 0x0025 | 0x8028 | 0x8029 | 0x802a => {}
                    // SOFTWARE, which fills the place of USE-CANDIDATE.
                    0x8022 => assert!(value.is_empty()),
                    // XOR-MAPPED-ADDRESS: what the other side's own relay is.
                    0x0020 => assert_eq!(xor_address(value), peer),
                    other => panic!("attribute {other:#06x} in a check"),
                }
            }
        }
        20..64 => {}
        first @ 128..192 => {
            let is_rtcp = (192..224).contains(&packet[1]);
            if is_rtcp {
                // A sender report with one block, whatever it says.
                assert_eq!(
                    (packet[..4].to_vec(), packet.len()),
                    (vec![0x81, 200, 0, 12], 104)
                );
            } else {
                assert_eq!(first, 0x80, "padding, extension or contributing sources");
            }
            let sender = if is_rtcp {
                &packet[4..8]
            } else {
                &packet[8..12]
            };
            assert_eq!(sender, ssrc.to_be_bytes());
        }
        other => panic!("a packet that begins with {other}"),
    }
}

/// One frame for the TURN server. `peer` is the only address that may appear in it.
fn inspect(frame: &[u8], peer: SocketAddr, own: SocketAddr, ssrc: u32) {
    if frame[0] >> 6 == 1 {
        let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
        assert!(frame[4 + length..].iter().all(|byte| *byte == 0));
        return inspect_webrtc(&frame[4..4 + length], peer, ssrc);
    }
    let method = u16::from_be_bytes([frame[0], frame[1]]);
    assert!(
        [0x0003, 0x0004, 0x0008, 0x0009, 0x0016].contains(&method),
        "request {method:#06x}"
    );
    for (kind, value) in attributes(frame) {
        match kind {
            // USERNAME, MESSAGE-INTEGRITY, CHANNEL-NUMBER, LIFETIME, REALM, NONCE, REQUESTED-TRANSPORT, DONT-FRAGMENT,
            // PASSWORD-ALGORITHM(S), MESSAGE-INTEGRITY-SHA256, FINGERPRINT
            0x0006 | 0x0008 | 0x000c | 0x000d | 0x0014 | 0x0015 | 0x0019 | 0x001a | 0x001c
            | 0x001d | 0x8002 | 0x8028 => {}
            0x0012 if method == 0x0008 => {
                assert!([peer.ip(), own.ip()].contains(&xor_address(value).ip()))
            }
            0x0012 => assert_eq!(xor_address(value), peer),
            0x0013 => inspect_webrtc(value, peer, ssrc),
            other => panic!("attribute {other:#06x} in request {method:#06x}"),
        }
    }
}

fn inspect_call(setup: Setup) {
    let mut world = World::connected(setup);
    for sequence in 0..600u16 {
        world.speak(0, sequence);
        world.speak(1, sequence);
        world.run_for(Duration::from_millis(20));
    }
    assert!(world.legs[0].send_control(b"hang up", world.now));
    world.run_for(Duration::from_secs(400));
    world.legs[1].close(world.now);
    world.run_until(Duration::from_secs(5), |world| {
        world.both(|event| *event == FarEvent::Closed)
    });
    let locals = [world.local(0), world.local(1)];
    for leg in [0, 1] {
        let (own, peer) = (locals[leg].relayed_address, locals[1 - leg].relayed_address);
        assert!(world.frames[leg].len() > 600);
        for (_, frame) in &world.frames[leg] {
            inspect(frame, peer, own, locals[leg].ssrc);
            for local in LOCALS {
                let local: SocketAddr = local.parse().unwrap();
                let IpAddr::V4(ip) = local.ip() else {
                    unreachable!()
                };
                let masked: Vec<u8> = ip
                    .octets()
                    .iter()
                    .zip(COOKIE)
                    .map(|(byte, key)| byte ^ key)
                    .collect();
                assert!(
                    !hides(frame, &ip.octets())
                        && !hides(frame, &masked)
                        && !hides(frame, ip.to_string().as_bytes())
                );
            }
        }
        let counters = world.legs[leg].counters();
        assert_eq!(
            (counters.misdirected, counters.unpermitted),
            (0, 0),
            "{counters:?}"
        );
    }
}

#[test]
fn nothing_local_leaves_over_datagrams() {
    inspect_call(Setup {
        delay: Duration::from_millis(5),
        loss: 20,
        ..Setup::default()
    });
}

#[test]
fn nothing_local_leaves_over_streams() {
    inspect_call(Setup {
        delay: Duration::from_millis(5),
        transport: TurnTransport::Stream,
        ..Setup::default()
    });
}

#[test]
fn nothing_local_leaves_between_two_servers() {
    inspect_call(Setup {
        servers: ["9.9.9.9:3478", "8.8.4.4:443"],
        ..Setup::default()
    });
}

#[test]
fn nothing_leaves_towards_the_other_side_before_it_is_known() {
    let mut world = World::new(Setup::default());
    world.allocate();
    world.run_for(Duration::from_secs(120));
    let own = world.local(0).relayed_address;
    for (_, frame) in &world.frames[0] {
        inspect(frame, own, own, 0);
        assert_ne!(frame[1], 0x16, "a Send indication");
        assert_eq!(frame[0] >> 6, 0, "ChannelData");
    }
}

#[test]
fn two_calls_share_nothing_that_can_be_recognised() {
    let (one, two) = (
        World::connected(Setup {
            seed: 1,
            ..Setup::default()
        }),
        World::connected(Setup {
            seed: 2,
            ..Setup::default()
        }),
    );
    let (one, two) = (one.local(0), two.local(0));
    assert_ne!(one.ufrag, two.ufrag);
    assert_ne!(one.pwd, two.pwd);
    assert_ne!(one.fingerprint, two.fingerprint);
    assert_ne!(one.ssrc, two.ssrc);
    assert_eq!(format!("{one:?}"), "LocalEndpoint(..)");
}
