//! What phones do to their sound in the middle of a call, and around it: the other side hears them all the same, whether or not the call is
//! transcoded, and a TURN server sees the same frames.
//!
//! Not here: clocks that differ for an hour, packets of each length, bursts and jitter (`media/src/frame/tests.rs`), SSRC and numbers in
//! detail (`media/src/near/rewrite.rs`), odd SDP (`media/src/sdp/tests.rs`), a phone that sends its second codec (`reinvite`).

use std::time::Duration;

use ringfence_media::Codec;
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{CallPair, World, audio::SoundChange, handset::HandsetBehaviour},
};

const SECOND: Duration = Duration::from_secs(1);

/// Two phones that share a codec, and two that do not.
fn calls(seed: u64) -> [(&'static str, World, CallPair); 2] {
    let alike = World::of_two(seed);
    let (mut world, pair) = World::of_two(seed + 1);
    let opus = HandsetBehaviour {
        only: Some(Codec::Opus),
        ..HandsetBehaviour::PLAIN
    };
    world.set_behaviour(pair.bob, opus);
    [("alike", alike.0, alike.1), ("transcoded", world, pair)]
}

/// How long each phone hears the other's tone in some time.
fn heard(world: &mut World, pair: CallPair, talk: Duration) -> [Duration; 2] {
    let tones = |world: &World| {
        let tones = [(pair.alice, HIGH), (pair.bob, LOW)];
        tones.map(|(phone, hz)| world.handset(phone).received_audio().heard(hz).tone)
    };
    let before = tones(world);
    world.run_for(talk);
    let after = tones(world);
    [after[0] - before[0], after[1] - before[1]]
}

#[test]
fn a_phone_is_heard_whatever_it_does_to_its_sound() {
    let changes = [
        ("a jump ahead", SoundChange::Jump(500_000)),
        ("a jump back", SoundChange::Jump(0x8000_1234)),
        ("another source", SoundChange::NewSource),
        ("60 ms", SoundChange::Length(3)),
        ("40 ms", SoundChange::Length(2)),
        ("20 ms", SoundChange::Length(1)),
    ];
    for (kind, mut world, pair) in calls(1) {
        world.call(pair);
        world.run_for(SECOND);
        for (what, change) in changes {
            for phone in [pair.alice, pair.bob] {
                world.change_sound(phone, change);
            }
            world.run_for(SECOND / 2);
            let talk = 3 * SECOND;
            for heard in heard(&mut world, pair, talk) {
                assert!(heard > talk.mul_f64(0.9), "{kind}, {what}: {heard:?}");
            }
        }
    }
}

#[test]
fn a_phone_that_holds_and_comes_back_with_other_timestamps_is_heard_at_once() {
    for (kind, mut world, pair) in calls(11) {
        world.call(pair);
        world.run_for(SECOND);
        world.hold(pair.alice, true);
        world.run_for(5 * SECOND);
        world.change_sound(pair.alice, SoundChange::Jump(77_777_777));
        world.hold(pair.alice, false);
        world.run_for(SECOND / 4);
        let talk = 2 * SECOND;
        for heard in heard(&mut world, pair, talk) {
            assert!(heard > talk.mul_f64(0.9), "{kind}: {heard:?}");
        }
    }
}

/// RFC 3389: comfort noise has a payload type that nobody agreed to. It crosses as silence, says that the phone is there, and sound after it
/// is heard at once.
#[test]
fn comfort_noise_is_silence_and_no_end() {
    for (kind, mut world, pair) in calls(21) {
        world.call(pair);
        world.run_for(SECOND);
        for _ in 0..3 {
            world.change_sound(pair.alice, SoundChange::Silent(true));
            world.run_for(SECOND / 4);
            let [alice, bob] = heard(&mut world, pair, 12 * SECOND);
            assert!(alice > 11 * SECOND, "{kind}: {alice:?}");
            assert!(bob < SECOND / 4, "{kind}: Bob hears {bob:?}");
            assert!(world.handset(pair.alice).is_talking(), "{kind}");
            world.change_sound(pair.alice, SoundChange::Silent(false));
            world.run_for(SECOND / 2);
            let talk = 2 * SECOND;
            let [_, bob] = heard(&mut world, pair, talk);
            assert!(bob > talk.mul_f64(0.9), "{kind}: {bob:?}");
        }
    }
}

#[test]
fn sound_before_the_answer_and_after_the_end_does_no_harm() {
    for (kind, mut world, pair) in calls(31) {
        world.ring(pair);
        world.speak_out_of_turn(pair.bob);
        world.run_for(2 * SECOND);
        let nothing = world.handset(pair.alice).received_audio().packets();
        assert_eq!(nothing, 0, "{kind}: heard before the answer");
        world.answer(pair.bob);
        let talk = 3 * SECOND;
        world.run_for(talk);
        world.assert_both_hear(pair, talk);
        world.hang_up(pair.bob);
        world.speak_out_of_turn(pair.bob);
        world.run_for(3 * SECOND);
        let phones = [pair.alice, pair.bob].map(|phone| world.handset(phone));
        assert!(phones.iter().all(|phone| phone.is_free()), "{kind}");
        let before = phones[0].received_audio().packets();
        world.run_for(2 * SECOND);
        let after = world.handset(pair.alice).received_audio().packets();
        assert_eq!(after, before, "{kind}: heard after the end");
        assert_eq!(world.turn.relays(), 0, "{kind}");
    }
}
