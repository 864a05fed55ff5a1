//! One media section of a phone's SDP, an `m=` line and its attributes (RFC 8866 section 5.14), while it is being read.
//!
//! Which section a call takes is decided in `read`.

use std::net::{IpAddr, SocketAddr};

use super::crypto::{self, CryptoAttribute};
use super::media_line::{MediaKind, MediaLine, MediaProtocol};
use super::video::VideoAttributes;
use super::{MediaDirection, NotAcceptableError};
use crate::codec::Codec;
use crate::srtp::SrtpKey;
use crate::video::VideoFormat;

/// One `m=` line and its attributes.
pub(super) struct MediaSectionDraft<'a> {
    pub(super) line: MediaLine,
    pub(super) port: u16,
    pub(super) payload_types: Vec<u8>,
    pub(super) address: Option<Result<IpAddr, NotAcceptableError>>,
    pub(super) direction: Option<MediaDirection>,
    pub(super) rtcp: Option<(u16, Option<IpAddr>)>,
    pub(super) rtcp_mux: bool,
    /// The keys that are supported.
    pub(super) cryptos: Vec<CryptoAttribute>,
    /// The `a=rtpmap` lines; `None` for formats that we do not carry.
    mapped: Vec<(u8, Option<Codec>)>,
    /// The attributes of a video section.
    pub(super) video: VideoAttributes<'a>,
}

impl<'a> MediaSectionDraft<'a> {
    /// Reads the value of an `m=` line. One that cannot be read is a stream with port 0, which an answer has to count as well.
    pub(super) fn read(value: &str) -> Self {
        let mut words = value.split_ascii_whitespace();
        let mut word = || words.next().unwrap_or_default();
        let (kind, port, protocol) = (word(), word(), word());
        let port = port.split_once('/').map_or(port, |(first, _)| first);
        let line = MediaLine {
            kind: MediaKind::read(kind),
            protocol: MediaProtocol::read(protocol),
        };
        let mut payload_types = Vec::new();
        if line.kind.is_carried() {
            payload_types.extend(words.filter_map(payload_type).take(PAYLOAD_TYPES));
        }
        Self {
            line,
            port: port.parse().unwrap_or(0),
            payload_types,
            address: None,
            direction: None,
            rtcp: None,
            rtcp_mux: false,
            cryptos: Vec::new(),
            mapped: Vec::new(),
            video: VideoAttributes::default(),
        }
    }

    pub(super) fn is_audio(&self) -> bool {
        self.line.kind == MediaKind::Audio && self.is_open()
    }

    /// Whether the stream is not refused and runs over a kind of RTP that we support.
    pub(super) fn is_open(&self) -> bool {
        let protocol = &self.line.protocol;
        self.port != 0 && (protocol.is_plain_rtp() || protocol.has_keys_in_sdp())
    }

    /// Takes an attribute of an audio or video section. One that cannot be read is skipped (RFC 8866 section 5).
    pub(super) fn attribute(&mut self, name: &str, value: &'a str) {
        match (name, &self.line.kind) {
            ("rtpmap", MediaKind::Audio) => self.mapped.extend(mapped(value)),
            ("rtpmap" | "fmtp" | "rtcp-fb", MediaKind::Video) => self.video.line(name, value),
            ("rtcp", kind) if kind.is_carried() => self.rtcp = rtcp(value).or(self.rtcp),
            ("crypto", kind) if kind.is_carried() => self.cryptos.extend(crypto::read(value)),
            _ => {}
        }
    }

    /// The destination for its packets; `session` is the address for all sections.
    pub(super) fn address(
        &self,
        session: Option<Result<IpAddr, NotAcceptableError>>,
    ) -> Result<SocketAddr, NotAcceptableError> {
        let ip = self
            .address
            .or(session)
            .unwrap_or(Err(NotAcceptableError::Address))?;
        Ok(SocketAddr::new(ip, self.port))
    }

    /// The destination for RTCP, if the SDP names one; `ip` is that of RTP.
    pub(super) fn rtcp_address(&self, ip: IpAddr) -> Option<SocketAddr> {
        self.rtcp
            .map(|(port, other)| SocketAddr::new(other.unwrap_or(ip), port))
    }

