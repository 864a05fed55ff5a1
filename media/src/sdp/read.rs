//! Reading a phone's SDP (RFC 8866 section 5) with limits, as generously as phones need and no
//! more.
//!
//! Lines that do not matter to sound are skipped unread, so they may hold anything. Order is not
//! enforced beyond `v=` first, because phones do not keep it.

use std::net::{IpAddr, SocketAddr};

use super::crypto::{self, Crypto};
use super::stream::{Kind, Protocol, Stream};
use super::{
    Direction, MAX_BYTES, MAX_LINES, MAX_STREAMS, OwnMedia, PhoneMedia, SdpError, Unacceptable,
};
use crate::codec::Codec;
use crate::srtp::Srtp;

/// Reads what a phone offers. Of several streams of sound an encrypted one is taken, unless `srtp`
/// is off; of several keys the first that we can use, since their order is the phone's preference
/// (RFC 4568 section 5.1.2).
///
/// # Errors
/// [`SdpError::Malformed`] and [`SdpError::TooLong`] ask for 400, [`SdpError::Unacceptable`] for
/// 488.
pub fn read_offer(bytes: &[u8], srtp: Srtp) -> Result<PhoneMedia, SdpError> {
    let draft = Draft::read(bytes)?;
    let chosen = draft.choose(srtp)?;
    let stream = draft.streams.get(chosen);
    let crypto = stream
        .filter(|_| srtp != Srtp::Off)
        .and_then(|stream| stream.cryptos.first().cloned());
    draft.finish(chosen, crypto)
}

/// Reads what a phone answers to an offer of ours, which has one stream. Where we offered keys, the
/// answer has one for the suite under the same tag (RFC 4568 section 5.1.3), or it is none.
///
/// # Errors
/// As [`read_offer`]; a phone that answers with port 0 has refused: [`Unacceptable::NoSound`].
pub fn read_answer(bytes: &[u8], own: &OwnMedia) -> Result<PhoneMedia, SdpError> {
    // RFC 3264 section 6: the answer has the offer's streams in the offer's order, so the first one
    // must be ours.
    let draft = Draft::read(bytes)?;
    let stream = draft.streams.first();
    if !stream.is_some_and(StreamDraft::is_sound) {
        return Err(Unacceptable::NoSound.into());
    }
    let is_plain = stream.is_some_and(StreamDraft::is_plain_sound);
    let agreed = stream.and_then(|stream| stream.agreed(own));
    match (own.keys.is_empty(), agreed) {
        (true, _) if is_plain => draft.finish(0, None),
        (false, Some(crypto)) => draft.finish(0, Some(crypto)),
        _ => Err(Unacceptable::NoKey.into()),
    }
}

/// The whole SDP while it is being read.
#[derive(Default)]
struct Draft {
    address: Option<Result<IpAddr, Unacceptable>>,
    direction: Option<Direction>,
    streams: Vec<StreamDraft>,
}

/// One `m=` line and what follows it.
struct StreamDraft {
    stream: Stream,
    port: u16,
    payload_types: Vec<u8>,
    address: Option<Result<IpAddr, Unacceptable>>,
    direction: Option<Direction>,
    rtcp: Option<(u16, Option<IpAddr>)>,
    rtcp_mux: bool,
    /// The keys that we can use.
    cryptos: Vec<Crypto>,
    /// What `a=rtpmap` says, `None` for formats that we do not carry.
    mapped: Vec<(u8, Option<Codec>)>,
}

