//! Writes our SDP for a phone (RFC 8866 section 5, RFC 3264), from typed values alone.
//!
//! RTCP is requested at the RTP port itself (`a=rtcp`, RFC 3605): the next port may belong to another program, and the
//! near leg distinguishes the two by their second byte (RFC 5761 section 4).

use std::fmt::Write as _;

use super::crypto::{self, CryptoAttribute};
use super::media_line::{MediaKind, MediaLine, MediaProtocol};
use super::video::{PhoneVideo, VideoSection};
use super::{MediaDirection, OwnMedia, PhoneMedia};
use crate::codec::Codec;

/// An offer for a phone, with our own payload types: over RTP/SAVP if we have keys to offer, over RTP/AVP otherwise.
#[must_use]
pub fn write_offer(own: &OwnMedia, codecs: &[Codec]) -> Vec<u8> {
    let numbered: Vec<_> = codecs
        .iter()
        .map(|codec| (*codec, codec.far_payload_type()))
        .collect();
    let line = MediaLine {
        kind: MediaKind::Audio,
        protocol: if own.keys.is_empty() {
            MediaProtocol::RtpAvp
        } else {
            MediaProtocol::RtpSavp
        },
    };
    let mut text = session_lines(own);
    text.push_str(&audio_lines(
        &line,
        own.rtp.port(),
        &numbered,
        MediaDirection::SendRecv,
    ));
    for (tag, key) in (1..).zip(&own.keys) {
        text.push_str(&crypto::line(tag, key));
    }
    if let Some(video) = &own.video {
        let lines = VideoSection::offer(video);
        text.push_str(&lines.lines(MediaKind::Video.name(), line.protocol.name()));
    }
    text.into_bytes()
}

/// An offer for a phone that requests one in a running call (a re-INVITE without SDP): the agreed formats, under the
/// payload types in use (RFC 3264 section 8.3.2). `own` has the agreed key alone, which
/// [`read_answer`](super::read_answer) expects under tag 1.
#[must_use]
pub fn write_reoffer(own: &OwnMedia, media: &PhoneMedia, chosen: &[Codec]) -> Vec<u8> {
    let crypto = media.crypto.clone();
    let asking = PhoneMedia {
        direction: MediaDirection::SendRecv,
        crypto: crypto.map(|crypto| CryptoAttribute { tag: 1, ..crypto }),
        video: media.video.clone().map(PhoneVideo::reoffered),
        ..media.clone()
    };
    write_answer(own, &asking, chosen)
}

/// The answer to a phone's offer, with the phone's payload types and every other stream refused by port 0.
///
/// `chosen` is what was agreed ([`choose`](crate::negotiate::choose)); formats that the phone did not offer are left out.
/// Audio is refused as well if no format is left, or if the phone wants it encrypted and `own` has no key for its suite.
#[must_use]
pub fn write_answer(own: &OwnMedia, offer: &PhoneMedia, chosen: &[Codec]) -> Vec<u8> {
    let place = |codec: &Codec| {
        offer
            .codecs
            .iter()
            .copied()
            .find(|(offered, _)| offered == codec)
    };
    let numbered: Vec<_> = chosen.iter().filter_map(place).collect();
    let key = offer.suite().and_then(|suite| own.key(suite));
    let mut text = session_lines(own);
    for (at, line) in offer.streams.iter().enumerate() {
        let is_open = key.is_some() || !line.protocol.is_secure_rtp();
        if at == offer.chosen && is_open && !numbered.is_empty() {
            text.push_str(&audio_lines(
                line,
                own.rtp.port(),
                &numbered,
                offer.direction.mirrored(),
            ));
            if offer.rtcp_mux {
                text.push_str("a=rtcp-mux\r\n");
            }
            if let (Some(crypto), Some(key)) = (&offer.crypto, key) {
                text.push_str(&crypto::line(crypto.tag, key));
            }
        } else if let Some(video) = agreed_video(own, offer, at) {
            text.push_str(&video.lines(line.kind.name(), line.protocol.name()));
        } else {
            text.push_str(&refused_line(line));
        }
    }
    text.into_bytes()
}

/// The agreed video section, if that is this `m=` line.
fn agreed_video(own: &OwnMedia, offer: &PhoneMedia, at: usize) -> Option<VideoSection> {
    let video = offer.video.as_ref().filter(|video| video.at == at)?;
    video.answer(own.video.as_ref()?)
}

fn session_lines(own: &OwnMedia) -> String {
    let OwnMedia {
        session, version, ..
    } = own;
    let ip = own.rtp.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n"
    )
}

fn audio_lines(
    line: &MediaLine,
    port: u16,
    numbered: &[(Codec, u8)],
    direction: MediaDirection,
) -> String {
    let mut text = format!("m={} {port} {}", line.kind.name(), line.protocol.name());
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

/// RFC 3264 section 6: a refused stream has port 0; its format is there because the grammar requires one.
fn refused_line(line: &MediaLine) -> String {
    format!(
        "m={} 0 {} {}\r\n",
        line.kind.name(),
        line.protocol.name(),
        line.protocol.any_format()
    )
}