    pub(super) fn is_plain_audio(&self) -> bool {
        self.is_audio() && self.line.protocol.is_plain_rtp()
    }

    pub(super) fn is_secure_audio(&self) -> bool {
        self.line.kind == MediaKind::Audio && self.port != 0 && self.line.protocol.is_secure_rtp()
    }

    /// Whether there is a key. Keys may stand beside plain RTP as well: then the phone leaves the choice to us.
    pub(super) fn has_key(&self) -> bool {
        self.is_audio() && !self.cryptos.is_empty()
    }

    /// The key whose tag and suite fit one of those that we offered.
    pub(super) fn agreed(&self, own: &[SrtpKey]) -> Option<CryptoAttribute> {
        let fits = |crypto: &&CryptoAttribute| {
            let ours = usize::try_from(crypto.tag)
                .ok()
                .and_then(|tag| own.get(tag.checked_sub(1)?));
            ours.is_some_and(|key| key.suite() == crypto.key.suite())
        };
        self.cryptos.iter().find(fits).cloned()
    }

    /// The formats of a video section that may be taken.
    pub(super) fn video_formats(&self) -> Vec<(VideoFormat, u8)> {
        match self.line.kind {
            MediaKind::Video if self.is_open() => self.video.formats(&self.payload_types),
            _ => Vec::new(),
        }
    }

    /// Whether it has an audio format that we carry.
    pub(super) fn has_sound(&self) -> bool {
        self.codecs().iter().any(|(codec, _)| !codec.is_events())
    }

    /// The audio formats that we carry. Of duplicate formats or payload types the first one counts.
    pub(super) fn codecs(&self) -> Vec<(Codec, u8)> {
        let mut codecs: Vec<(Codec, u8)> = Vec::new();
        for number in &self.payload_types {
            let mapped = self.mapped.iter().find(|(mapped, _)| mapped == number);
            let codec = mapped.map_or_else(
                || Codec::from_static_payload_type(*number),
                |(_, codec)| *codec,
            );
            if let Some(codec) = codec
                && codecs
                    .iter()
                    .all(|(other, taken)| *other != codec && taken != number)
            {
                codecs.push((codec, *number));
            }
        }
        codecs
    }
}

/// `a=rtpmap:<payload type> <format>` (RFC 8866 section 6.6).
fn mapped(value: &str) -> Option<(u8, Option<Codec>)> {
    let (number, format) = value.trim().split_once([' ', '\t'])?;
    Some((payload_type(number)?, Codec::from_rtpmap(format.trim())))
}

/// `a=rtcp:<port> [IN IP4 <address>]` (RFC 3605 section 2.1).
fn rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let value = value.trim();
    let (port, address) = match value.split_once([' ', '\t']) {
        Some((port, address)) => (port, connection_address(address)),
        None => (value, None),
    };
    Some((port.parse().ok()?, address.and_then(Result::ok)))
}

/// `IN IP4 <address>[/ttl]` (RFC 8866 section 5.7): `None` if it is malformed, an error if the address cannot be a phone's. A name is not
/// looked up: that would tell a name server of the call.
pub(super) fn connection_address(value: &str) -> Option<Result<IpAddr, NotAcceptableError>> {
    let mut words = value.split_ascii_whitespace();
    let (Some("IN"), Some(family), Some(address)) = (words.next(), words.next(), words.next())
    else {
        return None;
    };
    let Ok(ip) = address.parse::<IpAddr>() else {
        return Some(Err(NotAcceptableError::Address));
    };
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    match family {
        _ if ip.is_multicast() || broadcast => Some(Err(NotAcceptableError::Address)),
        // The address itself tells its family.
        "IP4" | "IP6" => Some(Ok(ip)),
        _ => None,
    }
}

pub(super) fn payload_type(word: &str) -> Option<u8> {
    word.parse().ok().filter(|number| *number < 128)
}

/// All payload types that exist (RFC 3550 section 5.1); no line can make us keep more.
const PAYLOAD_TYPES: usize = 128;
