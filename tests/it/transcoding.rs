//! Two phones without a common codec hear each other: the callee's engine transcodes, and only then. What a TURN server sees of such a call
//! is a call of the caller's codec.

use std::time::Duration;

use ringfence_engine::CallStep;
use ringfence_media::Codec;
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{
        CallPair, World,
        handset::HandsetBehaviour,
        links::{Endpoint, PacketKind},
        turn_packets::carried,
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn has(only: Codec) -> HandsetBehaviour {
    HandsetBehaviour {
        only: Some(only),
        ..HandsetBehaviour::PLAIN
    }
}

/// A world in which Alice's and Bob's phones have these alone; `None` is both laws of G.711.
fn world(seed: u64, alice: Option<Codec>, bob: Option<Codec>) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    for (phone, only) in [(pair.alice, alice), (pair.bob, bob)] {
        if let Some(only) = only {
            world.set_behaviour(phone, has(only));
        }
    }
    (world, pair)
}

/// The codecs of both engines when the call has ended: the phone's, and the one between the engines.
fn codecs(world: &mut World, pair: CallPair) -> [(Codec, Codec); 2] {
    world.hang_up(pair.alice);
    world.run_for(3 * SECOND);
    [pair.caller, pair.callee].map(|engine| {
        let mut figures = world.figures().iter().rev();
        let figures = figures.find(|(of, ..)| *of == engine);
        let (.., figures) = figures.expect("the call has ended");
        figures.codecs.expect("a call with sound")
    })
}

