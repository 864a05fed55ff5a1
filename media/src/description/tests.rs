//! The bytes of descriptions: they come back, and there is one encoding of each.

use super::*;
use crate::video::{H264Profile, PacketizationMode};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn sample() -> Description {
    Description {
        ufrag: "aB3+".into(),
        pwd: "0123456789abcdefghij+/".into(),
        fingerprint: [7; 32],
        ssrc: 0xdead_beef,
        relayed_addresses: vec![
            "198.51.100.7:49152".parse().unwrap(),
            "[2001:db8::7]:1".parse().unwrap(),
        ],
        codecs: vec![Codec::Opus, Codec::Pcma, Codec::Events8k],
        video: None,
    }
}

fn h264(level: u8) -> VideoFormat {
    VideoFormat::H264 {
        profile: H264Profile::ConstrainedBaseline,
        level,
        packets: PacketizationMode::NonInterleaved,
    }
}

/// Every format, all different.
fn formats() -> Vec<VideoFormat> {
    let codes = [2, 3]
        .into_iter()
        .flat_map(|mode| (1..=5).map(move |profile| [mode, profile, 31]));
    let codes = std::iter::once([1, 0, 0]).chain(codes);
    codes
        .map(|code| VideoFormat::from_code(code).unwrap())
        .collect()
}

fn with_video() -> Description {
    let mut description = sample();
    description.video = Some(VideoDescription {
        ssrc: 0x0102_0304,
        formats: vec![VideoFormat::Vp8, h264(31)],
    });
    description
}

fn refused(change: impl FnOnce(&mut Description)) -> DescriptionError {
    let mut description = sample();
    change(&mut description);
    Description::decode(&description.encode()).unwrap_err()
}

prop_compose! {
    fn relay()(v4 in any::<bool>(), bytes in any::<[u8; 16]>(), port in 1u16..) -> SocketAddr {
        let [a, b, c, d, ..] = bytes;
        let ip = if v4 { IpAddr::from([a % 223 + 1, b, c, d]) } else { IpAddr::from([&[0x20, 1], &bytes[2..]].concat().first_chunk::<16>().copied().unwrap()) };
        SocketAddr::new(ip, port)
    }
}

prop_compose! {
    fn description()(
        ufrag in "[A-Za-z0-9+/]{4,32}", pwd in "[A-Za-z0-9+/]{22,64}", fingerprint: [u8; 32], ssrc: u32,
        relays in prop::collection::btree_set(relay(), 1..=4),
        audio in prop::sample::select(&Codec::ALL[..4]),
        video in prop::option::of((any::<u32>(), prop::sample::subsequence(formats(), 1..=8))),
        others in prop::sample::subsequence(&Codec::ALL[..], 0..=6),
    ) -> Description {
        let mut codecs = vec![audio];
        codecs.extend(others.into_iter().filter(|codec| *codec != audio));
        let video = video.map(|(its_ssrc, formats)| VideoDescription {
            ssrc: if its_ssrc == ssrc { !ssrc } else { its_ssrc },
            formats,
        });
        Description { ufrag, pwd, fingerprint, ssrc, relayed_addresses: relays.into_iter().collect(), codecs, video }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(description in description()) {
        let bytes = description.encode();
        prop_assert!(bytes.len() <= Description::MAX_BYTES);
        prop_assert_eq!(Description::decode(&bytes), Ok(description));
    }

    #[test]
    fn accepted_bytes_are_the_only_encoding(mut bytes in description().prop_map(|d| d.encode()), at: prop::sample::Index, to: u8) {
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(description) = Description::decode(&bytes) {
            prop_assert_eq!(description.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Description::decode(&bytes);
    }

    #[test]
    fn a_description_cut_short_or_drawn_out_is_refused(description in description(), cut: prop::sample::Index) {
        let mut bytes = description.encode();
        prop_assert!(Description::decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert_eq!(Description::decode(&bytes), Err(DescriptionError::Trailing));
    }
}

#[test]
fn the_bytes_are_these() {
    let mut expected = b"\x01\x04aB3+\x160123456789abcdefghij+/".to_vec();
    expected.extend([7; 32]);
    expected.extend(b"\xde\xad\xbe\xef\x02\x04\xc6\x33\x64\x07\xc0\x00");
    expected.extend(b"\x06\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x00\x01\x03\x03\x01\x04");
    assert_eq!(sample().encode(), expected);
}

#[test]
fn the_longest_description_fits_the_promise() {
    const { assert!(Description::MAX_BYTES <= 400) };
    let mut longest = sample();
    longest.ufrag = "u".repeat(32);
    longest.pwd = "p".repeat(64);
    longest.video = Some(VideoDescription {
        ssrc: 1,
        formats: formats()[..8].to_vec(),
    });
    longest.relayed_addresses = (1..=4)
        .map(|n| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), n))
        .collect();
    longest.codecs = Codec::ALL.to_vec();
    assert_eq!(longest.encode().len(), Description::MAX_BYTES);
}

#[test]
fn credentials_outside_the_limits_are_refused() {
    for ufrag in [
        "abc",
        "abc-",
        "abc ",
        "ab\u{e9}d",
        &"u".repeat(33),
        &"u".repeat(300),
    ] {
        assert_eq!(
            refused(|d| d.ufrag = ufrag.into()),
            DescriptionError::Credentials,
            "{ufrag}"
        );
    }
    for pwd in [
        "p".repeat(21),
        "p".repeat(65),
        "p".repeat(600),
        "p".repeat(30) + "=",
    ] {
        assert_eq!(refused(|d| d.pwd = pwd), DescriptionError::Credentials);
    }
}

#[test]
fn relays_that_cannot_be_are_refused() {
    let impossible = [
        "198.51.100.7:0",
        "0.0.0.0:9",
        "224.0.0.1:9",
        "255.255.255.255:9",
        "[::]:9",
        "[ff02::1]:9",
        "[::ffff:198.51.100.7]:9",
    ];
    for relay in impossible {
        assert_eq!(
            refused(|d| d.relayed_addresses = vec![relay.parse().unwrap()]),
            DescriptionError::RelayedAddresses,
            "{relay}"
        );
    }
    assert_eq!(
        refused(|d| d.relayed_addresses.clear()),
        DescriptionError::RelayedAddresses
    );
    assert_eq!(
        refused(|d| d.relayed_addresses = vec![d.relayed_addresses[0]; 2]),
        DescriptionError::RelayedAddresses
    );
    assert_eq!(
        refused(|d| d.relayed_addresses = (1..=5)
            .map(|n| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), n))
            .collect()),
        DescriptionError::RelayedAddresses
    );
    assert_eq!(
        refused(|d| d.relayed_addresses = (1..=999)
            .map(|n| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), n))
            .collect()),
        DescriptionError::RelayedAddresses
    );
}

