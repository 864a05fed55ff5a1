mod long_call;

use super::*;
use crate::frame::blocks;
use crate::rtcp::read;
use crate::srtp::SrtpSuite;
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

const AUDIO: StreamSsrcs = StreamSsrcs { ours: 1, theirs: 2 };
const VIDEO: StreamSsrcs = StreamSsrcs { ours: 3, theirs: 4 };

fn keys(is_client: bool) -> SrtpKeyPair {
    let material: Vec<u8> = (0..88).collect();
    SrtpKeyPair::from_dtls(SrtpSuite::AesGcm256, &material, is_client).unwrap()
}

/// Both ends of a session.
fn pair(now: Instant) -> [RtpSession; 2] {
    let turned = |ssrcs: StreamSsrcs| StreamSsrcs {
        ours: ssrcs.theirs,
        theirs: ssrcs.ours,
    };
    [
        RtpSession::new(&keys(true), AUDIO, Some(VIDEO), 7, now),
        RtpSession::new(&keys(false), turned(AUDIO), Some(turned(VIDEO)), 8, now),
    ]
}

fn packet(payload_type: u8, sequence: u16) -> FarPacket {
    FarPacket {
        payload_type,
        marker: false,
        sequence,
        timestamp: u32::from(sequence) * 160,
        payload: vec![0x55; 160],
    }
}

#[test]
fn media_of_both_streams_passes_once_and_unchanged() {
    let now = crate::some_time();
    let [mut one, mut two] = pair(now);
    for payload_type in [0, 112] {
        for sequence in [65_534, 65_535, 0, 1] {
            let sent = packet(payload_type, sequence);
            let wire = one.write(&sent, now).unwrap();
            assert_eq!(wire.len(), 12 + 160 + 16);
            assert_eq!(two.open(wire.clone(), now), Some(OpenedPacket::Rtp(sent)));
            assert_eq!(two.open(wire, now), None, "a second time");
        }
    }
}

#[test]
fn a_number_is_sealed_once_in_each_stream() {
    let now = crate::some_time();
    let [mut one, _] = pair(now);
    for payload_type in [0, 112] {
        assert!(one.write(&packet(payload_type, 9), now).is_some());
        assert!(one.write(&packet(payload_type, 9), now).is_none());
        // Another format is no other stream.
        assert!(one.write(&packet(payload_type + 1, 9), now).is_none());
    }
}

#[test]
fn media_of_no_stream_or_of_the_wrong_one_is_not_handed_on() {
    let now = crate::some_time();
    let [mut one, _] = pair(now);
    let seal = |ssrc, payload_type, sequence| {
        let plain = RtpPacket {
            payload_type,
            marker: false,
            sequence,
            timestamp: 0,
            ssrc,
            payload: b"sound",
        };
        let mut bytes = plain.to_bytes();
        assert!(OutboundSrtp::new(&keys(false).ours).protect(&mut bytes));
        bytes
    };
    assert_eq!(one.open(seal(9, 0, 1), now), None, "of no stream");
    for (ssrc, payload_type) in [(AUDIO.theirs, 112), (VIDEO.theirs, 0)] {
        let wrong = seal(ssrc, payload_type, 1);
        assert_eq!(one.open(wrong, now), Some(OpenedPacket::Other));
    }
    let mut forged = seal(AUDIO.theirs, 0, 2);
    forged[20] ^= 1;
    assert_eq!(one.open(forged, now), None);
    assert!(one.open(seal(AUDIO.theirs, 0, 2), now).is_some());
}

