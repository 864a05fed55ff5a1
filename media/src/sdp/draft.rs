//! One `m=` line of a phone's SDP and what follows it (RFC 8866 section 5.14), while it is being read.
//!
//! Which streams a call takes is decided in `read`.

use std::net::{IpAddr, SocketAddr};

use super::crypto::{self, Crypto};
use super::media_line::{Kind, Protocol, Stream};
use super::video::VideoLines;
use super::{Direction, SdpError, Unacceptable};
use crate::codec::Codec;
use crate::srtp::Key;
use crate::video::VideoFormat;

/// One `m=` line and what follows it.
pub(super) struct StreamDraft<'a> {
    pub(super) stream: Stream,
    pub(super) port: u16,
    pub(super) payload_types: Vec<u8>,
    pub(super) address: Option<Result<IpAddr, Unacceptable>>,
    pub(super) direction: Option<Direction>,
    pub(super) rtcp: Option<(u16, Option<IpAddr>)>,
    pub(super) rtcp_mux: bool,
    /// The keys that we can use.
    pub(super) cryptos: Vec<Crypto>,
    /// What `a=rtpmap` says, `None` for formats that we do not carry.
    mapped: Vec<(u8, Option<Codec>)>,
    /// What is said of moving pictures; for sound this stays empty.
    pub(super) video: VideoLines<'a>,
}

impl<'a> StreamDraft<'a> {
    pub(super) fn read(value: &str, malformed: SdpError) -> Result<Self, SdpError> {
        let mut words = value.split_ascii_whitespace();
        let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next())
        else {
            return Err(malformed);
        };
        let port = port
            .split_once('/')
            .map_or(port, |(first, _)| first)
            .parse()
            .map_err(|_| malformed)?;
        let stream = Stream {
            kind: Kind::read(kind).ok_or(Unacceptable::UnknownStream)?,
            protocol: Protocol::read(protocol).ok_or(Unacceptable::UnknownStream)?,
        };
        let mut payload_types = Vec::new();
        if stream.kind.is_carried() {
            payload_types.extend(words.filter_map(payload_type).take(PAYLOAD_TYPES));
        }
        Ok(Self {
            stream,
            port,
            payload_types,
            address: None,
            direction: None,
            rtcp: None,
            rtcp_mux: false,
            cryptos: Vec::new(),
            mapped: Vec::new(),
            video: VideoLines::default(),
        })
    }

    pub(super) fn is_sound(&self) -> bool {
        self.stream.kind == Kind::Audio && self.is_open()
    }

    /// Not refused, and over RTP as we speak it.
    pub(super) fn is_open(&self) -> bool {
        let protocol = self.stream.protocol;
        self.port != 0 && (protocol.is_plain_rtp() || protocol.has_keys_in_sdp())
    }

    /// An attribute that belongs to a stream of sound or of moving pictures; the fault if it is malformed.
    pub(super) fn attribute(&mut self, name: &str, value: &'a str) -> Result<(), &'static str> {
        match (name, self.stream.kind) {
            ("rtpmap", Kind::Audio) => self.map(value).ok_or("payload type and format"),
            ("rtpmap" | "fmtp" | "rtcp-fb", Kind::Video) => {
                self.video.line(name, value);
                Ok(())
            }
            ("rtcp", kind) if kind.is_carried() => self.rtcp(value).ok_or("port of RTCP"),
            ("crypto", kind) if kind.is_carried() => {
                self.cryptos.extend(crypto::read(value));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Where it wants its packets, `session` being what is said for all streams.
    pub(super) fn address(
        &self,
        session: Option<Result<IpAddr, Unacceptable>>,
    ) -> Result<SocketAddr, Unacceptable> {
        let ip = self
            .address
            .or(session)
            .unwrap_or(Err(Unacceptable::Address))?;
        Ok(SocketAddr::new(ip, self.port))
    }

    /// Where it wants RTCP, if it says so; `ip` is where it wants everything else.
    pub(super) fn rtcp_address(&self, ip: IpAddr) -> Option<SocketAddr> {
        self.rtcp
            .map(|(port, other)| SocketAddr::new(other.unwrap_or(ip), port))
    }

    pub(super) fn is_plain_sound(&self) -> bool {
        self.is_sound() && self.stream.protocol.is_plain_rtp()
    }

    pub(super) fn is_secure_sound(&self) -> bool {
        self.stream.kind == Kind::Audio && self.port != 0 && self.stream.protocol.is_secure_rtp()
    }

    /// Keys may stand beside plain RTP as well: then the phone leaves the choice to us.
    pub(super) fn has_key(&self) -> bool {
        self.is_sound() && !self.cryptos.is_empty()
    }

    /// The key that fits one of those that we offered.
    pub(super) fn agreed(&self, own: &[Key]) -> Option<Crypto> {
        let fits = |crypto: &&Crypto| {
            let ours = usize::try_from(crypto.tag)
                .ok()
                .and_then(|tag| own.get(tag.checked_sub(1)?));
            ours.is_some_and(|key| key.suite() == crypto.key.suite())
        };
        self.cryptos.iter().find(fits).cloned()
    }

    /// `a=rtpmap:<payload type> <format>` (RFC 8866 section 6.6).
    fn map(&mut self, value: &str) -> Option<()> {
        let (number, format) = value.trim().split_once(' ')?;
        let number = payload_type(number)?;
        self.mapped
            .push((number, Codec::from_rtpmap(format.trim())));
        Some(())
    }

    /// `a=rtcp:<port> [IN IP4 <address>]` (RFC 3605 section 2.1).
    fn rtcp(&mut self, value: &str) -> Option<()> {
        let value = value.trim();
        let (port, address) = value
            .split_once(' ')
            .map_or((value, None), |(port, address)| (port, Some(address)));
        let address = address.and_then(connection_address).and_then(Result::ok);
        self.rtcp = Some((port.parse().ok()?, address));
        Some(())
    }

    /// The formats of a stream of moving pictures, if it is one and may be taken.
    pub(super) fn pictures(&self) -> Vec<(VideoFormat, u8)> {
        match self.stream.kind {
            Kind::Video if self.is_open() => self.video.formats(&self.payload_types),
            _ => Vec::new(),
        }
    }

    /// The formats of this stream that we carry: each once, and each payload type once, first come.
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

/// `IN IP4 <address>[/ttl]` (RFC 8866 section 5.7): `None` if it is no such line, an error if no
/// phone can be reached there.
pub(super) fn connection_address(value: &str) -> Option<Result<IpAddr, Unacceptable>> {
    let mut words = value.split_ascii_whitespace();
    let (Some("IN"), Some(family), Some(address)) = (words.next(), words.next(), words.next())
    else {
        return None;
    };
    let Ok(ip) = address.parse::<IpAddr>() else {
        return Some(Err(Unacceptable::Address));
    };
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    match (family, ip) {
        _ if ip.is_multicast() || broadcast => Some(Err(Unacceptable::Address)),
        ("IP4", IpAddr::V4(_)) | ("IP6", IpAddr::V6(_)) => Some(Ok(ip)),
        _ => None,
    }
}

pub(super) fn payload_type(word: &str) -> Option<u8> {
    word.parse().ok().filter(|number| *number < 128)
}

/// There are no more numbers than these (RFC 3550 section 5.1), so that a line cannot make us keep
/// more.
const PAYLOAD_TYPES: usize = 128;
