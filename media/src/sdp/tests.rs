//! Phones' SDP as they write it in the field: each sample has the habits of one family of phones,
//! in our own words.

use super::*;
use crate::srtp::{Srtp, SrtpKey, SrtpSuite};
use Codec::*;
use proptest::prelude::*;

/// A soft phone that names no static formats, sends RTCP elsewhere than one port up, and has an
/// event number for each clock.
const SOFT_PHONE: &str = "v=0\r
o=anna 3301 1187 IN IP4 192.0.2.33\r
s=Conversation\r
c=IN IP4 192.0.2.33\r
t=0 0\r
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r
m=audio 41236 RTP/AVP 96 0 8 9 97 98 99\r
a=rtpmap:96 opus/48000/2\r
a=fmtp:96 useinbandfec=1\r
a=rtpmap:97 telephone-event/48000\r
a=rtpmap:98 telephone-event/16000\r
a=rtpmap:99 telephone-event/8000\r
a=rtcp:52791\r
a=rtcp-fb:* trr-int 5000\r
a=rtcp-fb:* ccm tmmbr\r
";

/// A scripted phone with bandwidth lines, keys it does not insist on, and private attributes.
const SCRIPTED_PHONE: &str = "v=0\r
o=- 3989531142 3989531142 IN IP4 127.0.0.1\r
s=media\r
b=AS:84\r
t=0 0\r
a=X-nat:0\r
m=audio 4000 RTP/AVP 8 0 120\r
c=IN IP4 127.0.0.1\r
b=TIAS:64000\r
a=rtcp:4001 IN IP4 127.0.0.1\r
a=sendrecv\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:120 telephone-event/8000\r
a=fmtp:120 0-16\r
a=ssrc:1144108930 cname:5f4e3d2c1b0a\r
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0\r
";

/// A small phone with line feeds alone, stereo Opus and an odd order.
const SMALL_PHONE: &str = "v=0
o=- 19 2 IN IP6 2001:db8::5
s=-
t=0 0
c=IN IP6 2001:db8::5
m=audio 12000 RTP/AVP 0 101 121 9 8
a=rtpmap:0 PCMU/8000/1
a=rtpmap:101 telephone-event/8000
a=rtpmap:121 opus/48000/2
a=fmtp:121 stereo=1;sprop-stereo=1
a=rtpmap:9 G722/8000
a=rtpmap:8 PCMA/8000
a=mid:0
a=label:1
a=minptime:20
a=rtcp-rsize
a=recvonly";

/// A desk phone with keys first, plain sound second, and a camera.
const DESK_PHONE: &str = "v=0\r
o=desk 1 1 IN IP4 198.51.100.20\r
s=Tisch\r
c=IN IP4 198.51.100.20\r
t=0 0\r
m=audio 30000 RTP/SAVP 9 8\r
a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:xyz\r
m=audio 30002 RTP/AVP 18 8 96\r
a=fmtp:18 annexb=no\r
a=rtpmap:96 Telephone-Event/8000\r
m=video 30004 RTP/AVP 97\r
c=IN IP4 239.1.1.1\r
a=rtpmap:97 H264/90000\r
m=image 30006 udptl t38\r
m=application 30008 UDP/BFCP *\r
a=inactive\r
";

fn local() -> SocketAddr {
    "127.0.0.1:47000".parse().unwrap()
}

/// What we say of ourselves without keys.
fn own(session: u64, version: u64) -> OwnMedia {
    OwnMedia {
        version,
        ..OwnMedia::plain(local(), session)
    }
}

fn lines(bytes: &[u8]) -> Vec<&str> {
    str::from_utf8(bytes)
        .unwrap()
        .split_terminator("\r\n")
        .collect()
}

/// The least SDP that makes a call, with more lines at its end.
fn offer(more: &str, srtp: Srtp) -> Result<PhoneMedia, SdpError> {
    read_offer(
        format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{more}")
            .as_bytes(),
        srtp,
    )
}

#[test]
fn a_soft_phone_is_understood() {
    let media = read_offer(SOFT_PHONE.as_bytes(), Srtp::Off).unwrap();
    assert_eq!(media.rtp, "192.0.2.33:41236".parse().unwrap());
    assert_eq!(media.rtcp, Some("192.0.2.33:52791".parse().unwrap()));
    assert_eq!(
        media.codecs,
        [
            (Opus, 96),
            (Pcmu, 0),
            (Pcma, 8),
            (G722, 9),
            (Events48k, 97),
            (Events8k, 99)
        ]
    );
    assert_eq!(media.direction, MediaDirection::SendRecv);
    assert!(!media.is_holding());
}

#[test]
fn a_scripted_phone_is_understood() {
    let media = read_offer(SCRIPTED_PHONE.as_bytes(), Srtp::Off).unwrap();
    assert_eq!(media.rtp, "127.0.0.1:4000".parse().unwrap());
    assert_eq!(media.rtcp, Some("127.0.0.1:4001".parse().unwrap()));
    assert_eq!(media.codecs, [(Pcma, 8), (Pcmu, 0), (Events8k, 120)]);
}

#[test]
fn a_small_phone_is_understood() {
    let media = read_offer(SMALL_PHONE.as_bytes(), Srtp::Off).unwrap();
    assert_eq!(media.rtp, "[2001:db8::5]:12000".parse().unwrap());
    assert_eq!(media.rtcp, None);
    assert_eq!(
        media.codecs,
        [
            (Pcmu, 0),
            (Events8k, 101),
            (Opus, 121),
            (G722, 9),
            (Pcma, 8)
        ]
    );
    assert_eq!(media.direction, MediaDirection::RecvOnly);
}

