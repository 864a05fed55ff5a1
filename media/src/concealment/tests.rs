use std::f32::consts::TAU;

use super::*;
use crate::g711;

/// A buzz of some harmonics of a pitch that glides, swelling and ebbing, as mu-law or A-law.
fn buzz(codec: Codec, packets: usize, harmonics: u8) -> Vec<Vec<u8>> {
    let mut phase = 0.0;
    let samples = (0..packets * 160).map(|at| {
        let time = at as f32 / 8_000.0;
        phase += TAU * (120.0 + 15.0 * (TAU * 0.7 * time).sin()) / 8_000.0;
        let harmonics = (1..=harmonics).map(|n| (phase * f32::from(n)).sin() / f32::from(n));
        let level = 4_000.0 + 2_000.0 * (TAU * 3.0 * time).sin();
        compress_as(codec, (harmonics.sum::<f32>() * level) as i16)
    });
    let samples: Vec<_> = samples.collect();
    samples.chunks(160).map(<[u8]>::to_vec).collect()
}

fn voice(codec: Codec, packets: usize) -> Vec<Vec<u8>> {
    buzz(codec, packets, 11)
}

/// What a phone hears when these packets are lost, and whether anything was concealed.
fn heard(packets: &[Vec<u8>], codec: Codec, is_lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut concealer = Concealer::default();
    let heard = packets.iter().enumerate().flat_map(|(number, packet)| {
        let payload = match is_lost(number) {
            true => concealer.conceal().map(|(_, payload)| payload),
            false => {
                let mut payload = packet.clone();
                concealer.pass(codec, &mut payload);
                Some(payload)
            }
        };
        payload.unwrap_or_else(|| vec![compress_as(codec, 0); 160])
    });
    heard.map(|byte| expand_as(codec, byte)).collect()
}

fn samples(packets: &[Vec<u8>], codec: Codec) -> Vec<i16> {
    let bytes = packets.iter().flatten();
    bytes.map(|byte| expand_as(codec, *byte)).collect()
}

/// How much stronger the sound is than what was changed in it, in decibels, over these samples.
fn likeness(one: &[i16], two: &[i16]) -> f32 {
    let power = |samples: &mut dyn Iterator<Item = f32>| samples.map(|it| it * it).sum::<f32>();
    let sound = power(&mut one.iter().map(|it| f32::from(*it)));
    let change = power(
        &mut one
            .iter()
            .zip(two)
            .map(|(a, b)| f32::from(*a) - f32::from(*b)),
    );
    10.0 * (sound / change.max(1.0)).log10()
}

#[test]
fn a_lost_packet_of_a_voice_is_filled_with_what_is_like_it() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let packets = voice(codec, 100);
        let said = samples(&packets, codec);
        let lost = |number: usize| number % 10 == 5;
        let filled = heard(&packets, codec, lost);
        let mut worst = f32::MAX;
        for number in (0..100).filter(|number| lost(*number)) {
            let place = number * 160..(number + 1) * 160;
            worst = worst.min(likeness(&said[place.clone()], &filled[place]));
        }
        assert!(worst > 6.0, "{codec:?}: {worst} dB");
        // Beyond the fade nothing else is changed.
        let untouched = (0..16_000).filter(|at| !(at % 1_600 >= 800 && at % 1_600 < 1_040));
        assert!(untouched.into_iter().all(|at| said[at] == filled[at]));
    }
}

#[test]
fn no_joint_clicks() {
    let codec = Codec::Pcmu;
    let packets = buzz(codec, 200, 1);
    let steps = |samples: &[i16]| {
        let pairs = samples.windows(2);
        pairs.map(|pair| pair[1].abs_diff(pair[0])).max().unwrap()
    };
    let said = steps(&samples(&packets, codec));
    for burst in 1..=6 {
        let filled = heard(&packets, codec, |number| number % 20 >= 20 - burst);
        let step = steps(&filled);
        assert!(step <= said * 3 / 2, "{burst}: {step} and {said}");
    }
}

