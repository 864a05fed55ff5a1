//! What crosses between a phone and the far leg, and what does not.

use super::*;
use crate::negotiate::{NegotiatedVideo, RtcpDestination};
use crate::rtcp::{self, KeyframeRequest};
use crate::rtp::{RtpDatagram, RtpPacket};
use crate::some_time;
use crate::srtp::{
    InboundSrtcp, InboundSrtp, OutboundSrtcp, OutboundSrtp, SrtpKey, SrtpKeyPair, SrtpSuite,
};
use crate::video::VideoFormat;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::Duration;

const PHONE: &str = "127.0.0.1:7078";

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn terms() -> NegotiatedMedia {
    let codecs = vec![(Codec::Opus, 96), (Codec::Events48k, 97)];
    NegotiatedMedia {
        local: at("127.0.0.1:40000"),
        remote: at(PHONE),
        codecs,
        carried: None,
        also_listed: Vec::new(),
        receives: true,
        rtcp: RtcpDestination::NextPort,
        keys: None,
        video: None,
    }
}

fn leg() -> NearLeg {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    leg.attach(terms(), some_time());
    leg
}

fn sound(payload_type: u8, sequence: u16) -> Vec<u8> {
    let timestamp = u32::from(sequence) * 960;
    RtpPacket {
        payload_type,
        marker: false,
        sequence,
        timestamp,
        ssrc: 0x1111_1111,
        payload: b"sound",
    }
    .to_bytes()
}

fn far(payload_type: u8, sequence: u16) -> FarPacket {
    let timestamp = u32::from(sequence) * 960;
    FarPacket {
        payload_type,
        marker: false,
        sequence,
        timestamp,
        payload: b"voice".to_vec(),
    }
}

fn speak(leg: &mut NearLeg, bytes: &[u8]) -> Option<FarPacket> {
    leg.audio
        .read(at(PHONE), bytes, Microphone::Open, some_time())
}

/// A moment at which the announced port has been silent for long enough that another one may be the phone's.
fn later() -> Instant {
    some_time() + Duration::from_secs(2)
}

fn dropped(leg: &NearLeg) -> crate::stats::DropCounts {
    leg.audio.stats().0.dropped
}

#[test]
fn audio_crosses_with_nothing_but_its_payload() {
    let mut leg = leg();
    let mut bytes = sound(96, 500);
    // Two contributing sources and an extension that gives the loudness away.
    bytes[0] |= 0x12;
    bytes.splice(
        12..12,
        [[0xaa; 8], [0xbe, 0xde, 0, 1, 0x10, 0x55, 0, 0]].concat(),
    );
    let packet = speak(&mut leg, &bytes).unwrap();
    assert_eq!(
        (packet.payload_type, packet.payload.as_slice()),
        (111, &b"sound"[..])
    );
    assert_ne!(packet.sequence, 500);
    assert_ne!(packet.timestamp, 500 * 960);
    let next = speak(&mut leg, &sound(96, 501)).unwrap();
    assert_eq!(next.sequence, packet.sequence + 1);
    assert_eq!(next.timestamp.wrapping_sub(packet.timestamp), 960);
}

#[test]
fn digits_cross_under_their_own_number_and_in_the_same_count() {
    let mut leg = leg();
    let voice = speak(&mut leg, &sound(96, 500)).unwrap();
    let digit = speak(&mut leg, &sound(97, 501)).unwrap();
    assert_eq!(
        (digit.payload_type, digit.sequence),
        (110, voice.sequence + 1)
    );
}

#[test]
fn a_phone_may_answer_with_its_number_and_send_with_ours() {
    assert_eq!(speak(&mut leg(), &sound(111, 1)).unwrap().payload_type, 111);
    assert_eq!(speak(&mut leg(), &sound(110, 1)).unwrap().payload_type, 110);
}