#[test]
fn a_desk_phones_plain_audio_is_accepted_and_the_rest_refused() {
    let media = read_offer(DESK_PHONE.as_bytes(), Srtp::Off).unwrap();
    assert_eq!(media.rtp, "198.51.100.20:30002".parse().unwrap());
    assert_eq!(media.codecs, [(Pcma, 8), (Events8k, 96)]);
    assert_eq!(
        media.direction,
        MediaDirection::SendRecv,
        "the last stream's direction is its own"
    );
    let answer = write_answer(&own(77, 3), &media, &[Pcma, Events8k]);
    let streams: Vec<_> = lines(&answer)
        .into_iter()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        streams,
        [
            "m=audio 0 RTP/SAVP 0",
            "m=audio 47000 RTP/AVP 8 96",
            "m=video 0 RTP/AVP 0",
            "m=image 0 udptl t38",
            "m=application 0 UDP/BFCP *",
        ]
    );
}

#[test]
fn an_answer_is_these_lines_and_no_others() {
    let media = read_offer(SOFT_PHONE.as_bytes(), Srtp::Off).unwrap();
    let answer = write_answer(&own(77, 3), &media, &[Opus, Events48k]);
    let expected = [
        "v=0",
        "o=- 77 3 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "m=audio 47000 RTP/AVP 96 97",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 usedtx=0;cbr=1;maxaveragebitrate=40000;useinbandfec=1",
        "a=rtpmap:97 telephone-event/48000",
        "a=fmtp:97 0-15",
        "a=ptime:20",
        "a=rtcp:47000",
        "a=sendrecv",
    ];
    assert_eq!(lines(&answer), expected);
}

#[test]
fn an_offer_has_our_own_numbers() {
    let offer = write_offer(
        &OwnMedia::plain("[::1]:47000".parse().unwrap(), 5),
        &[Opus, Pcma, Events8k],
    );
    assert_eq!(lines(&offer)[1], "o=- 5 1 IN IP6 ::1");
    assert_eq!(lines(&offer)[5], "m=audio 47000 RTP/AVP 111 8 101");
    let read = read_offer(&offer, Srtp::Off).unwrap();
    assert_eq!(read.codecs, [(Opus, 111), (Pcma, 8), (Events8k, 101)]);
    assert_eq!(read.rtp, "[::1]:47000".parse().unwrap());
}

#[test]
fn nothing_a_phone_wrote_freely_is_written_again() {
    let secret = "o=Marked 424242 434343 IN IP4 203.0.113.99\r\ns=Marked\r\ni=Marked\r\nu=sip:Marked\r\ne=Marked\r\n\
        c=IN IP4 203.0.113.98\r\nt=0 0\r\na=tool:Marked\r\nm=audio 6000 RTP/AVP 8\r\na=Marked:1\r\na=ssrc:7 cname:Marked\r\n\
        a=candidate:1 1 UDP 1 203.0.113.97 6000 typ host\r\na=rtpmap:8 pCmA/8000\r\n";
    let media = read_offer(format!("v=0\r\n{secret}").as_bytes(), Srtp::Off).unwrap();
    let answer = String::from_utf8(write_answer(&own(1, 1), &media, &[Pcma])).unwrap();
    for mark in ["Marked", "424242", "434343", "203.0.113", "6000", "pCmA"] {
        assert!(!answer.contains(mark), "{mark} in {answer}");
    }
}

#[test]
fn keys_without_choice_ask_for_another_try() {
    for profile in ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "rtp/savp"] {
        let error = offer(&format!("m=audio 9 {profile} 0\r\n"), Srtp::Off).unwrap_err();
        assert_eq!(error, NotAcceptableError::SecureOnly.into(), "{profile}");
    }
}

#[test]
fn a_call_without_audio_is_refused() {
    for streams in [
        "",
        "m=video 9 RTP/AVP 97\r\n",
        "m=audio 0 RTP/AVP 0\r\n",
        "m=audio 9 udp 0\r\n",
    ] {
        assert_eq!(
            offer(streams, Srtp::Off),
            Err(NotAcceptableError::NoAudio.into()),
            "{streams}"
        );
    }
}

#[test]
fn audio_in_unknown_formats_alone_is_refused() {
    for formats in [
        "18",
        "97\r\na=rtpmap:97 speex/16000",
        "101\r\na=rtpmap:101 telephone-event/8000",
        "128",
        "x",
        "",
    ] {
        let error = offer(&format!("m=audio 9 RTP/AVP {formats}\r\n"), Srtp::Off).unwrap_err();
        assert_eq!(error, NotAcceptableError::NoFormat.into(), "{formats}");
    }
}

/// RFC 3264 section 6: a stream of an unknown kind, over an unknown protocol or in a line that is none is refused by port 0.
#[test]
fn a_stream_that_is_not_known_is_refused_and_the_call_goes_on() {
    for (stream, refused) in [
        ("m=smell 9 RTP/AVP 0", "m=smell 0 RTP/AVP 0"),
        ("m=video 9 QUIC/AVP 0", "m=video 0 QUIC/AVP *"),
        ("m=x-taste 9 tcp/RTP/SAVP 96", "m=x-taste 0 tcp/RTP/SAVP 0"),
        ("m=audio 9 RTP/AVP/2022 0", "m=audio 0 RTP/AVP/2022 0"),
        ("m=message 2855 TCP/MSRP *", "m=message 0 TCP/MSRP *"),
        (
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ),
        ("m=video 65536 RTP/AVP 97", "m=video 0 RTP/AVP 0"),
        ("m=video -1 RTP/AVP 97", "m=video 0 RTP/AVP 0"),
        ("m=video", "m=video 0 unknown *"),
        ("m=", "m=unknown 0 unknown *"),
        ("m=\"x\" 9 a=b 0", "m=unknown 0 unknown *"),
    ] {
        for text in [
            format!("{stream}\r\nm=audio 9 RTP/AVP 0\r\n"),
            format!("m=audio 9 RTP/AVP 0\r\n{stream}\r\nc=IN IP4 a.example\r\na=rtpmap:0\r\n"),
        ] {
            let media = offer(&text, Srtp::Off).unwrap();
            assert_eq!(media.codecs, [(Pcmu, 0)], "{text}");
            let answer = write_answer(&own(1, 1), &media, &[Pcmu]);
            let streams = lines(&answer).into_iter();
            let streams: Vec<_> = streams.filter(|line| line.starts_with("m=")).collect();
            assert_eq!(streams.len(), 2, "{text}");
            assert!(streams.contains(&"m=audio 47000 RTP/AVP 0"), "{text}");
            assert!(streams.contains(&refused), "{streams:?} for {text}");
        }
    }
}