#[test]
fn what_is_lost_for_long_fades_and_ends() {
    let packets = voice(Codec::Pcmu, 10);
    let mut concealer = Concealer::default();
    assert!(
        concealer.conceal().is_none(),
        "there is nothing to go on from"
    );
    for packet in packets {
        concealer.pass(Codec::Pcmu, &mut packet.clone());
    }
    let mut levels = Vec::new();
    while let Some((codec, payload)) = concealer.conceal() {
        assert_eq!((codec, payload.len()), (Codec::Pcmu, 160));
        let power = payload
            .iter()
            .map(|byte| f32::from(g711::expand(*byte)).powi(2));
        levels.push((power.sum::<f32>() / 160.0).sqrt());
    }
    assert_eq!(levels.len(), 3, "60 ms");
    assert!(
        levels[0] > 1_000.0 && levels[1] < levels[0] && levels[2] < levels[1] / 2.0,
        "{levels:?}"
    );
    concealer.forget();
    assert!(concealer.conceal().is_none());
}

/// A voice at 16 kHz in G.722, and what a decoder makes of all of it.
fn wide_voice() -> (Vec<Vec<u8>>, Vec<i16>) {
    let said = samples(&voice(Codec::Pcmu, 200), Codec::Pcmu);
    let pairs = said.windows(2);
    let wide = pairs.flat_map(|pair| [pair[0], pair[0] / 2 + pair[1] / 2]);
    let wide: Vec<i16> = wide.collect();
    let mut encoder = G722Encoder::following(G722Decoder::default());
    let bytes = encoder.encode(&wide);
    let packets: Vec<_> = bytes.chunks_exact(160).map(<[u8]>::to_vec).collect();
    let whole = G722Decoder::default().decode(&packets.concat());
    (packets, whole)
}

#[test]
fn g722_is_gone_on_from_in_the_state_of_the_phones_decoder() {
    let (packets, whole) = wide_voice();
    let lost = |number: usize| number % 10 == 9;
    let heard = |conceals: bool| {
        let mut concealer = Concealer::default();
        let got = packets.iter().enumerate().map(|(number, packet)| {
            let mut payload = packet.clone();
            if lost(number) {
                let (codec, concealed) = concealer.conceal().unwrap();
                assert_eq!((codec, concealed.len()), (Codec::G722, 160));
                return if conceals { concealed } else { vec![0xff; 160] };
            }
            concealer.pass(Codec::G722, &mut payload);
            assert_eq!(payload, *packet);
            payload
        });
        G722Decoder::default().decode(&got.collect::<Vec<_>>().concat())
    };
    // In place of the lost packets, and in the packets after them but for 5 ms.
    let mean = |heard: &[i16], samples: std::ops::Range<usize>| {
        let numbers = (0..packets.len() - 1).filter(|number| lost(*number));
        let places = numbers.map(|number| number * 320 + samples.start..number * 320 + samples.end);
        let ratios: Vec<_> = places
            .map(|place| likeness(&whole[place.clone()], &heard[place]))
            .collect();
        ratios.iter().sum::<f32>() / ratios.len() as f32
    };
    let (filled, bare) = (heard(true), heard(false));
    let ratios = [
        mean(&filled, 0..320),
        mean(&filled, 400..640),
        mean(&bare, 400..640),
    ];
    assert!(ratios[0] > 6.0 && ratios[1] > 10.0, "{ratios:?} dB");
    assert!(ratios[1] > ratios[2] + 3.0, "{ratios:?} dB");
}

#[test]
fn silence_noise_and_packets_of_any_length_are_gone_on_from() {
    let mut rng = fastrand::Rng::with_seed(1);
    for codec in [Codec::Pcma, Codec::G722] {
        let mut concealer = Concealer::default();
        for length in [1, 7, 80, 160, 240, 480, 960] {
            for _ in 0..3 {
                let mut packet: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
                concealer.pass(codec, &mut packet);
            }
            let (_, payload) = concealer.conceal().unwrap();
            assert_eq!(payload.len(), length);
            concealer.pass(codec, &mut vec![0xd5; length]);
        }
        concealer.pass(Codec::Opus, &mut [0; 70]);
        assert!(concealer.conceal().is_none());
    }
}
