//! What phones do to their sound in the middle of a call, and around it: the other side hears them all the same, whether or not the call is
//! transcoded, and whether or not losses are repaired out of a playout buffer.
//!
//! Not here: clocks that differ for an hour (`media/src/transcode/tests/an_hour.rs`), bursts and jitter (`media/src/frame/tests.rs`), SSRC
//! and numbers in detail (`media/src/near/rewrite.rs`), odd SDP in detail (`media/src/sdp/tests.rs`), what a TURN server sees of pauses
//! and holds (`one_size`).

use std::time::Duration;

use ringfence_media::Codec;
use ringfence_tests::{
    tone::{HIGH, LOW},
    world::{
        CallPair, World,
        audio::SoundChange,
        handset::{HandsetBehaviour, HandsetEvent},
        links::{Endpoint, PacketKind},
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// A call that is about to be made.
struct Case {
    kind: &'static str,
    world: World,
    pair: CallPair,
    /// Whether the wires lose packets, so that what the phones are given comes out of playout buffers.
    is_lossy: bool,
}

/// Phones that share a codec and phones that do not, each over good wires and over bad ones.
fn cases(seed: u64) -> [Case; 4] {
    let kinds = [
        ("alike", None, false),
        ("transcoded", Some(Codec::Opus), false),
        ("alike and repaired", None, true),
        ("transcoded and repaired", Some(Codec::Opus), true),
    ];
    let mut seed = seed;
    kinds.map(|(kind, only, is_lossy)| {
        seed += 1;
        let (mut world, pair) = World::of_two(seed);
        if only.is_some() {
            let behaviour = HandsetBehaviour {
                only,
                ..HandsetBehaviour::PLAIN
            };
            world.set_behaviour(pair.bob, behaviour);
        }
        Case {
            kind,
            world,
            pair,
            is_lossy,
        }
    })
}

impl Case {
    /// Lets them talk until losses, if there are any, are repaired.
    fn begin(&mut self) {
        self.world.call(self.pair);
        self.settle();
    }

    fn settle(&mut self) {
        if self.is_lossy {
            self.world.links.turn.loss = 0.03;
            self.world.run_for(12 * SECOND);
        } else {
            self.world.run_for(SECOND);
        }
    }

    /// How long each phone hears the other's tone in some time.
    fn heard(&mut self, talk: Duration) -> [Duration; 2] {
        let tones = |world: &World| {
            let tones = [(self.pair.alice, HIGH), (self.pair.bob, LOW)];
            tones.map(|(phone, hz)| world.handset(phone).received_audio().heard(hz).tone)
        };
        let before = tones(&self.world);
        self.world.run_for(talk);
        let after = tones(&self.world);
        [after[0] - before[0], after[1] - before[1]]
    }

    /// Both hear each other from now on.
    fn assert_heard(&mut self, what: &str, talk: Duration) {
        let kind = self.kind;
        for heard in self.heard(talk) {
            assert!(heard > talk.mul_f64(0.9), "{kind}, {what}: {heard:?}");
        }
    }

    /// A wire that loses packets was repaired at both ends to the end, so that these tests saw playout buffers.
    fn end(mut self) {
        let Self {
            kind,
            pair,
            world,
            is_lossy,
        } = &mut self;
        world.links.turn.loss = 0.0;
        world.hang_up(pair.alice);
        world.run_for(3 * SECOND);
        for engine in [pair.caller, pair.callee] {
            let mut figures = world.figures().iter().rev();
            let figures = figures.find(|(of, ..)| *of == engine);
            let (.., figures) = figures.expect("the call has ended");
            let is_repaired = figures.repair.repaired > 0;
            assert_eq!(is_repaired, *is_lossy, "{kind}: {:?}", figures.repair);
            let is_buffered = !figures.repair.delay.is_zero();
            assert_eq!(is_buffered, *is_lossy, "{kind}: {:?}", figures.repair);
        }
    }
}

#[test]
fn a_phone_is_heard_whatever_it_does_to_its_sound() {
    let changes = [
        ("a jump ahead", SoundChange::Jump(500_000)),
        ("a jump back", SoundChange::Jump(0x8000_1234)),
        ("another source", SoundChange::NewSource),
        ("a clock of twice the rate", SoundChange::Clock(2)),
        ("a clock that stands", SoundChange::Clock(0)),
        ("its own clock", SoundChange::Clock(1)),
        ("60 ms", SoundChange::Length(6)),
        ("40 ms", SoundChange::Length(4)),
        ("30 ms", SoundChange::Length(3)),
        ("10 ms", SoundChange::Length(1)),
        ("20 ms", SoundChange::Length(2)),
    ];
    for mut case in cases(1) {
        case.begin();
        for (what, change) in changes {
            for phone in [case.pair.alice, case.pair.bob] {
                case.world.change_sound(phone, change);
            }
            case.world.run_for(SECOND / 2);
            case.assert_heard(what, 3 * SECOND);
        }
        case.end();
    }
}

#[test]
fn a_phone_that_holds_and_comes_back_with_other_timestamps_is_heard_at_once() {
    for mut case in cases(11) {
        case.begin();
        let alice = case.pair.alice;
        case.world.hold(alice, true);
        case.world.run_for(5 * SECOND);
        case.world
            .change_sound(alice, SoundChange::Jump(77_777_777));
        case.world.hold(alice, false);
        case.world.run_for(SECOND / 4);
        case.assert_heard("after hold", 2 * SECOND);
        case.end();
    }
}

/// RFC 3389: comfort noise has a payload type that nobody agreed to. It crosses as silence, says that the phone is there, and sound after it
/// is heard at once. A phone is sent none.
#[test]
fn comfort_noise_is_silence_and_no_end() {
    quiet_for_a_while(21, SoundChange::Silent);
}

/// Silence suppression: a phone sends nothing while its person is silent, and goes on by its clock.
#[test]
fn a_phone_that_sends_nothing_in_pauses_is_heard_at_once_after_them() {
    quiet_for_a_while(41, SoundChange::Paused);
}

fn quiet_for_a_while(seed: u64, quiet: fn(bool) -> SoundChange) {
    for mut case in cases(seed) {
        let (kind, pair) = (case.kind, case.pair);
        case.begin();
        for _ in 0..3 {
            case.world.change_sound(pair.alice, quiet(true));
            case.world.run_for(SECOND / 4);
            let [alice, bob] = case.heard(12 * SECOND);
            assert!(alice > 11 * SECOND, "{kind}: {alice:?}");
            assert!(bob < SECOND / 4, "{kind}: Bob hears {bob:?}");
            assert!(case.world.handset(pair.alice).is_talking(), "{kind}");
            case.world.change_sound(pair.alice, quiet(false));
            case.world.run_for(SECOND / 2);
            case.assert_heard("after a pause", 2 * SECOND);
        }
        let agreed = [0, 101, 110, 111];
        let to_phones = case.world.trace().iter().filter(|packet| {
            matches!(packet.to, Endpoint::Phone(_)) && packet.kind == PacketKind::Rtp
        });
        for packet in to_phones.filter(|packet| !(192..=223).contains(&packet.bytes[1])) {
            let number = packet.bytes[1] & 0x7f;
            assert!(agreed.contains(&number), "{kind}: {number}");
        }
        case.end();
    }
}

#[test]
fn sound_before_the_answer_and_after_the_end_does_no_harm() {
    for mut case in cases(31) {
        let (kind, pair) = (case.kind, case.pair);
        case.world.ring(pair);
        case.world.speak_out_of_turn(pair.bob);
        case.world.run_for(2 * SECOND);
        let nothing = case.world.handset(pair.alice).received_audio().packets();
        assert_eq!(nothing, 0, "{kind}: heard before the answer");
        case.world.answer(pair.bob);
        case.world.run_for(SECOND);
        case.settle();
        case.assert_heard("after early sound", 3 * SECOND);
        case.world.links.turn.loss = 0.0;
        case.world.hang_up(pair.bob);
        case.world.speak_out_of_turn(pair.bob);
        case.world.run_for(3 * SECOND);
        let phones = [pair.alice, pair.bob].map(|phone| case.world.handset(phone));
        assert!(phones.iter().all(|phone| phone.is_free()), "{kind}");
        let before = phones[0].received_audio().packets();
        case.world.run_for(2 * SECOND);
        let after = case.world.handset(pair.alice).received_audio().packets();
        assert_eq!(after, before, "{kind}: heard after the end");
        assert_eq!(case.world.turn.relays(), 0, "{kind}");
    }
}

/// RFC 3264 section 6: a section that makes no call is refused by port 0 for itself, and the sound beside it is heard.
#[test]
fn a_phone_that_offers_an_odd_section_before_its_sound_is_heard() {
    for odd_section in [
        "m=audio 9 RTP/AVP 18\r\n",
        "m=audio 9 RTP/AVP 96\r\na=rtpmap:96 speex/16000\r\n",
        "m=audio 9 RTP/AVP 0\r\nc=IN IP4 handset.example\r\n",
        "m=smell 9 RTP/AVP 0\r\n",
        "m=image 9 udptl t38\r\n",
    ] {
        for mut case in cases(51) {
            let (kind, alice) = (case.kind, case.pair.alice);
            let behaviour = HandsetBehaviour {
                odd_section,
                ..HandsetBehaviour::PLAIN
            };
            case.world.set_behaviour(alice, behaviour);
            case.begin();
            case.assert_heard(odd_section, 2 * SECOND);
            // Another time, in the call.
            case.world.hold(alice, false);
            case.world.run_for(SECOND);
            case.assert_heard(odd_section, 2 * SECOND);
            let refused = case.world.trace().iter().filter(|packet| {
                let text = String::from_utf8_lossy(&packet.bytes);
                let is_answer = packet.to == Endpoint::Phone(alice) && text.contains("\nm=audio ");
                let mut words = odd_section.split(' ');
                let refusal = format!("\n{} 0 ", words.next().unwrap_or_default());
                is_answer && text.contains(&refusal)
            });
            assert!(refused.count() >= 2, "{kind}, {odd_section}");
        }
    }
}

/// RFC 3264 section 6.1: who answers several codecs may send any of them. One that is not the call's, nor that to which the phone is
/// transcoded, is cured by an offer of that one alone.
#[test]
fn a_phone_that_answers_several_codecs_and_sends_the_second_is_heard() {
    for mut case in cases(61) {
        let CallPair { alice, bob, .. } = case.pair;
        let several = HandsetBehaviour {
            sends_g722: true,
            ..HandsetBehaviour::PLAIN
        };
        let only_opus = HandsetBehaviour {
            only: Some(Codec::Opus),
            ..HandsetBehaviour::PLAIN
        };
        let is_transcoded = case.kind.starts_with("transcoded");
        let caller = if is_transcoded { only_opus } else { several };
        case.world.set_behaviour(alice, caller);
        case.world.set_behaviour(bob, several);
        case.begin();
        let events = case.world.handset(bob).events();
        let offers = events
            .iter()
            .filter(|event| ***event == HandsetEvent::OfferAccepted);
        assert_eq!(offers.count(), 1, "{}", case.kind);
        case.assert_heard("its second codec", 3 * SECOND);
        case.end();
    }
}
