//! Tones through every pair of codecs, packets of every length, numbers in step, and what is missing.

mod an_hour;

use std::f32::consts::TAU;
use std::sync::OnceLock;
use std::time::Duration;

use proptest::prelude::*;

use super::sound::{SoundDecoder, SoundEncoder, rate};
use super::*;
use crate::some_time;
use Codec::{Events8k, Events48k, G722, Opus, Pcma, Pcmu};

const SOUND: [Codec; 4] = [Pcmu, Pcma, G722, Opus];

/// Samples a second of the tests' own Opus.
const OPUS_RATE: usize = 48_000;

fn samples_a_second(codec: Codec) -> usize {
    rate(codec).unwrap_or(OPUS_RATE)
}

fn tone(hertz: f32, rate: usize, millis: usize) -> Vec<i16> {
    let at = |place: usize| (TAU * hertz * place as f32 / rate as f32).sin() * 8_000.0;
    (0..rate * millis / 1_000)
        .map(|at_| at(at_) as i16)
        .collect()
}

/// How much of some sound is this tone, from 0 to 1.
fn share(samples: &[i16], hertz: f32, rate: usize) -> f32 {
    let turn = |place: usize| TAU * hertz * place as f32 / rate as f32;
    let parts = samples.iter().enumerate().map(|(place, sample)| {
        let sample = f32::from(*sample);
        (
            sample * turn(place).cos(),
            sample * turn(place).sin(),
            sample * sample,
        )
    });
    let (re, im, power) = parts.fold((0.0, 0.0, 0.0), |sum, part| {
        (sum.0 + part.0, sum.1 + part.1, sum.2 + part.2)
    });
    2.0 * (re * re + im * im) / (samples.len() as f32 * power).max(1.0)
}

fn loudness(samples: &[i16]) -> f32 {
    let squares = samples.iter().map(|it| f32::from(*it).powi(2)).sum::<f32>();
    (squares / samples.len().max(1) as f32).sqrt()
}

/// Packets of so many milliseconds of sound.
fn packets(codec: Codec, sound: &[i16], millis: usize) -> Vec<FarPacket> {
    let mut encoder = SoundEncoder::new(codec, OPUS_RATE).unwrap();
    let step = samples_a_second(codec) * millis / 1_000;
    let ticks = codec.clock() / 1_000 * millis as u32;
    let packet = |(place, sound): (usize, &[i16])| FarPacket {
        payload_type: codec.far_payload_type(),
        marker: place == 0,
        sequence: (place as u16).wrapping_sub(10),
        timestamp: (place as u32 * ticks).wrapping_sub(5_000),
        payload: encoder.encode(sound).unwrap(),
    };
    sound.chunks_exact(step).enumerate().map(packet).collect()
}

/// When a packet comes, if it is not longer than 120 ms.
fn in_time(at: usize) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(some_time) + Duration::from_millis(120) * at as u32
}

fn heard(codec: Codec, packets: &[FarPacket]) -> Vec<i16> {
    let mut decoder = SoundDecoder::new(codec, OPUS_RATE).unwrap();
    let sound = packets.iter().map(|packet| {
        assert_eq!(packet.payload_type, codec.far_payload_type());
        decoder.decode(&packet.payload).unwrap()
    });
    sound.flatten().collect()
}

fn up(phone: Codec, carried: Codec, packets: &[FarPacket]) -> Vec<FarPacket> {
    let mut transcoder = Transcoder::between(&[phone], &[carried]).unwrap();
    let carried = packets.iter().enumerate();
    carried
        .filter_map(|(at, packet)| transcoder.send(packet, in_time(at)))
        .collect()
}

fn down(phone: Codec, carried: Codec, packets: &[FarPacket]) -> Vec<FarPacket> {
    let mut transcoder = Transcoder::between(&[phone], &[carried]).unwrap();
    let mut out = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        transcoder.receive(packet, in_time(at));
        out.extend(std::iter::from_fn(|| transcoder.poll()));
    }
    out
}

#[test]
fn a_tone_is_the_same_tone_in_every_other_codec_both_ways() {
    for from in SOUND {
        for to in SOUND.into_iter().filter(|to| *to != from) {
            let said = packets(from, &tone(1_000.0, samples_a_second(from), 1_000), 20);
            for carried in [up(from, to, &said), down(to, from, &said)] {
                assert_eq!(carried.len(), said.len());
                let rate = samples_a_second(to);
                let heard = &heard(to, &carried)[rate / 5..];
                assert!(share(heard, 1_000.0, rate) > 0.95, "{from:?} {to:?}");
                let loud = loudness(heard);
                assert!(
                    (4_500.0..7_000.0).contains(&loud),
                    "{from:?} {to:?}: {loud}"
                );
            }
        }
    }
}