/// Sizes of the frames that an engine sends, and the longest and shortest time between two.
fn frames(world: &World, engine: usize, since: usize) -> (Vec<usize>, Duration, Duration) {
    let packets = world.trace()[since..].iter();
    let frames: Vec<_> = packets
        .filter(|packet| {
            let to_turn = matches!(packet.to, Endpoint::Turn(_));
            packet.from == Endpoint::Engine(engine) && to_turn && packet.kind == PacketKind::Srtp
        })
        .filter_map(|packet| Some((packet.at, carried(&packet.bytes)?.len())))
        .collect();
    let pauses = frames.windows(2).map(|two| two[1].0 - two[0].0);
    let mut sizes: Vec<_> = frames.iter().map(|(_, bytes)| *bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let (least, most) = (pauses.clone().min(), pauses.max());
    (sizes, least.unwrap_or_default(), most.unwrap_or_default())
}

#[test]
fn phones_of_any_two_codecs_hear_each_other() {
    use Codec::{G722, Opus, Pcma, Pcmu};
    let pairs = [
        (Pcma, Opus),
        (Opus, Pcma),
        (G722, Pcmu),
        (Pcmu, G722),
        (Opus, G722),
        (Pcmu, Pcma),
    ];
    for (seed, (alice, bob)) in (1..).zip(pairs) {
        let (mut world, pair) = world(seed, Some(alice), Some(bob));
        world.call(pair);
        let since = world.trace().len();
        let talk = 3 * SECOND;
        world.run_for(talk);
        world.assert_both_hear(pair, talk);
        world.press_by_rtp_event(pair.alice, 5);
        world.press_by_rtp_event(pair.bob, 7);
        world.run_for(SECOND);
        let keys = [pair.alice, pair.bob].map(|it| world.handset(it).received_audio().keys());
        assert_eq!(keys, [[7], [5]], "{alice:?} {bob:?}");
        for engine in [pair.caller, pair.callee] {
            let (sizes, least, most) = frames(&world, engine, since);
            assert_eq!(sizes.len(), 1, "{alice:?} {bob:?}: {sizes:?}");
            let law = Duration::from_millis(14)..Duration::from_millis(26);
            assert!(
                law.contains(&least) && law.contains(&most),
                "{least:?} {most:?}"
            );
        }
        assert_eq!(codecs(&mut world, pair), [(alice, alice), (bob, alice)]);
    }
}

/// A status that says that the offered sound is refused, not the call.
#[test]
fn a_phone_may_refuse_the_callers_codec_by_three_statuses() {
    for (seed, refuses_by) in (51..).zip([415, 488, 606]) {
        let (mut world, pair) = world(seed, Some(Codec::Opus), Some(Codec::Pcma));
        let behaviour = HandsetBehaviour {
            refuses_by,
            ..has(Codec::Pcma)
        };
        world.set_behaviour(pair.bob, behaviour);
        world.call(pair);
        let talk = 3 * SECOND;
        world.run_for(talk);
        world.assert_both_hear(pair, talk);
    }
}

#[test]
fn phones_that_share_a_codec_are_never_transcoded() {
    use Codec::{Pcma, Pcmu};
    for (seed, (alice, bob), codec) in [
        (11, (None, None), Pcmu),
        (12, (Some(Pcma), None), Pcma),
        (13, (None, Some(Pcma)), Pcma),
        (14, (None, Some(Pcmu)), Pcmu),
    ] {
        let (mut world, pair) = world(seed, alice, bob);
        world.call(pair);
        world.run_for(2 * SECOND);
        let to_bob = |line: &str| {
            let sip = world.sip(Endpoint::Engine(pair.callee), Endpoint::Phone(pair.bob));
            sip.iter().filter(|first| first.starts_with(line)).count()
        };
        assert_eq!(to_bob("INVITE "), 1);
        let offer = world.trace().iter().find_map(|packet| {
            let is_it = packet.to == Endpoint::Phone(pair.bob) && packet.kind == PacketKind::Sip;
            let text = String::from_utf8_lossy(&packet.bytes).into_owned();
            text.contains("m=audio ").then_some(text).filter(|_| is_it)
        });
        let offer = offer.expect("an INVITE with an offer");
        assert!(
            !offer.contains("opus") && !offer.contains("G722"),
            "{offer}"
        );
        assert_eq!(codecs(&mut world, pair), [(codec, codec); 2]);
    }
}

#[test]
fn a_phone_that_called_first_is_heard_in_its_codec_wherever_rings_cross() {
    let (mut world, pair) = world(21, Some(Codec::G722), Some(Codec::Opus));
    let [alices, bobs] = [pair.caller, pair.callee].map(|engine| world.number(engine, 0));
    world.dial(pair.alice, bobs);
    world.dial(pair.bob, alices);
    world.run_until("both talk", 5 * SECOND, |world| {
        world.handset(pair.alice).is_talking() && world.handset(pair.bob).is_talking()
    });
    let before = [pair.alice, pair.bob].map(|it| world.handset(it).received_audio().packets());
    world.run_for(3 * SECOND);
    for (phone, before) in [pair.alice, pair.bob].into_iter().zip(before) {
        let packets = world.handset(phone).received_audio().packets() - before;
        assert!(packets > 140, "{packets}\n{world:?}");
    }
}

#[test]
fn a_phone_that_changes_its_codec_in_the_call_is_transcoded() {
    let (mut world, pair) = world(31, None, None);
    world.call(pair);
    world.run_for(SECOND);
    world.set_behaviour(pair.alice, has(Codec::Opus));
    world.hold(pair.alice, false);
    let talk = 3 * SECOND;
    world.run_for(talk);
    assert!(world.handset(pair.alice).is_talking(), "{world:?}");
    world.assert_both_hear(pair, talk);
    assert_eq!(
        codecs(&mut world, pair),
        [(Codec::Opus, Codec::Pcmu), (Codec::Pcmu, Codec::Pcmu)]
    );
}

#[test]
fn calls_of_two_codecs_are_joined() {
    let (mut world, pair) = world(41, Some(Codec::G722), None);
    let carols = world.open_engine(1);
    let carol = world.add_phone(carols, 0);
    // Alice's second phone has another codec than the one that talks to Bob.
    let second = world.add_phone(pair.caller, 0);
    world.run_for(SECOND);
    world.call(pair);
    world.dial(second, world.number(carols, 0));
    world.run_until("Carol's phone rings", 3 * SECOND, |world| {
        world.handset(carol).is_ringing()
    });
    world.answer(carol);
    world.run_for(SECOND);
    world.transfer_to_call_of(pair.alice, second);
    world.run_for(SECOND);
    assert!(world.has_reached(pair.caller, CallStep::HandedOver));
    let heard = |world: &World| {
        let tones = [(pair.bob, LOW), (carol, HIGH)];
        tones.map(|(phone, hz)| world.handset(phone).received_audio().heard(hz).tone)
    };
    let before = heard(&world);
    let talk = 3 * SECOND;
    world.run_for(talk);
    let joined = heard(&world).into_iter().zip(before);
    for (after, before) in joined {
        assert!(
            after - before > talk.mul_f64(0.85),
            "{before:?} {after:?}\n{world:?}"
        );
    }
}