#[test]
fn what_is_not_audio_is_counted_by_its_reason() {
    let mut leg = leg();
    assert_eq!(speak(&mut leg, b"hello"), None);
    assert_eq!(speak(&mut leg, &[0x80, 200, 0, 6, 0, 0, 0, 1]), None);
    assert_eq!(speak(&mut leg, &sound(0, 1)), None);
    assert!(speak(&mut leg, &sound(96, 1)).is_some());
    assert_eq!(speak(&mut leg, &sound(96, 1)), None);
    assert_eq!(
        leg.audio.read(
            at("127.0.0.1:9"),
            &sound(96, 2),
            Microphone::Open,
            some_time()
        ),
        None
    );
    assert_eq!(
        leg.audio
            .read(at(PHONE), &sound(96, 2), Microphone::Muted, some_time()),
        None
    );
    assert_eq!(
        leg.audio
            .read(at(PHONE), &sound(96, 2), Microphone::Nowhere, some_time()),
        None
    );
    assert_eq!(speak(&mut leg, &sound(96, 30_000)), None);
    let dropped = dropped(&leg);
    assert_eq!(
        (
            dropped.malformed,
            dropped.rtcp,
            dropped.format,
            dropped.duplicate,
            dropped.stranger
        ),
        (1, 1, 1, 1, 1)
    );
    assert_eq!((dropped.muted, dropped.nowhere, dropped.late), (1, 1, 1));
    assert_eq!(leg.audio.stats().0.passed, 1);
}

#[test]
fn a_muted_phone_is_found_all_the_same() {
    let mut leg = leg();
    leg.audio.read(
        at("127.0.0.1:5555"),
        &sound(96, 1),
        Microphone::Muted,
        later(),
    );
    assert_eq!(
        leg.audio.write(&far(111, 1), some_time()).unwrap().0,
        at("127.0.0.1:5555")
    );
}

#[test]
fn noise_does_not_latch() {
    let mut leg = leg();
    leg.audio
        .read(at("127.0.0.1:5555"), b"noise", Microphone::Open, later());
    leg.audio.read(
        at("127.0.0.1:5555"),
        &sound(3, 1),
        Microphone::Open,
        later(),
    );
    leg.audio.read(
        at("127.0.0.1:5555"),
        &[0x80, 201, 0, 1, 0, 0, 0, 1],
        Microphone::Open,
        later(),
    );
    assert_eq!(
        leg.audio.write(&far(111, 1), some_time()).unwrap().0,
        at(PHONE)
    );
}

#[test]
fn the_announced_port_is_heard_and_hears_though_another_was_quicker() {
    let (mut leg, now) = (leg(), some_time());
    let quicker = at("127.0.0.1:5555");
    let read = |leg: &mut NearLeg, from, sequence, now| {
        let bytes = sound(96, sequence);
        leg.audio.read(from, &bytes, Microphone::Open, now)
    };
    for sequence in 1..=10 {
        assert_eq!(read(&mut leg, quicker, sequence, now), None);
    }
    assert_eq!(leg.audio.write(&far(111, 1), now).unwrap().0, at(PHONE));
    // The phone was slow, and the other program was taken for it.
    assert!(read(&mut leg, quicker, 11, later()).is_some());
    assert_eq!(leg.audio.write(&far(111, 2), later()).unwrap().0, quicker);
    assert!(read(&mut leg, at(PHONE), 12, later()).is_some());
    assert_eq!(leg.audio.write(&far(111, 3), later()).unwrap().0, at(PHONE));
    assert_eq!(read(&mut leg, quicker, 13, later()), None);
    assert_eq!(dropped(&leg).stranger, 11);
}

#[test]
fn all_that_only_the_phone_sends_breaks_its_silence() {
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let empty = &sound(96, 9)[..12];
    let elsewhere = "127.0.0.1:5555";
    for (from, bytes, is_phone) in [
        (PHONE, &sound(96, 9)[..], true),
        (PHONE, &sound(97, 9), true),
        // Comfort noise, which was not agreed, and a packet that keeps a NAT open.
        (PHONE, &sound(13, 9), true),
        (PHONE, empty, true),
        ("127.0.0.1:7079", &report, true),
        (PHONE, b"noise", false),
        (elsewhere, &sound(96, 9), false),
        (elsewhere, &sound(13, 9), false),
        (elsewhere, empty, false),
        ("192.0.2.7:7079", &report, false),
    ] {
        let (mut leg, start) = (leg(), some_time());
        speak(&mut leg, &sound(96, 1));
        let at_millis = |millis| start + Duration::from_millis(millis);
        leg.audio
            .read(at(from), bytes, Microphone::Muted, at_millis(900));
        assert_eq!(
            leg.audio.poll_silence(at_millis(5_100)),
            (!is_phone).then_some(true)
        );
        assert_eq!(
            leg.audio.poll_silence(at_millis(6_000)),
            is_phone.then_some(true)
        );
    }
}