/// RFC 3264 section 6: each stream is answered for itself, so one without a format or an address of ours is refused alone.
#[test]
fn of_two_audio_streams_the_one_that_makes_a_call_is_taken() {
    const GOOD: &str = "m=audio 11 RTP/AVP 8\r\n";
    let key =
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    for (odd, srtp) in [
        ("m=audio 9 RTP/AVP 18\r\n".to_owned(), Srtp::Off),
        (
            "m=audio 9 RTP/AVP 97\r\na=rtpmap:97 speex/16000\r\n".to_owned(),
            Srtp::Optional,
        ),
        (
            "m=audio 9 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n".to_owned(),
            Srtp::Off,
        ),
        (
            "m=audio 9 RTP/AVP 0\r\nc=IN IP4 a.example\r\n".to_owned(),
            Srtp::Off,
        ),
        (
            "m=audio 9 RTP/AVP 0\r\nc=IN IP4 224.2.1.1\r\n".to_owned(),
            Srtp::Off,
        ),
        (format!("m=audio 9 RTP/SAVP 18\r\n{key}"), Srtp::Optional),
        ("m=audio 0 RTP/AVP 0\r\n".to_owned(), Srtp::Off),
    ] {
        for (text, at) in [(format!("{odd}{GOOD}"), 1), (format!("{GOOD}{odd}"), 0)] {
            let media = offer(&text, srtp).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(media.codecs, [(Pcma, 8)], "{text:?}");
            assert_eq!(media.rtp.port(), 11, "{text:?}");
            let answer = write_answer(&own(1, 1), &media, &[Pcma]);
            let ports = lines(&answer).into_iter();
            let ports: Vec<_> = ports
                .filter_map(|line| line.strip_prefix("m=audio ")?.split(' ').next())
                .collect();
            let mut expected = ["0"; 2];
            expected[at] = "47000";
            assert_eq!(ports, expected, "{text:?}");
        }
    }
}

/// RFC 8866 section 5: what is not understood is ignored. Each of these lines was seen in public bug reports, or is like one.
#[test]
fn one_odd_line_costs_no_call() {
    for odd in [
        "a=rtpmap:",
        "a=rtpmap: ",
        "a=rtpmap:101",
        "a=rtpmap:0",
        "a=rtpmap:999 PCMU/8000",
        "a=rtpmap:x y",
        "a=rtcp:none",
        "a=rtcp:",
        "a=rtcp:70000 IN IP4 1.2.3.4",
        "a=fmtp",
        "a=fmtp:",
        "a=crypto:",
        "a=",
        "=",
        "nonsense",
        "c=",
        "c=IN IP4",
        "c=ATM NSAP 47",
        "c=IN IP5 1.2.3.4",
        "\0",
        "\0\0\0",
        " ",
        "\t",
        "b",
        "z=\u{fffd}",
    ] {
        for text in [
            format!("{odd}\r\nm=audio 9 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"),
            format!("m=audio 9 RTP/AVP 0 101\r\n{odd}\r\na=rtpmap:101 telephone-event/8000\r\n"),
            format!("m=audio 9 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{odd}"),
        ] {
            let media = offer(&text, Srtp::Off);
            let media = media.unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(media.codecs, [(Pcmu, 0), (Events8k, 101)], "{text:?}");
            assert_eq!(media.rtp, "192.0.2.1:9".parse().unwrap(), "{text:?}");
            assert_eq!(media.rtcp, None, "{text:?}");
        }
    }
}

#[test]
fn blanks_where_none_belong_hide_nothing() {
    let text = "\r\n\r\nv=0 \r\nc=IN IP4 192.0.2.1  \r\n\
        m=audio 9 RTP/AVP 96 0 101\t\r\na=rtpmap: 96 opus/48000/2\r\n\
        a=rtpmap:0\tPCMU/8000\r\na=rtpmap:101  telephone-event/8000 \r\na=rtcp:10\tIN IP4 192.0.2.2\r\n\
        a=sendonly \r\n\0\0 \n";
    let media = read_offer(text.as_bytes(), Srtp::Off).unwrap();
    assert_eq!(media.codecs, [(Opus, 96), (Pcmu, 0), (Events8k, 101)]);
    assert_eq!(media.rtp, "192.0.2.1:9".parse().unwrap());
    assert_eq!(media.rtcp, Some("192.0.2.2:10".parse().unwrap()));
    assert_eq!(media.direction, MediaDirection::SendOnly);
}

/// RFC 8866 section 6.6: a payload type has one format, so of two lines for it the first counts.
#[test]
fn a_payload_type_that_is_mapped_twice_has_its_first_format() {
    for second in [
        "telephone-event/8000",
        "telephone-event/48000",
        "opus/48000/2",
        "speex/8000",
    ] {
        let text = format!(
            "m=audio 9 RTP/AVP 8 101 101\r\na=rtpmap:101 telephone-event/8000\r\na=rtpmap:101 {second}\r\n"
        );
        let media = offer(&text, Srtp::Off).unwrap();
        assert_eq!(media.codecs, [(Pcma, 8), (Events8k, 101)], "{second}");
    }
}

#[test]
fn addresses_that_no_phone_has_are_refused() {
    for address in [
        "IP4 phone.example.org",
        "IP4 239.0.0.1/127",
        "IP4 255.255.255.255",
        "IP6 ff02::1",
    ] {
        let error = offer(
            &format!("m=audio 9 RTP/AVP 0\r\nc=IN {address}\r\n"),
            Srtp::Off,
        )
        .unwrap_err();
        assert_eq!(error, NotAcceptableError::Address.into(), "{address}");
    }
    let none = read_offer(b"v=0\r\nm=audio 9 RTP/AVP 0\r\n", Srtp::Off).unwrap_err();
    assert_eq!(none, NotAcceptableError::Address.into());
}