#[test]
fn formats_unknown_repeated_or_without_audio_are_refused() {
    assert_eq!(refused(|d| d.codecs.clear()), DescriptionError::Codecs);
    assert_eq!(
        refused(|d| d.codecs = vec![Codec::Events8k]),
        DescriptionError::Codecs
    );
    assert_eq!(
        refused(|d| d.codecs = vec![Codec::Pcmu, Codec::Opus, Codec::Pcmu]),
        DescriptionError::Codecs
    );
    let mut bytes = sample().encode();
    *bytes.last_mut().unwrap() = 6;
    assert_eq!(Description::decode(&bytes), Err(DescriptionError::Codecs));
}

#[test]
fn another_layout_is_refused() {
    let mut bytes = sample().encode();
    bytes[0] = 3;
    assert_eq!(Description::decode(&bytes), Err(DescriptionError::Version));
}

#[test]
fn debug_shows_neither_secrets_nor_addresses() {
    let shown = format!("{:?}", sample());
    assert!(shown.contains("Secret(..)"));
    for hidden in ["0123456789", "aB3+", "198.51", "2001:db8"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn video_follows_audio_in_a_layout_of_its_own() {
    let mut expected = sample().encode();
    expected[0] = 2;
    expected.extend(b"\x01\x02\x03\x04\x02\x01\x00\x00\x03\x01\x1f");
    assert_eq!(with_video().encode(), expected);
    assert_eq!(Description::decode(&expected), Ok(with_video()));
    expected[0] = 1;
    assert_eq!(
        Description::decode(&expected),
        Err(DescriptionError::Trailing)
    );
}

#[test]
fn video_in_no_format_too_many_or_under_the_ssrc_of_audio_is_refused() {
    let refused = |ssrc, formats| {
        let mut description = sample();
        description.video = Some(VideoDescription { ssrc, formats });
        Description::decode(&description.encode()).unwrap_err()
    };
    for formats in [
        vec![],
        vec![VideoFormat::Vp8; 2],
        vec![h264(31), h264(12)],
        formats()[..9].to_vec(),
        formats(),
    ] {
        assert_eq!(refused(1, formats), DescriptionError::Video);
    }
    let same = refused(0xdead_beef, vec![VideoFormat::Vp8]);
    assert_eq!(same, DescriptionError::Video);
}