#[test]
fn the_phone_gets_its_own_payload_types_and_one_ssrc_of_this_leg() {
    let mut leg = leg();
    let (to, first) = leg.audio.write(&far(111, 9), some_time()).unwrap();
    let (_, digit) = leg.audio.write(&far(110, 10), some_time()).unwrap();
    assert_eq!(to, at(PHONE));
    let (Ok(RtpDatagram::Rtp(first)), Ok(RtpDatagram::Rtp(digit))) =
        (RtpDatagram::read(&first), RtpDatagram::read(&digit))
    else {
        panic!("RTP is expected");
    };
    assert_eq!((first.payload_type, digit.payload_type), (96, 97));
    assert_eq!(
        (first.ssrc, digit.sequence),
        (digit.ssrc, first.sequence + 1)
    );
    assert_eq!(first.payload, b"voice");
}

#[test]
fn far_packets_that_the_phone_cannot_take_are_counted() {
    let mut leg = leg();
    assert_eq!(leg.audio.write(&far(8, 1), some_time()), None);
    assert_eq!(leg.audio.write(&far(55, 1), some_time()), None);
    assert_eq!(
        leg.audio.write(
            &FarPacket {
                payload: Vec::new(),
                ..far(111, 1)
            },
            some_time()
        ),
        None
    );
    leg.attach(
        NegotiatedMedia {
            receives: false,
            ..terms()
        },
        some_time(),
    );
    assert_eq!(leg.audio.write(&far(111, 1), some_time()), None);
    leg.attach(
        NegotiatedMedia {
            remote: at("0.0.0.0:9"),
            ..terms()
        },
        some_time(),
    );
    assert_eq!(leg.audio.write(&far(111, 1), some_time()), None);
    let dropped = leg.audio.stats().1.dropped;
    assert_eq!(
        (
            dropped.format,
            dropped.malformed,
            dropped.muted,
            dropped.nowhere
        ),
        (2, 1, 1, 1)
    );
}

#[test]
fn a_key_press_replaces_audio_under_the_phones_payload_type() {
    let mut leg = leg();
    leg.audio.write(&far(111, 8), some_time()).unwrap();
    assert!(leg.audio.send_dtmf(7, 40, some_time()));
    let mut play = |sequence| {
        let (_, bytes) = leg.audio.write(&far(111, sequence), some_time()).unwrap();
        let Ok(RtpDatagram::Rtp(packet)) = RtpDatagram::read(&bytes) else {
            panic!("RTP is expected")
        };
        (
            packet.payload_type,
            packet.sequence,
            packet.payload.to_vec(),
        )
    };
    let (number, first, payload) = play(9);
    assert_eq!((number, payload), (97, vec![7, 10, 3, 192]));
    for (after, is_end) in [(1, true), (2, true), (3, true), (4, false)] {
        let (number, sequence, payload) = play(9 + after);
        assert_eq!(sequence, first + after);
        assert_eq!(is_end, number == 97 && payload == [7, 0x8a, 7, 128]);
    }
    leg.attach(
        NegotiatedMedia {
            codecs: vec![(Codec::Opus, 96)],
            ..terms()
        },
        some_time(),
    );
    assert!(!leg.audio.send_dtmf(7, 40, some_time()));
}

