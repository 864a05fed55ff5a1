//! Writing what we say to a phone (RFC 8866 section 5, RFC 3264), from typed values alone.
//!
//! RTCP is asked to the RTP port itself (`a=rtcp`, RFC 3605): the port above may belong to another
//! program, and the near leg tells the two apart (RFC 5761 section 4).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::stream::{Kind, Protocol, Stream};
use super::{Direction, PhoneMedia};
use crate::codec::Codec;

/// An offer for a phone, with our own payload types. `session` is told to that phone alone and
/// should be random.
#[must_use]
pub fn write_offer(local_rtp: SocketAddr, codecs: &[Codec], session: u64) -> Vec<u8> {
    let numbered: Vec<_> = codecs
        .iter()
        .map(|codec| (*codec, codec.far_payload_type()))
        .collect();
    let stream = Stream {
        kind: Kind::Audio,
        protocol: Protocol::RtpAvp,
    };
    let mut text = session_lines(local_rtp.ip(), session, 1);
    text.push_str(&sound_lines(
        stream,
        local_rtp.port(),
        &numbered,
        Direction::SendRecv,
    ));
    text.into_bytes()
}

/// An offer for a phone that asks for ours in a running call (a re-INVITE without SDP): what was
/// agreed, under the numbers that it has already (RFC 3264 section 8.3.2). `version` as in
/// [`write_answer`].
#[must_use]
pub fn write_reoffer(
    local_rtp: SocketAddr,
    media: &PhoneMedia,
    chosen: &[Codec],
    session: u64,
    version: u64,
) -> Vec<u8> {
    let asking = PhoneMedia {
        direction: Direction::SendRecv,
        ..media.clone()
    };
    write_answer(local_rtp, &asking, chosen, session, version)
}

/// The answer to a phone's offer, with the phone's payload types and every other stream refused by
/// port 0.
///
/// `chosen` is what was agreed ([`choose`](crate::negotiate::choose)); what the phone did not offer
/// is left out, and if nothing is left, sound is refused as well. `version` counts up within
/// `session` when the answer to a re-INVITE differs (RFC 3264 section 8).
#[must_use]
pub fn write_answer(
    local_rtp: SocketAddr,
    offer: &PhoneMedia,
    chosen: &[Codec],
    session: u64,
    version: u64,
) -> Vec<u8> {
    let place = |codec: &Codec| {
        offer
            .codecs
            .iter()
            .copied()
            .find(|(offered, _)| offered == codec)
    };
    let numbered: Vec<_> = chosen.iter().filter_map(place).collect();
    let mut text = session_lines(local_rtp.ip(), session, version);
    for (at, stream) in offer.streams.iter().enumerate() {
        if at == offer.chosen && !numbered.is_empty() {
            text.push_str(&sound_lines(
                *stream,
                local_rtp.port(),
                &numbered,
                offer.direction.mirrored(),
            ));
        } else {
            text.push_str(&refused_line(*stream));
        }
    }
    text.into_bytes()
}

fn session_lines(ip: IpAddr, session: u64, version: u64) -> String {
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n"
    )
}

fn sound_lines(
    stream: Stream,
    port: u16,
    numbered: &[(Codec, u8)],
    direction: Direction,
) -> String {
    let mut text = format!("m={} {port} {}", stream.kind.name(), stream.protocol.name());
    for (_, number) in numbered {
        let _ = write!(text, " {number}");
    }
    text.push_str("\r\n");
    for (codec, number) in numbered {
        let _ = write!(text, "a=rtpmap:{number} {}\r\n", codec.rtpmap());
        if let Some(parameters) = codec.format_parameters() {
            let _ = write!(text, "a=fmtp:{number} {parameters}\r\n");
        }
    }
    let _ = write!(
        text,
        "a=ptime:20\r\na=rtcp:{port}\r\na={}\r\n",
        direction.attribute()
    );
    text
}

/// RFC 3264 section 6: a refused stream has port 0; its format is there because the grammar wants
/// one.
fn refused_line(stream: Stream) -> String {
    format!(
        "m={} 0 {} {}\r\n",
        stream.kind.name(),
        stream.protocol.name(),
        stream.protocol.any_format()
    )
}