/// Opens a packet of RTCP of `two` with the keys that `one` has for it.
fn control(opener: &mut InboundSrtcp, mut wire: Vec<u8>) -> Vec<u8> {
    assert_eq!(wire.len(), 84 + 16 + 4);
    opener.unprotect(&mut wire).unwrap();
    wire
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn a_report_tells_what_was_sent_and_what_came() {
    let start = crate::some_time();
    let [mut one, mut two] = pair(start);
    // Every fifth packet is lost, and each comes 10 ms later or sooner than the one before should.
    for sequence in 0..100u16 {
        let now = start + MS(20 * u64::from(sequence));
        let wire = two.write(&packet(0, sequence), now).unwrap();
        let late = now + MS(10 * u64::from(sequence % 2));
        if sequence % 5 != 1 {
            one.open(wire, late);
        }
        one.write(&packet(0, sequence), now).unwrap();
    }
    let now = start + MS(2_000);
    let theirs = two.audio.report(None, now);
    let theirs = two.seal_control(theirs).unwrap();
    assert_eq!(one.open(theirs, now), Some(OpenedPacket::Other));
    let now = now + MS(500);
    let report = one.audio.report(None, now);
    assert_eq!(word(&report, 4), AUDIO.ours);
    // The timestamp of this moment: 2.5 s of 8 kHz, which is 520 ms after the newest packet.
    assert_eq!(word(&report, 16), 99 * 160 + 520 * 8);
    assert_eq!([word(&report, 20), word(&report, 24)], [100, 16_000]);
    assert_eq!(word(&report, 28), AUDIO.theirs);
    assert_eq!(word(&report, 32), (256 * 20 / 100) << 24 | 20);
    assert_eq!(word(&report, 36), 99);
    let jitter = word(&report, 40);
    assert!((40..=80).contains(&jitter), "{jitter}");
    assert_eq!([word(&report, 44), word(&report, 48)], [2 << 16, 1 << 15]);
    // Nothing was lost since.
    let wire = two.write(&packet(0, 100), now).unwrap();
    one.open(wire, now);
    assert_eq!(word(&one.audio.report(None, now), 32), 20);
}

/// A frame of Opus, or of fill.
fn frame(sequence: u16, has_sound: bool) -> FarPacket {
    let sound = has_sound.then_some((111, &[9 << 3; 70][..]));
    FarPacket {
        timestamp: u32::from(sequence) * 960,
        payload: blocks::write(113, (0, None), &[], sound).unwrap(),
        ..packet(96, sequence)
    }
}

#[test]
fn frames_have_the_clock_of_their_codec_and_fill_that_of_the_frames_before() {
    let start = crate::some_time();
    let [mut one, mut two] = pair(start);
    for sequence in 0..200u16 {
        let now = start + MS(20 * u64::from(sequence));
        let wire = two.write(&frame(sequence, sequence < 50), now).unwrap();
        if sequence % 10 != 0 {
            one.open(wire, now + MS(10 * u64::from(sequence % 2)));
        }
    }
    let now = start + MS(4_000);
    let report = one.audio.report(None, now);
    let jitter = word(&report, 40);
    assert!(
        (240..=480).contains(&jitter),
        "5 to 10 ms of 48 kHz: {jitter}"
    );
    let lost = word(&report, 32) >> 24;
    assert_eq!(lost, 24, "a tenth but for the first");
    let report = two.audio.report(None, now);
    assert_eq!(word(&report, 16), 199 * 960 + 20 * 48);
}

#[test]
fn reports_have_one_size_and_a_pace_that_nothing_moves() {
    let start = crate::some_time();
    let [mut silent, mut other] = pair(start);
    let [mut speaking, _] = pair(start);
    let mut times = Vec::new();
    for at in (0..600_000).step_by(20) {
        let now = start + MS(at);
        speaking.write(&packet(0, (at / 20) as u16), now).unwrap();
        let reports = [&mut silent, &mut speaking].map(|session| session.poll_report(now));
        assert_eq!(reports[0].is_some(), reports[1].is_some());
        for report in reports.into_iter().flatten() {
            assert_eq!(report.len(), 104);
            times.push(at);
        }
        if at % 7_000 == 0 {
            let request = silent.request_keyframe(now).unwrap();
            assert_eq!(request.len(), 104);
            assert_eq!(
                other.open(request, now),
                Some(OpenedPacket::KeyframeRequest)
            );
        }
    }
    // Two streams of two sessions, 5 s on average.
    assert!((440..=520).contains(&times.len()), "{}", times.len());
}

#[test]
fn each_stream_says_goodbye() {
    let now = crate::some_time();
    let [mut one, _] = pair(now);
    let mut opener = InboundSrtcp::new(&keys(false).theirs);
    let last: Vec<_> = one.leave(now);
    let last: Vec<_> = last
        .into_iter()
        .map(|wire| control(&mut opener, wire))
        .collect();
    assert_eq!(last.len(), 2);
    for (bytes, ssrc) in last.iter().zip([AUDIO.ours, VIDEO.ours]) {
        assert_eq!(bytes[73], 203);
        assert_eq!([word(bytes, 4), word(bytes, 76)], [ssrc, ssrc]);
        assert!(read(bytes).is_some());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120), control: bool) {
        let now = crate::some_time();
        let [mut one, _] = pair(now);
        if let Some(start) = bytes.get_mut(..8).filter(|_| control) {
            start.copy_from_slice(&[0x81, 200, 0, 12, 0, 0, 0, 2]);
        }
        prop_assert_eq!(one.open(bytes, now), None);
    }

    #[test]
    fn whatever_is_written_no_bytes_of_a_key_stream_are_used_twice(
        packets in prop::collection::vec((any::<u16>(), any::<bool>(), 0u8..4), 1..200),
    ) {
        let now = crate::some_time();
        let [mut one, _] = pair(now);
        let mut sealed = std::collections::BTreeMap::new();
        for (sequence, is_video, turn) in packets {
            // The same numbers again and again, with other content.
            let mut plain = packet(if is_video { 112 } else { 0 }, sequence % 300);
            plain.payload[0] = turn;
            if let Some(wire) = one.write(&plain, now) {
                let key_stream: Vec<u8> = wire[12..].iter().zip(&plain.payload).map(|(one, two)| one ^ two).collect();
                prop_assert!(sealed.insert(key_stream, sequence).is_none());
            }
        }
    }
}