#[test]
fn a_phone_that_held_the_call_has_lost_nothing() {
    let mut leg = leg();
    let attach = |leg: &mut NearLeg, receives| {
        let terms = NegotiatedMedia {
            receives,
            ..terms()
        };
        leg.attach(terms, some_time());
    };
    let number = |bytes: &[u8]| match RtpDatagram::read(bytes) {
        Ok(RtpDatagram::Rtp(packet)) => packet.sequence,
        other => panic!("{other:?}"),
    };
    let (_, bytes) = leg.audio.write(&far(111, 1), some_time()).unwrap();
    let first = number(&bytes);
    attach(&mut leg, false);
    for held in 2..=1_500 {
        assert_eq!(leg.audio.write(&far(111, held), some_time()), None);
    }
    attach(&mut leg, true);
    let (_, bytes) = leg.audio.write(&far(111, 1_501), some_time()).unwrap();
    assert_eq!(number(&bytes), first + 1);
    let (_, to_phone) = leg.audio.stats();
    assert_eq!((to_phone.passed, to_phone.lost), (2, 0));
}

#[test]
fn nothing_passes_before_a_phone_is_attached() {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    assert_eq!(speak(&mut leg, &sound(96, 1)), None);
    assert_eq!(leg.audio.write(&far(111, 1), some_time()), None);
    assert_eq!(
        (
            leg.audio.stats().0.dropped.nowhere,
            leg.audio.stats().1.dropped.nowhere
        ),
        (1, 1)
    );
}

#[test]
fn numbers_go_on_through_a_re_invite() {
    let mut leg = leg();
    let before = speak(&mut leg, &sound(96, 1)).unwrap();
    leg.attach(
        NegotiatedMedia {
            codecs: vec![(Codec::Opus, 121)],
            ..terms()
        },
        some_time(),
    );
    assert_eq!(speak(&mut leg, &sound(96, 2)), None);
    assert_eq!(
        speak(&mut leg, &sound(121, 2)).unwrap().sequence,
        before.sequence + 1
    );
}

fn key(number: u8) -> SrtpKey {
    SrtpKey::random(
        SrtpSuite::AesGcm128,
        &mut ChaCha20Rng::from_seed([number; 32]),
    )
}

fn locked(ours: u8, theirs: u8) -> NegotiatedMedia {
    let keys = SrtpKeyPair {
        ours: key(ours),
        theirs: key(theirs),
    };
    NegotiatedMedia {
        keys: Some(keys),
        ..terms()
    }
}

fn sealed(sealer: &mut OutboundSrtp, sequence: u16) -> Vec<u8> {
    let mut bytes = sound(96, sequence);
    assert!(sealer.protect(&mut bytes));
    bytes
}

#[test]
fn with_keys_both_ways_are_encrypted() {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    leg.attach(locked(1, 2), some_time());
    let (mut phone, mut ears) = (OutboundSrtp::new(&key(2)), InboundSrtp::new(&key(1)));
    let heard = speak(&mut leg, &sealed(&mut phone, 1)).unwrap();
    assert_eq!(heard.payload, b"sound");
    let (_, mut bytes) = leg.audio.write(&far(111, 1), some_time()).unwrap();
    assert!(!bytes.ends_with(b"voice"));
    ears.unprotect(&mut bytes).unwrap();
    assert!(bytes.ends_with(b"voice"));
}

#[test]
fn under_srtp_a_key_press_is_encrypted_like_the_audio_that_it_replaces() {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    leg.attach(locked(1, 2), some_time());
    let mut ears = InboundSrtp::new(&key(1));
    assert!(leg.audio.send_dtmf(7, 40, some_time()));
    for (sequence, number) in [(1, 97), (2, 97), (3, 97), (4, 97), (5, 96)] {
        let (_, mut bytes) = leg.audio.write(&far(111, sequence), some_time()).unwrap();
        assert_eq!(ears.unprotect(&mut bytes), Ok(()));
        let Ok(RtpDatagram::Rtp(packet)) = RtpDatagram::read(&bytes) else {
            panic!("RTP is expected")
        };
        assert_eq!(packet.payload_type, number);
        assert_eq!(packet.payload[0] == 7, number == 97);
    }
}

