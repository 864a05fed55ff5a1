//! Reads a phone's SDP (RFC 8866 section 5) within limits, and as leniently as real phones require.
//!
//! Lines that do not matter to the media are skipped unread. Their order is not enforced beyond `v=` first, because phones
//! do not keep it.

use std::net::IpAddr;

use super::crypto::CryptoAttribute;
use super::draft::{MediaSectionDraft, connection_address};
use super::video::PhoneVideo;
use super::{
    MAX_BYTES, MAX_LINES, MAX_STREAMS, MediaDirection, NotAcceptableError, OwnMedia, PhoneMedia,
    SdpError,
};
use crate::srtp::Srtp;

/// Reads a phone's offer. Of several audio streams an encrypted one is taken, unless `srtp` is off; of several keys the
/// first that is supported, since their order is the phone's preference (RFC 4568 section 5.1.2).
///
/// # Errors
/// [`SdpError::Malformed`] and [`SdpError::TooLong`] ask for 400, [`SdpError::NotAcceptable`] for
/// 488.
pub fn read_offer(bytes: &[u8], srtp: Srtp) -> Result<PhoneMedia, SdpError> {
    let draft = SessionDraft::read(bytes)?;
    let chosen = draft.choose(srtp)?;
    let stream = draft.streams.get(chosen);
    let crypto = stream
        .filter(|_| srtp != Srtp::Off)
        .and_then(|stream| stream.cryptos.first().cloned());
    let video = draft.video(|stream| match crypto {
        Some(_) => stream.cryptos.first().cloned().map(Some),
        None => stream.line.protocol.is_plain_rtp().then_some(None),
    });
    draft.finish(chosen, crypto, video)
}

/// Reads a phone's answer to an offer of ours, which has an audio stream and perhaps a video stream. Where we offered keys,
/// the answer must have one with the suite of the same tag (RFC 4568 section 5.1.3).
///
/// # Errors
/// As [`read_offer`]; a phone that answers with port 0 has refused: [`NotAcceptableError::NoAudio`].
pub fn read_answer(bytes: &[u8], own: &OwnMedia) -> Result<PhoneMedia, SdpError> {
    // RFC 3264 section 6: the answer has the offer's streams in the offer's order, so the first one must be audio.
    let draft = SessionDraft::read(bytes)?;
    let stream = draft.streams.first();
    if !stream.is_some_and(MediaSectionDraft::is_audio) {
        return Err(NotAcceptableError::NoAudio.into());
    }
    let is_plain = stream.is_some_and(MediaSectionDraft::is_plain_audio);
    let agreed = stream.and_then(|stream| stream.agreed(&own.keys));
    let video = own.video.as_ref().and_then(|own| {
        draft.video(|stream| match own.keys.is_empty() {
            true => stream.line.protocol.is_plain_rtp().then_some(None),
            false => stream.agreed(&own.keys).map(Some),
        })
    });
    match (own.keys.is_empty(), agreed) {
        (true, _) if is_plain => draft.finish(0, None, video),
        (false, Some(crypto)) => draft.finish(0, Some(crypto), video),
        _ => Err(NotAcceptableError::NoKey.into()),
    }
}

/// The whole SDP while it is being read.
#[derive(Default)]
struct SessionDraft<'a> {
    address: Option<Result<IpAddr, NotAcceptableError>>,
    direction: Option<MediaDirection>,
    streams: Vec<MediaSectionDraft<'a>>,
}

impl<'a> SessionDraft<'a> {
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
                self.streams.push(MediaSectionDraft::read(
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

    fn address_place(&mut self) -> &mut Option<Result<IpAddr, NotAcceptableError>> {
        self.streams
            .last_mut()
            .map_or(&mut self.address, |stream| &mut stream.address)
    }

    fn attribute(&mut self, value: &'a str) -> Result<(), &'static str> {
        if let Some(direction) = MediaDirection::ALL
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

    /// The audio stream that we take.
    fn choose(&self, srtp: Srtp) -> Result<usize, NotAcceptableError> {
        let first = |is_it: fn(&MediaSectionDraft<'a>) -> bool| self.streams.iter().position(is_it);
        let chosen = match srtp {
            Srtp::Off => first(MediaSectionDraft::is_plain_audio),
            Srtp::Optional => first(MediaSectionDraft::has_key)
                .or_else(|| first(MediaSectionDraft::is_plain_audio)),
            Srtp::Required => first(MediaSectionDraft::has_key),
        };
        chosen.ok_or_else(|| self.why_no_audio(srtp))
    }

    fn why_no_audio(&self, srtp: Srtp) -> NotAcceptableError {
        let any = |is_it: fn(&MediaSectionDraft<'a>) -> bool| self.streams.iter().any(is_it);
        if any(MediaSectionDraft::is_secure_audio) {
            match srtp {
                Srtp::Off => NotAcceptableError::SecureOnly,
                Srtp::Optional | Srtp::Required => NotAcceptableError::NoKey,
            }
        } else if any(MediaSectionDraft::is_plain_audio) {
            NotAcceptableError::PlainOnly
        } else {
            NotAcceptableError::NoAudio
        }
    }

    /// The first video stream that we can take. `key` returns its key, or `None` if it may not be taken: video is encrypted
    /// if and only if audio is.
    fn video(
        &self,
        key: impl Fn(&MediaSectionDraft<'_>) -> Option<Option<CryptoAttribute>>,
    ) -> Option<PhoneVideo> {
        let mut streams = self.streams.iter().enumerate();
        streams.find_map(|(at, stream)| {
            let rtp = stream.address(self.address).ok()?;
            let formats = stream.video_formats();
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
        crypto: Option<CryptoAttribute>,
        video: Option<PhoneVideo>,
    ) -> Result<PhoneMedia, SdpError> {
        let stream = self
            .streams
            .get(chosen)
            .ok_or(NotAcceptableError::NoAudio)?;
        let rtp = stream.address(self.address)?;
        let codecs = stream.codecs();
        if codecs.iter().all(|(codec, _)| codec.is_events()) {
            return Err(NotAcceptableError::NoFormat.into());
        }
        Ok(PhoneMedia {
            rtp,
            rtcp: stream.rtcp_address(rtp.ip()),
            rtcp_mux: stream.rtcp_mux,
            codecs,
            crypto,
            direction: stream.direction.or(self.direction).unwrap_or_default(),
            video,
            streams: self.streams.iter().map(|stream| stream.line).collect(),
            chosen,
        })
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}