#[test]
fn packets_of_every_length_keep_it_and_those_of_opus_have_one_size() {
    for (from, to) in [(Pcma, Opus), (G722, Opus), (Opus, Pcmu), (Pcmu, G722)] {
        for millis in [10, 20, 30, 40, 50, 60, 80, 120] {
            let sound = tone(700.0, samples_a_second(from), 1_200);
            let said = packets(from, &sound, millis);
            let carried = up(from, to, &said);
            assert_eq!(carried.len(), said.len(), "{from:?} {to:?} {millis}");
            let rate = samples_a_second(to);
            let heard = heard(to, &carried);
            assert_eq!(heard.len(), said.len() * millis * rate / 1_000);
            assert!(
                share(&heard[rate / 5..], 700.0, rate) > 0.9,
                "{from:?} {to:?} {millis}"
            );
            let sizes: Vec<_> = carried.iter().map(|it| it.payload.len()).collect();
            assert!(
                sizes.iter().all(|size| *size == sizes[0]),
                "{millis}: {sizes:?}"
            );
            if to == Opus {
                let room = crate::frame::class::OPUS_BITS / 8 * millis / 1_000;
                assert!(sizes[0] <= room, "{millis}: {} of {room}", sizes[0]);
            }
            for (before, after) in said.iter().zip(&carried) {
                assert_eq!(
                    (after.sequence, after.marker),
                    (before.sequence, before.marker)
                );
            }
            let steps = carried
                .windows(2)
                .map(|two| two[1].timestamp.wrapping_sub(two[0].timestamp));
            let step = to.clock() / 1_000 * millis as u32;
            assert!(
                steps.into_iter().all(|it| it == step),
                "{from:?} {to:?} {millis}"
            );
        }
    }
}

#[test]
fn an_odd_length_waits_for_the_next_and_keeps_its_time() {
    let sound = tone(500.0, 8_000, 1_000);
    let mut said = Vec::new();
    let mut place = 0;
    for (number, samples) in [200, 96, 24, 160, 7, 160, 153].into_iter().enumerate() {
        let mut packet = packets(Pcmu, &sound[place..place + 160], 20).remove(0);
        packet.payload = sound[place..place + samples]
            .iter()
            .map(|it| crate::g711::compress(*it))
            .collect();
        (packet.sequence, packet.timestamp) = (number as u16, place as u32);
        packet.marker = false;
        said.push(packet);
        place += samples;
    }
    let carried = up(Pcmu, Opus, &said);
    let mut next = carried[0].timestamp;
    let decoder = opus::MonoDecoder::new(48_000).unwrap();
    for packet in &carried {
        assert_eq!(packet.timestamp, next, "no gap and no overlap");
        next = next.wrapping_add(decoder.samples(&packet.payload).unwrap() as u32);
    }
    assert_eq!(next.wrapping_sub(carried[0].timestamp), place as u32 * 6);
}

#[test]
fn lost_opus_is_concealed_for_a_phone_that_could_not() {
    let said = packets(Opus, &tone(300.0, OPUS_RATE, 1_000), 20);
    let lossy = said.iter().enumerate();
    let lossy: Vec<_> = lossy
        .filter(|(at, _)| ![20, 30, 31, 32].contains(at))
        .map(|(_, packet)| packet.clone())
        .collect();
    let carried = down(Pcma, Opus, &lossy);
    assert_eq!(carried.len(), said.len());
    let numbers: Vec<_> = carried.iter().map(|it| it.sequence).collect();
    assert!(
        numbers
            .windows(2)
            .all(|two| two[1] == two[0].wrapping_add(1))
    );
    let steps = carried
        .windows(2)
        .map(|two| two[1].timestamp.wrapping_sub(two[0].timestamp));
    assert!(steps.into_iter().all(|it| it == 160));
    let sound = heard(Pcma, &carried);
    for at in [20, 30] {
        let loud = loudness(&sound[at * 160..(at + 1) * 160]);
        assert!(loud > 2_000.0, "{at}: {loud}");
    }
    // An outage is none of its business.
    let outage: Vec<_> = said[..10].iter().chain(&said[20..]).cloned().collect();
    assert_eq!(down(Pcma, Opus, &outage).len(), outage.len());
    // A phone of Opus conceals by itself.
    let said = packets(Pcma, &tone(300.0, 8_000, 400), 20);
    let lossy: Vec<_> = said[..5].iter().chain(&said[7..]).cloned().collect();
    assert_eq!(down(Opus, Pcma, &lossy).len(), lossy.len());
}

/// A phone that pauses sends one byte now and then (RFC 6716 section 3.1, DTX), and nothing between.
#[test]
fn a_pause_of_opus_is_quiet_sound_and_no_burst() {
    let said = packets(Opus, &tone(300.0, OPUS_RATE, 400), 20);
    let last = &said[said.len() - 1];
    let pause = (1..30_u16).map(|place| FarPacket {
        sequence: last.sequence + place,
        timestamp: last.timestamp + 960 * 20 * u32::from(place),
        payload: last.payload[..1].to_vec(),
        ..last.clone()
    });
    let all: Vec<_> = said.iter().cloned().chain(pause).collect();
    for carried in [up(Opus, Pcmu, &all), down(Pcmu, Opus, &all)] {
        assert_eq!(carried.len(), all.len());
        let heard = heard(Pcmu, &carried[said.len() + 15..]);
        assert!(loudness(&heard) < 500.0, "{}", loudness(&heard));
    }
}