#[test]
fn with_keys_nothing_else_passes_or_latches() {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    leg.attach(locked(1, 2), some_time());
    let (mut phone, mut stranger) = (OutboundSrtp::new(&key(2)), OutboundSrtp::new(&key(9)));
    let good = sealed(&mut phone, 1);
    let elsewhere = at("127.0.0.1:5555");
    for bytes in [
        &sound(96, 1)[..],
        &sealed(&mut stranger, 1),
        &[0x80, 201, 0, 1, 0, 0, 0, 1],
    ] {
        assert_eq!(
            leg.audio.read(elsewhere, bytes, Microphone::Open, later()),
            None
        );
    }
    assert_eq!(
        leg.audio.write(&far(111, 1), some_time()).unwrap().0,
        at(PHONE)
    );
    assert!(speak(&mut leg, &good).is_some());
    assert_eq!(speak(&mut leg, &good), None);
    let dropped = dropped(&leg);
    assert_eq!((dropped.forged, dropped.rtcp, dropped.duplicate), (2, 1, 1));
}

#[test]
fn with_keys_only_what_verifies_moves_the_phone_or_breaks_its_silence() {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    leg.attach(locked(1, 2), some_time());
    let (mut phone, mut stranger) = (OutboundSrtp::new(&key(2)), OutboundSrtp::new(&key(9)));
    let first = sealed(&mut phone, 1);
    assert!(speak(&mut leg, &first).is_some());
    let elsewhere = at("127.0.0.1:5555");
    let silent = later() + Duration::from_secs(5);
    let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
    let mut forged = report.clone();
    assert!(OutboundSrtcp::new(&key(9)).protect(&mut forged));
    let foreign = sealed(&mut stranger, 2);
    for from in [elsewhere, at(PHONE)] {
        for bytes in [&first, &foreign, &sound(96, 3), &report, &forged] {
            let heard = leg.audio.read(from, bytes, Microphone::Open, silent);
            assert_eq!(heard, None);
        }
    }
    assert_eq!(leg.audio.write(&far(111, 1), silent).unwrap().0, at(PHONE));
    assert_eq!(leg.audio.poll_silence(silent), Some(true));
    // The phone itself is followed.
    let bytes = sealed(&mut phone, 2);
    let heard = leg.audio.read(elsewhere, &bytes, Microphone::Open, silent);
    assert!(heard.is_some());
    assert_eq!(leg.audio.write(&far(111, 2), silent).unwrap().0, elsewhere);
    assert_eq!(leg.audio.poll_silence(silent), Some(false));
    let silent = silent + Duration::from_secs(6);
    assert_eq!(leg.audio.poll_silence(silent), Some(true));
    assert!(OutboundSrtcp::new(&key(2)).protect(&mut report));
    leg.audio.read(elsewhere, &report, Microphone::Open, silent);
    assert_eq!(leg.audio.poll_silence(silent), Some(false));
}

#[test]
fn a_re_invite_with_the_same_keys_repeats_no_key_stream_and_allows_no_replay() {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    leg.attach(locked(1, 2), some_time());
    let (mut phone, mut ears) = (OutboundSrtp::new(&key(2)), InboundSrtp::new(&key(1)));
    let first = sealed(&mut phone, 1);
    assert!(speak(&mut leg, &first).is_some());
    let (_, mut bytes) = leg.audio.write(&far(111, 1), some_time()).unwrap();
    assert_eq!(ears.unprotect(&mut bytes), Ok(()));
    leg.attach(locked(1, 2), some_time());
    assert_eq!(speak(&mut leg, &first), None);
    assert!(speak(&mut leg, &sealed(&mut phone, 2)).is_some());
    let (_, mut bytes) = leg.audio.write(&far(111, 2), some_time()).unwrap();
    assert_eq!(ears.unprotect(&mut bytes), Ok(()));
}

#[test]
fn a_re_invite_with_another_key_of_the_phone_takes_that_one_alone() {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    leg.attach(locked(1, 2), some_time());
    leg.attach(locked(1, 4), some_time());
    assert_eq!(
        speak(&mut leg, &sealed(&mut OutboundSrtp::new(&key(2)), 1)),
        None
    );
    assert!(speak(&mut leg, &sealed(&mut OutboundSrtp::new(&key(4)), 1)).is_some());
    leg.attach(terms(), some_time());
    assert!(speak(&mut leg, &sound(96, 2)).is_some());
}

