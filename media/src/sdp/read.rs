//! Reading a phone's SDP (RFC 8866 section 5) with limits, as generously as phones need and no
//! more.
//!
//! Lines that do not matter to sound are skipped unread, so they may hold anything. Order is not
//! enforced beyond `v=` first, because phones do not keep it.

use std::net::IpAddr;

use super::crypto::Crypto;
use super::draft::{StreamDraft, connection_address};
use super::video::PhoneVideo;
use super::{
    Direction, MAX_BYTES, MAX_LINES, MAX_STREAMS, OwnMedia, PhoneMedia, SdpError, Unacceptable,
};
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
    let video = draft.video(|stream| match crypto {
        Some(_) => stream.cryptos.first().cloned().map(Some),
        None => stream.stream.protocol.is_plain_rtp().then_some(None),
    });
    draft.finish(chosen, crypto, video)
}

/// Reads what a phone answers to an offer of ours, which has a stream of sound and perhaps one of moving pictures. Where we offered keys, the
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
    let agreed = stream.and_then(|stream| stream.agreed(&own.keys));
    let video = own.video.as_ref().and_then(|own| {
        draft.video(|stream| match own.keys.is_empty() {
            true => stream.stream.protocol.is_plain_rtp().then_some(None),
            false => stream.agreed(&own.keys).map(Some),
        })
    });
    match (own.keys.is_empty(), agreed) {
        (true, _) if is_plain => draft.finish(0, None, video),
        (false, Some(crypto)) => draft.finish(0, Some(crypto), video),
        _ => Err(Unacceptable::NoKey.into()),
    }
}

/// The whole SDP while it is being read.
#[derive(Default)]
struct Draft<'a> {
    address: Option<Result<IpAddr, Unacceptable>>,
    direction: Option<Direction>,
    streams: Vec<StreamDraft<'a>>,
}

impl<'a> Draft<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, SdpError> {
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

    fn line(&mut self, line: &'a [u8], number: usize) -> Result<(), SdpError> {
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

    fn attribute(&mut self, value: &'a str) -> Result<(), &'static str> {
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
        match self.streams.last_mut() {
            Some(stream) => stream.attribute(name, value),
            None => Ok(()),
        }
    }

    /// The stream of sound that we take.
    fn choose(&self, srtp: Srtp) -> Result<usize, Unacceptable> {
        let first = |is_it: fn(&StreamDraft<'a>) -> bool| self.streams.iter().position(is_it);
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
        let any = |is_it: fn(&StreamDraft<'a>) -> bool| self.streams.iter().any(is_it);
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

    /// The first stream of moving pictures that we can take. `key` finds its key, if it may be taken at all: pictures are
    /// encrypted if the sound is, and only then.
    fn video(
        &self,
        key: impl Fn(&StreamDraft<'_>) -> Option<Option<Crypto>>,
    ) -> Option<PhoneVideo> {
        let mut streams = self.streams.iter().enumerate();
        streams.find_map(|(at, stream)| {
            let rtp = stream.address(self.address).ok()?;
            let formats = stream.pictures();
            let crypto = key(stream).filter(|_| !formats.is_empty())?;
            Some(PhoneVideo {
                rtp,
                rtcp: stream.rtcp_address(rtp.ip()),
                rtcp_mux: stream.rtcp_mux,
                formats,
                direction: stream.direction.or(self.direction).unwrap_or_default(),
                feedback: stream.video.feedback,
                crypto,
                at,
            })
        })
    }

    fn finish(
        self,
        chosen: usize,
        crypto: Option<Crypto>,
        video: Option<PhoneVideo>,
    ) -> Result<PhoneMedia, SdpError> {
        let stream = self.streams.get(chosen).ok_or(Unacceptable::NoSound)?;
        let rtp = stream.address(self.address)?;
        let codecs = stream.codecs();
        if codecs.iter().all(|(codec, _)| codec.is_events()) {
            return Err(Unacceptable::NoFormat.into());
        }
        Ok(PhoneMedia {
            rtp,
            rtcp: stream.rtcp_address(rtp.ip()),
            rtcp_mux: stream.rtcp_mux,
            codecs,
            crypto,
            direction: stream.direction.or(self.direction).unwrap_or_default(),
            video,
            streams: self.streams.iter().map(|stream| stream.stream).collect(),
            chosen,
        })
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}
