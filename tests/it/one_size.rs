//! What a TURN server sees of a call that runs: frames of one size at one pace, with headers in step, whatever people and phones do; and
//! messages of the data channel in slots of their own.

use std::time::Duration;

use ringfence_tests::world::{
    CallPair, World,
    handset::{HandsetBehaviour, Hold},
    links::{Endpoint, PacketKind},
    turn_packets::carried,
};

const SECOND: Duration = Duration::from_secs(1);
const SLOT: Duration = Duration::from_millis(20);
/// How far a pause may be from a slot. In the first second the slots are put where the phone is, by half a slot at most.
const TOLERANCE: Duration = Duration::from_micros(100);
const SETTLING: Duration = Duration::from_millis(1_100);

/// A frame as it passes a TURN server: when, its bytes, and its header but for the SSRC.
#[derive(Debug)]
struct SeenFrame {
    at: Duration,
    bytes: usize,
    flags: u8,
    kind: u8,
    sequence: u16,
    timestamp: u32,
}

/// The packets of this kind that an engine sent to its TURN server since the trace was so long.
fn sent(world: &World, engine: usize, kind: PacketKind, since: usize) -> Vec<(Duration, &[u8])> {
    let packets = world.trace()[since..].iter();
    let its = packets.filter(|packet| {
        packet.from == Endpoint::Engine(engine)
            && matches!(packet.to, Endpoint::Turn(_))
            && packet.kind == kind
    });
    its.filter_map(|packet| Some((packet.at, carried(&packet.bytes)?)))
        .collect()
}

fn frames(world: &World, engine: usize, since: usize) -> Vec<SeenFrame> {
    let packets = sent(world, engine, PacketKind::Srtp, since);
    let frames = packets.iter().map(|(at, bytes)| SeenFrame {
        at: *at,
        bytes: bytes.len(),
        flags: bytes[0],
        kind: bytes[1],
        sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
        timestamp: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    });
    frames.collect()
}

/// Everything that a frame shows is as in every other call.
fn check(frames: &[SeenFrame], what: &str) {
    assert!(frames.len() > 40, "{what}: {}", frames.len());
    // 12 bytes of header, 13 of the frame beside 160 of sound, the tag of AES-GCM, and perhaps an extension without anything in it.
    let first = &frames[0];
    assert!([201, 205].contains(&first.bytes), "{what}: {first:?}");
    for frame in frames {
        // Version 2 without padding, and the payload type without a marker.
        assert_eq!((frame.flags & 0xe0, frame.kind), (0x80, 96), "{what}");
        let alike = (first.bytes, first.flags);
        assert_eq!((frame.bytes, frame.flags), alike, "{what}");
    }
    for pair in frames.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "{what}");
        assert_eq!(
            pair[1].timestamp,
            pair[0].timestamp.wrapping_add(160),
            "{what}"
        );
        let pause = pair[1].at - pair[0].at;
        let tolerance = match pair[0].at < first.at + SETTLING {
            true => SLOT / 2,
            false => TOLERANCE,
        };
        let law = SLOT - tolerance..=SLOT + tolerance;
        assert!(
            law.contains(&pause),
            "{what}: {pause:?} at {:?}",
            pair[1].at
        );
    }
    let whole = frames[frames.len() - 1].at - frames[0].at;
    let slots = SLOT * (frames.len() - 1) as u32;
    assert!(
        whole.abs_diff(slots) <= SLOT / 2 + TOLERANCE,
        "{what}: {whole:?} for {slots:?}"
    );
}

fn talking(seed: u64, holds_by: Hold) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    let behaviour = HandsetBehaviour {
        holds_by,
        ..HandsetBehaviour::PLAIN
    };
    world.set_behaviour(pair.alice, behaviour);
    world.call(pair);
    (world, pair)
}

/// What people do for some seconds.
type Scene = (&'static str, Hold, fn(&mut World, CallPair));

const SCENES: [Scene; 6] = [
    ("speech", Hold::Inactive, |_, _| {}),
    (
        "a phone that sends nothing while it holds",
        Hold::Inactive,
        |world, pair| {
            world.hold(pair.alice, true);
        },
    ),
    ("music on hold", Hold::SendOnly, |world, pair| {
        world.hold(pair.alice, true)
    }),
    ("key presses within sound", Hold::Inactive, |world, pair| {
        for _ in 0..5 {
            world.press_by_rtp_event(pair.alice, 5);
            world.run_for(SECOND / 2);
        }
    }),
    ("key presses beside sound", Hold::Inactive, |world, pair| {
        for _ in 0..5 {
            world.press(pair.alice, '5');
            world.run_for(SECOND / 2);
        }
    }),
    ("held and resumed", Hold::Inactive, |world, pair| {
        for turn in 0..4 {
            world.hold(pair.alice, turn % 2 == 0);
            world.run_for(SECOND);
        }
    }),
];

#[test]
fn frames_look_alike_whatever_people_do() {
    for (what, holds_by, happen) in SCENES {
        let (mut world, pair) = talking(1, holds_by);
        happen(&mut world, pair);
        world.run_for(5 * SECOND);
        for engine in [pair.caller, pair.callee] {
            check(&frames(&world, engine, 0), what);
        }
    }
}

/// The sizes of an engine's frames one after the other, each with the number of the first.
fn steps(frames: &[SeenFrame]) -> Vec<(usize, usize)> {
    let mut steps: Vec<(usize, usize)> = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        if steps.last().is_none_or(|(_, bytes)| *bytes != frame.bytes) {
            steps.push((number, frame.bytes));
        }
    }
    steps
}