proptest! {
    #[test]
    fn any_datagram_is_taken_without_panic_and_accounted_for(
        datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>(), any::<u16>()), 1..40),
    ) {
        let mut leg = leg();
        let count = datagrams.len() as u64;
        for (mut bytes, like_sound, port) in datagrams {
            if let Some(start) = bytes.get_mut(..2).filter(|_| like_sound) {
                start.copy_from_slice(&[0x80, 96]);
            }
            leg.audio.read(SocketAddr::new([127, 0, 0, 1].into(), port % 3), &bytes, Microphone::Open, some_time());
        }
        prop_assert_eq!(leg.audio.stats().0.arrived(), count);
    }
}

const CAMERA: &str = "127.0.0.1:9078";

/// A leg with video beside its audio; the phone's payload type is 100, ours 112.
fn seeing(keys: Option<SrtpKeyPair>) -> (NearLeg, NegotiatedMedia) {
    let mut leg = NearLeg::new(&mut ChaCha20Rng::from_seed([3; 32]));
    let terms = NegotiatedMedia {
        video: Some(NegotiatedVideo {
            local: at("127.0.0.1:40002"),
            remote: at(CAMERA),
            rtcp: RtcpDestination::NextPort,
            format: (VideoFormat::Vp8, 100),
            receives: true,
            feedback: KeyframeFeedback::default(),
            keys,
        }),
        ..terms()
    };
    leg.attach(terms.clone(), some_time());
    (leg, terms)
}

fn picture(sequence: u16, marker: bool, bytes: usize) -> Vec<u8> {
    let mut packet = RtpPacket {
        payload_type: 100,
        marker,
        sequence,
        timestamp: 3_000,
        ssrc: 0x2222_2222,
        payload: &[7; 2_000][..bytes],
    }
    .to_bytes();
    // A contributing source, and a header extension.
    packet[0] |= 0x11;
    packet.splice(12..12, [[0xaa; 4], [0xbe, 0xde, 0, 0]].concat());
    packet
}

fn shoot(leg: &mut NearLeg, bytes: &[u8], now: Instant) -> Option<FarPacket> {
    leg.video().read(at(CAMERA), bytes, Microphone::Open, now)
}

#[test]
fn video_crosses_with_its_markers_and_nothing_else_of_the_phone() {
    let (mut leg, now) = (seeing(None).0, some_time());
    let crossed: Vec<_> = [false, false, true, false]
        .into_iter()
        .zip(500..)
        .map(|(marker, sequence)| shoot(&mut leg, &picture(sequence, marker, 1_000), now).unwrap())
        .collect();
    let markers: Vec<_> = crossed.iter().map(|packet| packet.marker).collect();
    assert_eq!(markers, [false, false, true, false]);
    let first = &crossed[0];
    assert_eq!((first.payload_type, first.payload.len()), (112, 1_000));
    assert!(first.sequence != 500 && first.timestamp != 3_000);
    assert_eq!(crossed[3].sequence, first.sequence + 3);
    let (way, _) = leg.video().stats();
    assert_eq!((way.passed, leg.audio.stats().0.passed), (4, 0));
}

#[test]
fn video_reaches_the_phone_under_its_payload_type_and_at_its_own_port() {
    let (mut leg, now) = (seeing(None).0, some_time());
    let (to, bytes) = leg.video().write(&far(112, 4), now).unwrap();
    assert_eq!(to, at(CAMERA));
    let Ok(RtpDatagram::Rtp(packet)) = RtpDatagram::read(&bytes) else {
        panic!("no RTP");
    };
    assert_eq!((packet.payload_type, packet.marker), (100, false));
    assert_eq!(leg.audio.write(&far(112, 5), now), None);
    assert_eq!(leg.video().write(&far(111, 5), now), None);
}

#[test]
fn packets_that_do_not_fit_a_datagram_are_dropped_and_counted() {
    let (mut leg, now) = (seeing(None).0, some_time());
    assert!(shoot(&mut leg, &picture(1, true, 1_388), now).is_some());
    assert_eq!(shoot(&mut leg, &picture(2, true, 1_389), now), None);
    let mut packet = far(112, 1);
    packet.payload = vec![7; 1_389];
    assert_eq!(leg.video().write(&packet, now), None);
    let (from, to) = leg.video().stats();
    assert_eq!((from.dropped.oversized, to.dropped.oversized), (1, 1));
}