impl Draft {
    fn read(bytes: &[u8]) -> Result<Self, SdpError> {
        if bytes.len() > MAX_BYTES {
            return Err(SdpError::TooLong);
        }
        let mut draft = Self::default();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if at >= MAX_LINES {
                return Err(SdpError::TooLong);
            }
            draft.line(line.strip_suffix(b"\r").unwrap_or(line), at + 1)?;
        }
        Ok(draft)
    }

    fn line(&mut self, line: &[u8], number: usize) -> Result<(), SdpError> {
        let malformed = |what| SdpError::Malformed { line: number, what };
        if number == 1 {
            return if line == b"v=0" {
                Ok(())
            } else {
                Err(malformed("v=0"))
            };
        }
        let (kind, value) = match line {
            [] => return Ok(()),
            [kind, b'=', value @ ..] => (*kind, value),
            _ => return Err(malformed("a letter and an equals sign")),
        };
        match kind {
            b'm' if self.streams.len() >= MAX_STREAMS => Err(SdpError::TooLong),
            b'm' => {
                let value = text(value).ok_or(malformed("text in m="))?;
                self.streams.push(StreamDraft::read(
                    value,
                    malformed("kind, port, protocol, formats"),
                )?);
                Ok(())
            }
            b'c' => {
                let value = text(value).ok_or(malformed("text in c="))?;
                *self.address_place() =
                    Some(connection_address(value).ok_or(malformed("IN, IP4 or IP6, address"))?);
                Ok(())
            }
            b'a' => text(value).map_or(Ok(()), |value| self.attribute(value).map_err(malformed)),
            _ => Ok(()),
        }
    }

    fn address_place(&mut self) -> &mut Option<Result<IpAddr, Unacceptable>> {
        self.streams
            .last_mut()
            .map_or(&mut self.address, |stream| &mut stream.address)
    }

    fn attribute(&mut self, value: &str) -> Result<(), &'static str> {
        if let Some(direction) = Direction::ALL
            .into_iter()
            .find(|direction| direction.attribute() == value.trim_end())
        {
            *self
                .streams
                .last_mut()
                .map_or(&mut self.direction, |stream| &mut stream.direction) = Some(direction);
        }
        if let ("rtcp-mux", Some(stream)) = (value.trim_end(), self.streams.last_mut()) {
            stream.rtcp_mux = true;
        }
        let Some((name, value)) = value.split_once(':') else {
            return Ok(());
        };
        match (name, self.streams.last_mut()) {
            ("rtpmap", Some(stream)) if stream.stream.kind == Kind::Audio => {
                stream.map(value).ok_or("payload type and format")
            }
            ("rtcp", Some(stream)) if stream.stream.kind == Kind::Audio => {
                stream.rtcp(value).ok_or("port of RTCP")
            }
            ("crypto", Some(stream)) if stream.stream.kind == Kind::Audio => {
                stream.cryptos.extend(crypto::read(value));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The stream of sound that we take.
    fn choose(&self, srtp: Srtp) -> Result<usize, Unacceptable> {
        let first = |is_it: fn(&StreamDraft) -> bool| self.streams.iter().position(is_it);
        let chosen = match srtp {
            Srtp::Off => first(StreamDraft::is_plain_sound),
            Srtp::Optional => {
                first(StreamDraft::has_key).or_else(|| first(StreamDraft::is_plain_sound))
            }
            Srtp::Required => first(StreamDraft::has_key),
        };
        chosen.ok_or_else(|| self.why_no_sound(srtp))
    }

    fn why_no_sound(&self, srtp: Srtp) -> Unacceptable {
        let any = |is_it: fn(&StreamDraft) -> bool| self.streams.iter().any(is_it);
        if any(StreamDraft::is_secure_sound) {
            match srtp {
                Srtp::Off => Unacceptable::SecureOnly,
                Srtp::Optional | Srtp::Required => Unacceptable::NoKey,
            }
        } else if any(StreamDraft::is_plain_sound) {
            Unacceptable::PlainOnly
        } else {
            Unacceptable::NoSound
        }
    }

    fn finish(self, chosen: usize, crypto: Option<Crypto>) -> Result<PhoneMedia, SdpError> {
        let stream = self.streams.get(chosen).ok_or(Unacceptable::NoSound)?;
        let ip = stream
            .address
            .or(self.address)
            .unwrap_or(Err(Unacceptable::Address))?;
        let codecs = stream.codecs();
        if codecs.iter().all(|(codec, _)| codec.is_events()) {
            return Err(Unacceptable::NoFormat.into());
        }
        Ok(PhoneMedia {
            rtp: SocketAddr::new(ip, stream.port),
            rtcp: stream
                .rtcp
                .map(|(port, other)| SocketAddr::new(other.unwrap_or(ip), port)),
            rtcp_mux: stream.rtcp_mux,
            codecs,
            crypto,
            direction: stream.direction.or(self.direction).unwrap_or_default(),
            streams: self.streams.iter().map(|stream| stream.stream).collect(),
            chosen,
        })
    }
}

impl StreamDraft {
    fn read(value: &str, malformed: SdpError) -> Result<Self, SdpError> {
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
        if stream.kind == Kind::Audio {
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
        })
    }

    fn is_sound(&self) -> bool {
        let protocol = self.stream.protocol;
        let is_rtp = protocol.is_plain_rtp() || protocol.has_keys_in_sdp();
        self.stream.kind == Kind::Audio && self.port != 0 && is_rtp
    }

    fn is_plain_sound(&self) -> bool {
        self.is_sound() && self.stream.protocol.is_plain_rtp()
    }

    fn is_secure_sound(&self) -> bool {
        self.stream.kind == Kind::Audio && self.port != 0 && self.stream.protocol.is_secure_rtp()
    }

    /// Keys may stand beside plain RTP as well: then the phone leaves the choice to us.
    fn has_key(&self) -> bool {
        self.is_sound() && !self.cryptos.is_empty()
    }

    /// The key that fits one of those that we offered.
    fn agreed(&self, own: &OwnMedia) -> Option<Crypto> {
        let fits = |crypto: &&Crypto| {
            let ours = usize::try_from(crypto.tag)
                .ok()
                .and_then(|tag| own.keys.get(tag.checked_sub(1)?));
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

    /// The formats of this stream that we carry: each once, and each payload type once, first come.
    fn codecs(&self) -> Vec<(Codec, u8)> {
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
fn connection_address(value: &str) -> Option<Result<IpAddr, Unacceptable>> {
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

fn payload_type(word: &str) -> Option<u8> {
    word.parse().ok().filter(|number| *number < 128)
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

/// There are no more numbers than these (RFC 3550 section 5.1), so that a line cannot make us keep
/// more.
const PAYLOAD_TYPES: usize = 128;