#[test]
fn what_comes_behind_another_packet_is_not_decoded() {
    let mut said = packets(G722, &tone(300.0, 16_000, 200), 20);
    said.swap(4, 5);
    said.push(said[9].clone());
    assert_eq!(up(G722, Opus, &said).len(), 9);
}

#[test]
fn key_presses_change_their_clock_or_stay_for_the_near_leg() {
    let press = |millis: u16, flags: u8, codec: Codec| {
        let [high, low] = (millis * (codec.clock() / 1_000) as u16).to_be_bytes();
        FarPacket {
            payload_type: codec.far_payload_type(),
            marker: true,
            sequence: 77,
            timestamp: 9_600,
            payload: vec![5, flags, high, low],
        }
    };
    let mut both = Transcoder::between(&[Pcma, Events8k], &[Opus, Events48k]).unwrap();
    assert_eq!(
        both.send(&press(100, 0x8a, Events8k), in_time(0)),
        Some(press(100, 0x8a, Events48k))
    );
    both.receive(&press(100, 0x8a, Events48k), in_time(0));
    assert_eq!(both.poll(), Some(press(100, 0x8a, Events8k)));
    // 10 s are more than 48 kHz can say.
    let mut long = press(10, 0, Events8k);
    long.payload[2..].copy_from_slice(&[0xff, 0xff]);
    long.sequence += 1;
    assert_eq!(
        both.send(&long, in_time(0)).unwrap().payload[2..],
        [0xff, 0xff]
    );
    let mut one = Transcoder::between(&[Pcma], &[Opus, Events48k]).unwrap();
    one.receive(&press(100, 0x8a, Events48k), in_time(0));
    assert_eq!(one.poll(), Some(press(100, 0x8a, Events48k)));
}

/// Sound without end is no more work than twice what a person says.
#[test]
fn a_packet_that_is_too_long_is_dropped_and_does_not_wait() {
    let mut transcoder = Transcoder::between(&[Opus], &[Pcmu]).unwrap();
    for (sequence, bytes) in [(1, 961), (2, 8_000), (3, 160)] {
        let packet = FarPacket {
            payload_type: 0,
            marker: false,
            sequence,
            timestamp: 0,
            payload: vec![0x55; bytes],
        };
        transcoder.receive(&packet, in_time(sequence.into()));
    }
    let carried: Vec<_> = std::iter::from_fn(|| transcoder.poll()).collect();
    assert_eq!(heard(Opus, &carried).len(), OPUS_RATE / 50);
}

#[test]
fn sound_of_another_codec_than_the_calls_is_dropped() {
    let mut transcoder = Transcoder::between(&[Opus], &[Pcmu]).unwrap();
    let packet = FarPacket {
        payload_type: Pcma.far_payload_type(),
        marker: false,
        sequence: 1,
        timestamp: 0,
        payload: vec![0x55; 160],
    };
    transcoder.receive(&packet, in_time(1));
    assert_eq!(transcoder.poll(), None);
}

#[test]
fn a_flood_is_not_transcoded() {
    let said = packets(Pcmu, &tone(300.0, 8_000, 10_000), 20);
    let mut transcoder = Transcoder::between(&[Opus], &[Pcmu]).unwrap();
    for packet in &said {
        transcoder.receive(packet, in_time(0));
    }
    let carried = std::iter::from_fn(|| transcoder.poll()).count();
    assert_eq!((said.len(), carried), (500, 50));
}

proptest! {
    #[test]
    fn no_payload_is_too_odd(
        pair in (0usize..4, 0usize..4).prop_filter("alike", |(one, two)| one != two),
        payloads in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..300)), 0..30),
    ) {
        let (phone, carried) = (SOUND[pair.0], SOUND[pair.1]);
        let mut transcoder = Transcoder::between(&[phone, Events8k], &[carried, Events48k]).unwrap();
        for (number, payload) in payloads {
            let packet = |codec: Codec| FarPacket {
                payload_type: codec.far_payload_type(),
                marker: number % 50 == 0,
                sequence: number % 40,
                timestamp: u32::from(number).wrapping_mul(977_000),
                payload: payload.clone(),
            };
            for codec in [phone, Events8k] {
                if let Some(packet) = transcoder.send(&packet(codec), in_time(0)) {
                    prop_assert!(packet.payload.len() <= 1_000);
                }
            }
            transcoder.receive(&packet(carried), in_time(0));
            prop_assert!(std::iter::from_fn(|| transcoder.poll()).count() <= 6);
        }
    }
}