#[test]
fn video_beyond_the_rate_is_dropped_and_counted_and_audio_is_not() {
    let (mut leg, now) = (seeing(None).0, some_time());
    let passed = (0..400)
        .filter(|sequence| shoot(&mut leg, &picture(*sequence, true, 1_250), now).is_some());
    assert_eq!(passed.count(), 150);
    assert_eq!(leg.video().stats().0.dropped.throttled, 250);
    assert!(
        leg.audio
            .read(at(PHONE), &sound(96, 1), Microphone::Open, now)
            .is_some()
    );
    assert_eq!(leg.audio.stats().0.dropped.throttled, 0);
}

#[test]
fn without_agreed_video_none_passes() {
    let (mut leg, now) = (leg(), some_time());
    assert_eq!(shoot(&mut leg, &picture(1, true, 100), now), None);
    assert_eq!(leg.video().write(&far(112, 1), now), None);
    assert_eq!(leg.video().stats().0.dropped.nowhere, 1);
}

#[test]
fn no_video_passes_before_the_microphone_opens() {
    let (mut leg, now) = (seeing(None).0, some_time());
    let seen = leg
        .video()
        .read(at(CAMERA), &picture(1, true, 100), Microphone::Muted, now);
    assert_eq!(seen, None);
    assert_eq!(leg.video().stats().0.dropped.muted, 1);
}

fn keyframe_request(ssrc: u32) -> Vec<u8> {
    rtcp::write_keyframe_request(ssrc, 1, KeyframeRequest::PictureLoss)
}

#[test]
fn a_keyframe_request_is_read_from_either_port_of_the_phone_and_from_no_other() {
    let (mut leg, now) = (seeing(None).0, some_time());
    // What the terms begin with.
    assert!(leg.video().takes_keyframe_request(now));
    let later = |millis| now + Duration::from_millis(millis);
    for (millis, from) in [(300, CAMERA), (900, "127.0.0.1:9079")] {
        assert!(!leg.video().takes_keyframe_request(later(millis)));
        leg.video().read(
            at(from),
            &keyframe_request(9),
            Microphone::Open,
            later(millis),
        );
        assert!(leg.video().takes_keyframe_request(later(millis)));
        leg.video().read(
            at(from),
            &keyframe_request(9),
            Microphone::Open,
            later(millis + 1),
        );
        assert!(
            !leg.video().takes_keyframe_request(later(millis + 1)),
            "one at a time"
        );
        assert!(
            leg.video().takes_keyframe_request(later(millis + 250)),
            "but not forgotten"
        );
    }
    leg.video().read(
        at("192.0.2.7:9079"),
        &keyframe_request(9),
        Microphone::Open,
        later(2_000),
    );
    assert!(!leg.video().takes_keyframe_request(later(2_000)));
    assert_eq!(leg.video().stats().0.dropped.stranger, 1);
    assert_eq!(leg.video().stats().0.dropped.rtcp, 4);
}

#[test]
fn the_phone_is_asked_in_its_own_way_once_it_is_known_who_sends() {
    for (feedback, kind) in [
        (KeyframeFeedback::default(), 0x81),
        (
            KeyframeFeedback {
                pli: true,
                fir: true,
            },
            0x81,
        ),
        (
            KeyframeFeedback {
                pli: false,
                fir: true,
            },
            0x84,
        ),
    ] {
        let (mut leg, mut terms) = seeing(None);
        if let Some(video) = &mut terms.video {
            video.feedback = feedback;
        }
        leg.attach(terms, some_time());
        let now = some_time();
        leg.video().request_keyframe();
        assert_eq!(leg.poll_video_rtcp(now), None);
        shoot(&mut leg, &picture(1, true, 100), now);
        let (to, bytes) = leg.poll_video_rtcp(now).unwrap();
        assert_eq!(to, at("127.0.0.1:9079"));
        assert_eq!(bytes[28], kind);
        assert!(rtcp::read(&bytes).unwrap().requests_keyframe);
        assert_eq!(leg.poll_video_rtcp(now), None);
    }
}