#[test]
fn an_address_of_the_stream_comes_before_that_of_the_session() {
    let media = offer("m=audio 9 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n", Srtp::Off).unwrap();
    assert_eq!(media.rtp, "[2001:db8::1]:9".parse().unwrap());
}

#[test]
fn what_is_not_sdp_says_where() {
    let cases = [
        ("", 1),
        ("v=1\r\n", 1),
        ("o=- 1 1 IN IP4 1.2.3.4\r\n", 1),
        ("v=0.\r\n", 1),
        ("\r\n \r\nv=1\r\n", 3),
        ("\r\nnonsense\r\nv=0\r\n", 2),
        ("\0\0", 1),
    ];
    for (text, expected) in cases {
        match read_offer(text.as_bytes(), Srtp::Off) {
            Err(SdpError::Malformed { line, .. }) => assert_eq!(line, expected, "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

#[test]
fn limits_are_kept() {
    let stream = "m=audio 9 RTP/AVP 0\r\n";
    assert!(offer(&stream.repeat(MAX_STREAMS), Srtp::Off).is_ok());
    assert_eq!(
        offer(&stream.repeat(MAX_STREAMS + 1), Srtp::Off),
        Err(SdpError::TooLong)
    );
    assert_eq!(
        offer(&"a=x\r\n".repeat(MAX_LINES), Srtp::Off),
        Err(SdpError::TooLong)
    );
    assert_eq!(
        offer(&format!("s={}\r\n", "x".repeat(MAX_BYTES)), Srtp::Off),
        Err(SdpError::TooLong)
    );
    let many = (0..9_000)
        .map(|number| format!(" {}", number % 256))
        .collect::<String>();
    assert!(
        matches!(offer(&format!("m=audio 9 RTP/AVP{}\r\n", &many[..MAX_BYTES - 200]), Srtp::Off), Ok(media) if media.codecs.len() == 3)
    );
}

#[test]
fn a_payload_type_and_a_format_count_once() {
    let media = offer(
        "m=audio 9 RTP/AVP 8 8 0 96 97\r\na=rtpmap:8 PCMU/8000\r\na=rtpmap:96 opus/48000\r\na=rtpmap:97 opus/48000/2\r\n",
        Srtp::Off,
    );
    assert_eq!(media.unwrap().codecs, [(Pcmu, 8), (Opus, 96)]);
}

#[test]
fn a_static_number_with_another_name_is_that_other() {
    let media = offer(
        "m=audio 9 RTP/AVP 9 0\r\na=rtpmap:9 speex/8000\r\n",
        Srtp::Off,
    )
    .unwrap();
    assert_eq!(media.codecs, [(Pcmu, 0)]);
}

#[test]
fn text_that_is_not_ours_to_read_may_hold_any_bytes() {
    let media = read_offer(
        b"v=0\r\ns=caf\xe9\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 0\r\na=note:\xff\r\n",
        Srtp::Off,
    )
    .unwrap();
    assert_eq!(media.codecs, [(Pcmu, 0)]);
}

#[test]
fn directions_are_read_and_mirrored() {
    for (direction, answered, holding) in [
        ("sendrecv", "sendrecv", false),
        ("sendonly", "recvonly", true),
        ("recvonly", "sendonly", false),
        ("inactive", "inactive", true),
    ] {
        for text in [
            format!("a={direction}\r\nm=audio 9 RTP/AVP 0\r\n"),
            format!("a=sendrecv\r\nm=audio 9 RTP/AVP 0\r\na={direction}\r\n"),
        ] {
            let media = offer(&text, Srtp::Off).unwrap();
            assert_eq!(media.is_holding(), holding, "{text}");
            let answer = write_answer(&own(1, 1), &media, &[Pcmu]);
            assert_eq!(*lines(&answer).last().unwrap(), format!("a={answered}"));
        }
    }
}

#[test]
fn hold_in_the_old_way_is_hold() {
    let media = offer("m=audio 9 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n", Srtp::Off).unwrap();
    assert!(media.is_holding());
    assert!(!media.negotiated(&own(1, 1), &[Pcmu]).receives);
}

#[test]
fn terms_have_the_phones_numbers_of_what_was_agreed() {
    let media = read_offer(SOFT_PHONE.as_bytes(), Srtp::Off).unwrap();
    let terms = media.negotiated(&own(1, 1), &[Opus, Events8k]);
    assert_eq!(terms.codecs, [(Opus, 96), (Events8k, 99)]);
    assert_eq!((terms.remote, terms.receives), (media.rtp, true));
}

#[test]
fn a_re_offer_without_digits_is_answered_without_them() {
    let media = offer(
        "m=audio 9 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=sendonly\r\n",
        Srtp::Off,
    )
    .unwrap();
    let answer = write_answer(&own(1, 2), &media, &[Opus, Events48k]);
    assert!(lines(&answer).contains(&"m=audio 47000 RTP/AVP 96"));
    let refused = write_answer(&own(1, 2), &media, &[Pcmu]);
    assert!(lines(&refused).contains(&"m=audio 0 RTP/AVP 0"));
}

#[test]
fn an_offer_in_a_running_call_keeps_the_phones_numbers() {
    let mut media = read_offer(SOFT_PHONE.as_bytes(), Srtp::Off).unwrap();
    media.direction = MediaDirection::SendOnly;
    let offer = write_reoffer(&own(77, 4), &media, &[Opus, Events48k]);
    assert_eq!(lines(&offer)[1], "o=- 77 4 IN IP4 127.0.0.1");
    assert_eq!(lines(&offer)[5], "m=audio 47000 RTP/AVP 96 97");
    assert_eq!(*lines(&offer).last().unwrap(), "a=sendrecv");
}

#[test]
fn answers_of_phones_are_read() {
    let accepted = read_answer(b"v=0\r\no=x 1 1 IN IP4 192.0.2.1\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 7 RTP/AVP 8\r\n", &own(1, 1)).unwrap();
    assert_eq!(accepted.codecs, [(Pcma, 8)]);
    let refused = read_answer(
        b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 8\r\n",
        &own(1, 1),
    );
    assert_eq!(refused, Err(NotAcceptableError::NoAudio.into()));
    let other_stream = read_answer(
        b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=video 7 RTP/AVP 8\r\nm=audio 7 RTP/AVP 8\r\n",
        &own(1, 1),
    );
    assert_eq!(other_stream, Err(NotAcceptableError::NoAudio.into()));
}

#[test]
fn a_call_is_negotiated_from_phone_to_phone() {
    let caller = read_offer(SOFT_PHONE.as_bytes(), Srtp::Off).unwrap();
    let to_callee = write_offer(&own(9, 1), &caller.formats());
    let at_callee = read_offer(&to_callee, Srtp::Off).unwrap();
    let from_callee = write_answer(
        &OwnMedia::plain("192.0.2.8:5000".parse().unwrap(), 1),
        &at_callee,
        &[G722, Pcmu, Events8k],
    );
    let callee = read_answer(&from_callee, &own(1, 1)).unwrap();
    let chosen = crate::choose(&caller.formats(), &callee.formats()).unwrap();
    assert_eq!(chosen, [G722, Events8k]);
    let answer = write_answer(&own(1, 1), &caller, &chosen);
    assert!(lines(&answer).contains(&"m=audio 47000 RTP/AVP 9 99"));
    assert_eq!(
        callee.negotiated(&own(1, 1), &chosen).codecs,
        [(G722, 9), (Events8k, 101)]
    );
}

/// 30 bytes, 30 other bytes, and 46.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0";
const OTHER_KEY: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0";
const LONG_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0MDEyMzQ1Njc4OWFiY2RlZg==";

fn key(suite: SrtpSuite, text: &str) -> SrtpKey {
    SrtpKey::from_base64(suite, text).unwrap()
}

fn locked(key: SrtpKey) -> OwnMedia {
    OwnMedia {
        keys: vec![key],
        ..own(77, 1)
    }
}

/// A stream of sound with these keys.
fn keyed(profile: &str, cryptos: &[&str]) -> String {
    let lines: String = cryptos
        .iter()
        .map(|crypto| format!("a=crypto:{crypto}\r\n"))
        .collect();
    format!("m=audio 9 {profile} 8\r\n{lines}")
}

#[test]
fn the_first_key_that_we_can_use_is_taken_and_answered_under_its_tag() {
    let text = keyed(
        "RTP/SAVP",
        &[
            &format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
            &format!("2 AES_256_CM_HMAC_SHA1_80 inline:{LONG_KEY}"),
            &format!("3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
        ],
    );
    for srtp in [Srtp::Optional, Srtp::Required] {
        let media = offer(&text, srtp).unwrap();
        assert_eq!(media.suite(), Some(SrtpSuite::AesCm256Sha1Tag80));
        let ours = locked(key(SrtpSuite::AesCm256Sha1Tag80, LONG_KEY));
        let answer = write_answer(&ours, &media, &[Pcma]);
        let line = format!("a=crypto:2 AES_256_CM_HMAC_SHA1_80 inline:{LONG_KEY}");
        assert!(lines(&answer).contains(&"m=audio 47000 RTP/SAVP 8"));
        assert!(lines(&answer).contains(&line.as_str()));
        let keys = media.negotiated(&ours, &[Pcma]).keys.unwrap();
        assert_eq!(keys.ours, ours.keys[0]);
        assert_eq!(keys.theirs, key(SrtpSuite::AesCm256Sha1Tag80, LONG_KEY));
    }
}

#[test]
fn keys_beside_plain_audio_are_used_unless_srtp_is_off() {
    let text = keyed(
        "RTP/AVP",
        &[&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")],
    );
    for (srtp, profile) in [
        (Srtp::Off, None),
        (Srtp::Optional, Some(SrtpSuite::AesCm128Sha1Tag80)),
        (Srtp::Required, Some(SrtpSuite::AesCm128Sha1Tag80)),
    ] {
        let media = offer(&text, srtp).unwrap();
        assert_eq!(media.suite(), profile, "{srtp:?}");
        let ours = locked(key(SrtpSuite::AesCm128Sha1Tag80, OTHER_KEY));
        let answer = write_answer(&ours, &media, &[Pcma]);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("m=audio 47000 RTP/AVP 8\r\n"));
        assert_eq!(answer.contains(OTHER_KEY), profile.is_some());
        assert_eq!(
            media.negotiated(&ours, &[Pcma]).keys.is_some(),
            profile.is_some()
        );
    }
}

#[test]
fn what_is_wanted_and_not_offered_is_refused_by_name() {
    let good = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    let plain = "m=audio 9 RTP/AVP 8\r\n".to_owned();
    for (text, srtp, error) in [
        (
            keyed("RTP/SAVP", &[&good]),
            Srtp::Off,
            NotAcceptableError::SecureOnly,
        ),
        (
            keyed("RTP/SAVP", &[]),
            Srtp::Optional,
            NotAcceptableError::NoKey,
        ),
        (
            keyed("UDP/TLS/RTP/SAVP", &[]),
            Srtp::Required,
            NotAcceptableError::NoKey,
        ),
        (
            keyed("UDP/TLS/RTP/SAVPF", &[&good]),
            Srtp::Optional,
            NotAcceptableError::NoKey,
        ),
        (plain.clone(), Srtp::Required, NotAcceptableError::PlainOnly),
        (
            keyed("RTP/AVP", &["1 X inline:y"]),
            Srtp::Required,
            NotAcceptableError::PlainOnly,
        ),
    ] {
        assert_eq!(
            offer(&text, srtp).unwrap_err(),
            error.into(),
            "{text} {srtp:?}"
        );
    }
    assert_eq!(offer(&plain, Srtp::Optional).unwrap().suite(), None);
}

#[test]
fn of_two_streams_the_encrypted_one_is_taken() {
    let secure = keyed(
        "RTP/SAVP",
        &[&format!("1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}")],
    );
    let media = offer(&format!("m=audio 7 RTP/AVP 8\r\n{secure}"), Srtp::Optional).unwrap();
    assert_eq!(media.suite(), Some(SrtpSuite::AesCm128Sha1Tag32));
    let answer = write_answer(
        &locked(key(SrtpSuite::AesCm128Sha1Tag32, OTHER_KEY)),
        &media,
        &[Pcma],
    );
    let streams: Vec<_> = lines(&answer)
        .into_iter()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(streams, ["m=audio 0 RTP/AVP 0", "m=audio 47000 RTP/SAVP 8"]);
    let unkeyed = write_answer(&own(77, 1), &media, &[Pcma]);
    assert!(lines(&unkeyed).contains(&"m=audio 0 RTP/SAVP 0"));
}

#[test]
fn an_offer_with_keys_is_answered_with_one_of_them() {
    let ours = OwnMedia {
        keys: vec![
            key(SrtpSuite::AesCm256Sha1Tag80, LONG_KEY),
            key(SrtpSuite::AesCm128Sha1Tag80, KEY),
        ],
        ..own(77, 1)
    };
    let text = write_offer(&ours, &[Pcma]);
    assert!(lines(&text).contains(&"m=audio 47000 RTP/SAVP 8"));
    let phone = read_offer(&text, Srtp::Required).unwrap();
    assert_eq!(phone.suite(), Some(SrtpSuite::AesCm256Sha1Tag80));
    let answer = |crypto: &str| {
        let stream = keyed("RTP/SAVP", &[crypto]);
        read_answer(
            format!("v=0\r\nc=IN IP4 192.0.2.1\r\n{stream}").as_bytes(),
            &ours,
        )
    };
    let good = answer(&format!("2 AES_CM_128_HMAC_SHA1_80 inline:{OTHER_KEY}")).unwrap();
    let keys = good.negotiated(&ours, &[Pcma]).keys.unwrap();
    assert_eq!(
        (keys.ours, keys.theirs),
        (
            ours.keys[1].clone(),
            key(SrtpSuite::AesCm128Sha1Tag80, OTHER_KEY)
        )
    );
    for bad in [
        "1 AES_CM_128_HMAC_SHA1_80",
        "3 AES_CM_128_HMAC_SHA1_80",
        "0 AES_CM_128_HMAC_SHA1_80",
    ] {
        let answered = answer(&format!("{bad} inline:{OTHER_KEY}"));
        assert_eq!(
            answered.unwrap_err(),
            NotAcceptableError::NoKey.into(),
            "{bad}"
        );
    }
    let plain = b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 8\r\n";
    assert_eq!(
        read_answer(plain, &ours).unwrap_err(),
        NotAcceptableError::NoKey.into()
    );
    let uninvited = keyed(
        "RTP/SAVP",
        &[&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")],
    );
    let uninvited = format!("v=0\r\nc=IN IP4 192.0.2.1\r\n{uninvited}");
    assert_eq!(
        read_answer(uninvited.as_bytes(), &own(1, 1)).unwrap_err(),
        NotAcceptableError::NoKey.into()
    );
}

#[test]
fn an_offer_in_a_running_call_repeats_the_agreed_key_under_tag_1() {
    let text = keyed(
        "RTP/SAVP",
        &[&format!("4 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")],
    );
    let media = offer(&text, Srtp::Optional).unwrap();
    let ours = locked(key(SrtpSuite::AesCm128Sha1Tag80, OTHER_KEY));
    let text = write_reoffer(&ours, &media, &[Pcma]);
    let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{OTHER_KEY}");
    assert!(lines(&text).contains(&line.as_str()));
}

#[test]
fn rtcp_at_the_port_of_audio_is_agreed_to_when_requested() {
    let media = offer("m=audio 9 RTP/AVP 8\r\na=rtcp-mux\r\n", Srtp::Off).unwrap();
    assert!(lines(&write_answer(&own(1, 1), &media, &[Pcma])).contains(&"a=rtcp-mux"));
    let media = offer("m=audio 9 RTP/AVP 8\r\n", Srtp::Off).unwrap();
    assert!(!lines(&write_answer(&own(1, 1), &media, &[Pcma])).contains(&"a=rtcp-mux"));
}

#[test]
fn ice_is_left_unanswered() {
    let media = offer(
        "a=ice-options:trickle\r\na=ice-ufrag:aaaa\r\na=ice-pwd:bbbbbbbbbbbbbbbbbbbbbb\r\n\
        m=audio 9 RTP/AVP 8\r\na=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n",
        Srtp::Off,
    )
    .unwrap();
    let answer = String::from_utf8(write_answer(&own(1, 1), &media, &[Pcma])).unwrap();
    for word in ["ice", "candidate"] {
        assert!(!answer.contains(word), "{answer}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_offer(&bytes, Srtp::Off);
        let _ = read_answer(&[b"v=0\n", &bytes[..]].concat(), &own(1, 1));
    }

    #[test]
    fn damaged_sdp_is_read_without_panic(
        sample in prop::sample::select(vec![SOFT_PHONE, SCRIPTED_PHONE, SMALL_PHONE, DESK_PHONE]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = sample.as_bytes().to_vec();
        for (at, to) in damage {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(media) = read_offer(&bytes, Srtp::Off) {
            prop_assert!(media.codecs.iter().any(|(codec, _)| !codec.is_events()));
            let answer = write_answer(&own(1, 1), &media, &media.formats());
            prop_assert_eq!(read_offer(&answer, Srtp::Off).map(|read| read.codecs), Ok(media.codecs));
        }
    }

    #[test]
    fn made_up_lines_are_read_without_panic(lines in prop::collection::vec(
        prop_oneof!["[a-z]=.{0,20}", "m=(audio|video) [0-9]{1,6} RTP/S?AVP( [0-9]{1,3}){0,5}", "a=rtpmap:[0-9]{0,3} ?[A-Za-z0-9/]{0,12}",
            "c=IN IP[46] [0-9a-f.:]{0,15}", "a=rtcp:[0-9 ]{0,6}(IN IP4 )?[0-9.]{0,9}"], 0..12)
    ) {
        let _ = read_offer(format!("v=0\r\n{}", lines.join("\r\n")).as_bytes(), Srtp::Off);
    }

    #[test]
    fn what_we_offer_is_read_back(
        codecs in prop::sample::subsequence(Codec::ALL.to_vec(), 1..=6).prop_shuffle(), port in 1u16.., v6: bool, session: u64,
    ) {
        prop_assume!(codecs.iter().any(|codec| !codec.is_events()));
        let ip = if v6 { "2001:db8::1" } else { "192.0.2.1" }.parse().unwrap();
        let read = read_offer(&write_offer(&OwnMedia::plain(SocketAddr::new(ip, port), session), &codecs), Srtp::Off).unwrap();
        prop_assert_eq!(read.rtp, SocketAddr::new(ip, port));
        prop_assert_eq!(read.formats(), codecs);
    }
}

/// A soft phone with pictures in three formats, two of which we carry, and feedback beside plain RTP.
const SEEING_PHONE: &str = "v=0\r
o=anna 3301 1187 IN IP4 192.0.2.33\r
s=Conversation\r
c=IN IP4 192.0.2.33\r
b=AS:1500\r
t=0 0\r
m=audio 41236 RTP/AVP 8\r
m=video 41240 RTP/AVP 97 99 98 100\r
b=AS:1200\r
a=rtpmap:97 VP9/90000\r
a=fmtp:99 profile-level-id=42801F; packetization-mode=1\r
a=rtpmap:99 H264/90000\r
a=rtpmap:98 VP8/90000\r
a=rtpmap:100 H264/90000\r
a=fmtp:100 profile-level-id=428014; packetization-mode=1\r
a=rtcp:41251\r
a=rtcp-fb:* trr-int 5000\r
a=rtcp-fb:98 nack pli\r
a=rtcp-fb:98 nack sli\r
a=recvonly\r
";

const H264: VideoFormat = VideoFormat::H264 {
    profile: crate::video::H264Profile::Baseline,
    level: 31,
    packets: crate::video::PacketizationMode::NonInterleaved,
};

fn seeing(formats: &[VideoFormat]) -> OwnMedia {
    OwnMedia {
        video: Some(OwnVideo {
            port: 47_002,
            keys: Vec::new(),
            formats: formats.to_vec(),
        }),
        ..own(77, 1)
    }
}

#[test]
fn video_of_a_phone_is_read() {
    let media = read_offer(SEEING_PHONE.as_bytes(), Srtp::Optional).unwrap();
    assert_eq!(media.video_formats(), [H264, VideoFormat::Vp8]);
    let video = media.video.clone().unwrap();
    assert_eq!(video.formats, [(H264, 99), (VideoFormat::Vp8, 98)]);
    assert_eq!(video.rtp, "192.0.2.33:41240".parse().unwrap());
    assert_eq!(video.direction, MediaDirection::RecvOnly);
    assert!(video.feedback.pli && !video.feedback.fir);
    let terms = media
        .negotiated(&seeing(&[VideoFormat::Vp8]), &[Pcma])
        .video
        .unwrap();
    assert_eq!(terms.format, (VideoFormat::Vp8, 98));
    assert_eq!(terms.local, SocketAddr::new(own(1, 1).rtp.ip(), 47_002));
    assert_eq!(
        terms.rtcp,
        RtcpDestination::Elsewhere("192.0.2.33:41251".parse().unwrap())
    );
    assert!(terms.receives);
}

#[test]
fn agreed_video_is_answered_in_one_format_and_with_the_feedback_that_was_offered() {
    let media = read_offer(SEEING_PHONE.as_bytes(), Srtp::Optional).unwrap();
    let answer = write_answer(&seeing(&[VideoFormat::Vp8]), &media, &[Pcma]);
    let text = String::from_utf8(answer.clone()).unwrap();
    let video = text.split_once("m=video").unwrap().1;
    assert_eq!(
        video,
        " 47002 RTP/AVP 98\r\nb=AS:1000\r\na=rtpmap:98 VP8/90000\r\na=rtcp-fb:* nack pli\r\n\
         a=rtcp:47002\r\na=sendonly\r\n"
    );
    let lower = VideoFormat::H264 {
        profile: crate::video::H264Profile::Baseline,
        level: 12,
        packets: crate::video::PacketizationMode::NonInterleaved,
    };
    let answer = write_answer(&seeing(&[lower]), &media, &[Pcma]);
    assert!(lines(&answer).contains(&"a=fmtp:99 profile-level-id=42800c;packetization-mode=1"));
}

#[test]
fn video_that_is_not_agreed_is_refused_and_the_rest_is_the_same_to_the_byte() {
    let media = read_offer(SEEING_PHONE.as_bytes(), Srtp::Optional).unwrap();
    let (with, without) = (
        write_answer(&seeing(&[VideoFormat::Vp8]), &media, &[Pcma]),
        write_answer(&own(77, 1), &media, &[Pcma]),
    );
    let refused = "m=video 0 RTP/AVP 0\r\n";
    let without = String::from_utf8(without).unwrap();
    let sound = without.strip_suffix(refused).unwrap();
    assert!(with.starts_with(sound.as_bytes()));
    let other = VideoFormat::H264 {
        profile: crate::video::H264Profile::High,
        level: 31,
        packets: crate::video::PacketizationMode::NonInterleaved,
    };
    let answer = write_answer(&seeing(&[other]), &media, &[Pcma]);
    assert_eq!(answer, without.as_bytes());
    assert_eq!(media.negotiated(&own(77, 1), &[Pcma]).video, None);
}

#[test]
fn video_is_held_with_the_audio() {
    for (sound, sees) in [("sendrecv", true), ("sendonly", false), ("inactive", false)] {
        let text = SEEING_PHONE.replace("RTP/AVP 8\r\n", &format!("RTP/AVP 8\r\na={sound}\r\n"));
        let media = read_offer(text.as_bytes(), Srtp::Off).unwrap();
        let terms = media.negotiated(&seeing(&[VideoFormat::Vp8]), &[Pcma]);
        assert_eq!(terms.video.unwrap().receives, sees, "{sound}");
    }
}

#[test]
fn offered_video_is_read_back_and_a_phone_may_refuse_it() {
    let ours = seeing(&[VideoFormat::Vp8, H264]);
    let text = write_offer(&ours, &[Pcma]);
    assert!(lines(&text).contains(&"m=video 47002 RTP/AVP 112 119"));
    assert!(lines(&text).contains(&"a=rtcp-fb:* ccm fir"));
    let phone = read_offer(&text, Srtp::Off).unwrap();
    assert_eq!(phone.video_formats(), [VideoFormat::Vp8, H264]);
    let answered = |video: &str| {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 8\r\n{video}");
        read_answer(text.as_bytes(), &ours).unwrap().video_formats()
    };
    let vp8 = "m=video 11 RTP/AVP 112\r\na=rtpmap:112 VP8/90000\r\n";
    assert_eq!(answered(vp8), [VideoFormat::Vp8]);
    assert_eq!(answered(""), []);
    assert_eq!(
        answered("m=video 0 RTP/AVP 112\r\na=rtpmap:112 VP8/90000\r\n"),
        []
    );
    assert_eq!(
        answered("m=video 11 RTP/SAVP 112\r\na=rtpmap:112 VP8/90000\r\n"),
        []
    );
    let uninvited = read_answer(
        format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 8\r\n{vp8}").as_bytes(),
        &own(77, 1),
    );
    assert_eq!(uninvited.unwrap().video_formats(), []);
}

#[test]
fn video_is_encrypted_with_a_key_of_its_own_if_audio_is() {
    let crypto = |tag, text| format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{text}\r\n");
    let sound = format!("m=audio 9 RTP/SAVP 8\r\n{}", crypto(1, KEY));
    let maps = "a=rtpmap:98 VP8/90000\r\n";
    let secure = format!(
        "{sound}m=video 11 RTP/SAVP 98\r\n{maps}{}",
        crypto(4, OTHER_KEY)
    );
    let media = offer(&secure, Srtp::Optional).unwrap();
    let mut ours = seeing(&[VideoFormat::Vp8]);
    ours.keys = vec![key(SrtpSuite::AesCm128Sha1Tag80, KEY)];
    assert_eq!(
        media.negotiated(&ours, &[Pcma]).video,
        None,
        "no key of ours"
    );
    if let Some(video) = &mut ours.video {
        video.keys = vec![key(SrtpSuite::AesCm128Sha1Tag80, OTHER_KEY)];
    }
    let keys = media
        .negotiated(&ours, &[Pcma])
        .video
        .unwrap()
        .keys
        .unwrap();
    assert_eq!(keys.theirs, key(SrtpSuite::AesCm128Sha1Tag80, OTHER_KEY));
    let answer = write_answer(&ours, &media, &[Pcma]);
    assert!(lines(&answer).contains(&"m=video 47002 RTP/SAVP 98"));
    assert!(answer.ends_with(crypto(4, OTHER_KEY).as_bytes()));
    // What would give away in clear what the sound hides, or the other way round, is not taken.
    let mixed = format!("{sound}m=video 11 RTP/AVP 98\r\n{maps}");
    assert_eq!(offer(&mixed, Srtp::Optional).unwrap().video, None);
    let mixed = format!(
        "m=audio 9 RTP/AVP 8\r\nm=video 11 RTP/SAVP 98\r\n{maps}{}",
        crypto(1, KEY)
    );
    assert_eq!(offer(&mixed, Srtp::Optional).unwrap().video, None);
}

#[test]
fn video_before_audio_stays_before_it() {
    let (head, sound) = SEEING_PHONE.split_once("m=audio").unwrap();
    let (sound, video) = sound.split_once("m=video").unwrap();
    let text = format!("{head}m=video{video}m=audio{sound}");
    let media = read_offer(text.as_bytes(), Srtp::Off).unwrap();
    let answer = write_answer(&seeing(&[VideoFormat::Vp8]), &media, &[Pcma]);
    let streams: Vec<_> = lines(&answer)
        .into_iter()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        streams,
        ["m=video 47002 RTP/AVP 98", "m=audio 47000 RTP/AVP 8"]
    );
}

proptest! {
    #[test]
    fn damaged_sdp_with_video_is_read_without_panic_and_answered(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = SEEING_PHONE.as_bytes().to_vec();
        for (at, to) in damage {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(media) = read_offer(&bytes, Srtp::Off) {
            let ours = seeing(&media.video_formats());
            let answer = write_answer(&ours, &media, &media.formats());
            let read = read_offer(&answer, Srtp::Off).unwrap();
            prop_assert_eq!(read.video_formats(), media.video_formats());
            prop_assert_eq!(read.codecs, media.codecs);
        }
    }

    #[test]
    fn invented_video_lines_are_read_without_panic(lines in prop::collection::vec(
        prop_oneof!["m=video [0-9]{1,6} RTP/S?AVPF?( [0-9]{1,3}){0,5}", "a=rtpmap:[0-9]{0,3} ?(H264|VP8)/[0-9]{0,6}",
            "a=fmtp:[0-9]{0,3} ?(profile-level-id=[0-9a-f]{0,7})?;?(packetization-mode=[0-9]?)?", "a=rtcp-fb:[0-9*]{0,3} ?[a-z ]{0,9}"], 0..12)
    ) {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 8\r\n{}", lines.join("\r\n"));
        let media = read_offer(text.as_bytes(), Srtp::Off);
        prop_assert!(media.is_err() || media.unwrap().video_formats().len() <= 8);
    }
}