#[test]
fn what_frames_repeat_on_a_lossy_wire_follows_from_its_losses_alone() {
    let seen = |(what, holds_by, happen): Scene| {
        let (mut world, pair) = talking(1, holds_by);
        let mut number = 0;
        world.filter_packets(move |packet| {
            let is_sound = packet.from == Endpoint::Engine(0) && packet.kind == PacketKind::Srtp;
            number += u64::from(is_sound);
            !is_sound || !number.is_multiple_of(10)
        });
        happen(&mut world, pair);
        world.run_for((25 * SECOND).saturating_sub(world.clock()));
        let steps = steps(&frames(&world, pair.caller, 0));
        // All that may be repeated, and after ten seconds what a tenth asks for.
        assert_eq!(steps.len(), 3, "{what}: {steps:?}");
        let [none, most, some] = [0, 1, 2].map(|step| steps[step].1);
        assert!(most > some && some > none + 300, "{what}: {steps:?}");
        let other = frames(&world, pair.callee, 0);
        assert!(
            other.iter().all(|frame| frame.bytes == other[0].bytes),
            "{what}"
        );
        steps
    };
    let speech = seen(SCENES[0]);
    for scene in SCENES {
        let steps = seen(scene);
        for (step, of_speech) in steps.iter().zip(&speech) {
            // The report meets a frame or the next one.
            let is_alike = step.0.abs_diff(of_speech.0) <= 1 && step.1 == of_speech.1;
            assert!(is_alike, "{}: {steps:?} {speech:?}", scene.0);
        }
    }
}

#[test]
fn messages_leave_in_their_slots_whatever_people_do() {
    // The slots of two calls are as far from each other as their connections; sizes and pauses are the same.
    let messages = |(what, holds_by, happen): Scene| {
        let (mut world, pair) = talking(1, holds_by);
        world.run_for(2 * SECOND);
        let since = world.trace().len();
        happen(&mut world, pair);
        world.run_for(5 * SECOND);
        let (end, sent) = (
            world.clock(),
            sent(&world, pair.caller, PacketKind::Dtls, since),
        );
        assert!(!sent.is_empty(), "{what}");
        let first = sent[0].0;
        let seen = sent
            .iter()
            .filter(|(at, _)| *at < first + 5 * SECOND && *at < end);
        let seen = seen.map(|(at, bytes)| ((*at - first).as_millis(), bytes.len()));
        seen.collect::<Vec<_>>()
    };
    let speech = messages(SCENES[0]);
    for scene in SCENES {
        assert_eq!(messages(scene), speech, "{}", scene.0);
    }
}

#[test]
fn frames_flow_before_the_answer_is_confirmed_and_after_the_end() {
    for (seed, who) in (1..=8).zip([0, 1].repeat(4)) {
        let (mut world, pair) = talking(seed, Hold::Inactive);
        world.run_for(2 * SECOND);
        let phone = [pair.alice, pair.bob][who];
        world.hang_up(phone);
        let ended = world.clock();
        world.run_until_quiet(Duration::from_secs(8));
        for engine in [pair.caller, pair.callee] {
            let frames = frames(&world, engine, 0);
            check(&frames, "until the end");
            assert!(frames[frames.len() - 1].at >= ended, "both go on");
            let datagrams = sent(&world, engine, PacketKind::Datagram, 0);
            assert!(
                datagrams.iter().all(|(at, _)| *at < ended),
                "nothing but a message says hang-up"
            );
        }
    }
}

#[test]
fn which_side_ends_first_does_not_follow_from_who_hung_up() {
    let mut hangers = 0;
    for seed in 0..60 {
        let (mut world, pair) = talking(seed, Hold::Inactive);
        world.run_for(SECOND);
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(8));
        let last = [pair.caller, pair.callee].map(|engine| {
            let frames = frames(&world, engine, 0);
            frames[frames.len() - 1].at
        });
        hangers += usize::from(last[0] < last[1]);
    }
    // The 99.9 % interval of a fair coin.
    assert!((18..=42).contains(&hangers), "{hangers} of 60");
}

#[test]
fn a_phone_that_is_dead_is_filled_in() {
    let (mut world, pair) = talking(3, Hold::Inactive);
    world.run_for(SECOND);
    let mute = HandsetBehaviour {
        ignores_dialogs: true,
        ..HandsetBehaviour::PLAIN
    };
    world.set_behaviour(pair.bob, mute);
    world.reboot(pair.bob);
    world.run_for(2 * SECOND);
    check(
        &frames(&world, pair.callee, 0),
        "a phone that started again",
    );
}