#[test]
fn rtcp_goes_where_the_phone_wants_it() {
    for (place, expected) in [
        (RtcpDestination::NextPort, "127.0.0.1:9079"),
        (RtcpDestination::SamePort, CAMERA),
        (
            RtcpDestination::Elsewhere(at("127.0.0.1:9999")),
            "127.0.0.1:9999",
        ),
    ] {
        let (mut leg, mut terms) = seeing(None);
        if let Some(video) = &mut terms.video {
            video.rtcp = place;
        }
        leg.attach(terms, some_time());
        let now = some_time();
        shoot(&mut leg, &picture(1, true, 100), now);
        leg.video().request_keyframe();
        assert_eq!(leg.poll_video_rtcp(now).unwrap().0, at(expected));
    }
}

fn pair() -> SrtpKeyPair {
    let key = |seed| {
        SrtpKey::random(
            SrtpSuite::AesCm128Sha1Tag32,
            &mut ChaCha20Rng::from_seed([seed; 32]),
        )
    };
    SrtpKeyPair {
        ours: key(1),
        theirs: key(2),
    }
}

#[test]
fn keyframe_requests_are_encrypted_where_video_is() {
    let keys = pair();
    let (mut leg, now) = (seeing(Some(keys.clone())).0, some_time());
    let (mut sealer, mut control) = (
        OutboundSrtp::new(&keys.theirs),
        OutboundSrtcp::new(&keys.theirs),
    );
    let mut bytes = picture(1, true, 100);
    sealer.protect(&mut bytes);
    assert!(shoot(&mut leg, &bytes, now).is_some());
    assert!(leg.video().takes_keyframe_request(now));
    let later = now + Duration::from_secs(1);
    leg.video()
        .read(at(CAMERA), &keyframe_request(9), Microphone::Open, later);
    assert!(
        !leg.video().takes_keyframe_request(later),
        "an unencrypted request"
    );
    let mut bytes = keyframe_request(9);
    control.protect(&mut bytes);
    leg.video()
        .read(at(CAMERA), &bytes, Microphone::Open, later);
    assert!(leg.video().takes_keyframe_request(later));
    let much_later = later + Duration::from_secs(1);
    leg.video()
        .read(at(CAMERA), &bytes, Microphone::Open, much_later);
    assert!(
        !leg.video().takes_keyframe_request(much_later),
        "a replayed request"
    );
    leg.video().request_keyframe();
    let (_, mut told) = leg.poll_video_rtcp(later).unwrap();
    assert!(!rtcp::read(&told).is_some_and(|heard| heard.requests_keyframe));
    InboundSrtcp::new(&keys.ours).unprotect(&mut told).unwrap();
    assert!(rtcp::read(&told).unwrap().requests_keyframe);
}

#[test]
fn video_that_comes_back_continues_under_its_key_without_repeating_a_number() {
    let keys = pair();
    let (mut leg, terms) = seeing(Some(keys.clone()));
    let now = some_time();
    let mut opener = InboundSrtp::new(&keys.ours);
    let mut seen = Vec::new();
    for round in 0..3 {
        for sequence in 0..30_000u16 {
            let number = sequence.wrapping_add(round * 30_000);
            let now = now + Duration::from_secs(u64::from(number) + u64::from(round) * 30_000);
            if let Some((_, mut bytes)) = leg.video().write(&far(112, number), now) {
                opener.unprotect(&mut bytes).unwrap();
                seen.push(());
            }
        }
        let without = NegotiatedMedia {
            video: None,
            ..terms.clone()
        };
        leg.attach(without, some_time());
        assert_eq!(leg.video().write(&far(112, 1), now), None);
        leg.attach(terms.clone(), some_time());
    }
    assert_eq!(seen.len(), 90_000);
}

#[test]
fn a_phone_that_resumes_video_needs_a_keyframe() {
    let (mut leg, terms) = seeing(None);
    let now = some_time();
    assert!(leg.video().takes_keyframe_request(now));
    let mut held = terms.clone();
    if let Some(video) = &mut held.video {
        video.receives = false;
    }
    leg.attach(held, some_time());
    let later = now + Duration::from_secs(1);
    assert_eq!(leg.video().write(&far(112, 1), later), None);
    assert!(!leg.video().takes_keyframe_request(later));
    leg.attach(terms, some_time());
    assert!(leg.video().takes_keyframe_request(later));
}
