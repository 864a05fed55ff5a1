//! Reads a phone's SDP (RFC 8866 section 5) within limits, and as leniently as real phones require.
//!
//! Lines that do not matter to the media are skipped unread, and so are lines that cannot be read: one odd line costs no call. Their
//! order is not enforced beyond `v=` first, because phones do not keep it.

use std::net::IpAddr;

use super::crypto::CryptoAttribute;
use super::draft::{MediaSectionDraft, connection_address};
use super::video::PhoneVideo;
use super::{
    MAX_BYTES, MAX_LINES, MAX_STREAMS, MediaDirection, NotAcceptableError, OwnMedia, PhoneMedia,
    SdpError,
};
use crate::srtp::Srtp;

/// Reads a phone's offer. Of several audio streams with a format and an address that are good for a call, an encrypted one is taken, unless
/// `srtp` is off; of several keys the first that is supported, since their order is the phone's preference (RFC 4568 section 5.1.2).
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
        let mut is_begun = false;
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if at >= MAX_LINES {
                return Err(SdpError::TooLong);
            }
            match trimmed(line) {
                [] => {}
                b"v=0" if !is_begun => is_begun = true,
                _ if !is_begun => return Err(SdpError::Malformed { line: at + 1 }),
                [kind, b'=', value @ ..] => draft.line(*kind, text(value).unwrap_or_default())?,
                _ => {}
            }
        }
        match is_begun {
            true => Ok(draft),
            false => Err(SdpError::Malformed { line: 1 }),
        }
    }

    fn line(&mut self, kind: u8, value: &'a str) -> Result<(), SdpError> {
        match kind {
            b'm' if self.streams.len() >= MAX_STREAMS => return Err(SdpError::TooLong),
            b'm' => self.streams.push(MediaSectionDraft::read(value)),
            b'c' => {
                let address = connection_address(value);
                let place = self.address_place();
                *place = address.or(*place);
            }
            b'a' => self.attribute(value),
            _ => {}
        }
        Ok(())
    }

    fn address_place(&mut self) -> &mut Option<Result<IpAddr, NotAcceptableError>> {
        self.streams
            .last_mut()
            .map_or(&mut self.address, |stream| &mut stream.address)
    }

    fn attribute(&mut self, value: &'a str) {
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
        if let (Some((name, value)), Some(stream)) =
            (value.split_once(':'), self.streams.last_mut())
        {
            stream.attribute(name, value);
        }
    }

    /// The audio stream that we take. One that makes no call stands behind those that do: it would be the call's end, and is one line.
    fn choose(&self, srtp: Srtp) -> Result<usize, NotAcceptableError> {
        let kinds: &[fn(&MediaSectionDraft<'a>) -> bool] = match srtp {
            Srtp::Off => &[MediaSectionDraft::is_plain_audio],
            Srtp::Optional => &[
                MediaSectionDraft::has_key,
                MediaSectionDraft::is_plain_audio,
            ],
            Srtp::Required => &[MediaSectionDraft::has_key],
        };
        let find = |is_fit: &dyn Fn(&MediaSectionDraft<'a>) -> bool| {
            let mut kinds = kinds.iter();
            kinds.find_map(|is_it| self.streams.iter().position(|it| is_it(it) && is_fit(it)))
        };
        let makes_call = |stream: &MediaSectionDraft<'a>| {
            stream.has_sound() && stream.address(self.address).is_ok()
        };
        let chosen = find(&makes_call).or_else(|| find(&|_| true));
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
        if !stream.has_sound() {
            return Err(NotAcceptableError::NoFormat.into());
        }
        let codecs = stream.codecs();
        let (rtcp, rtcp_mux) = (stream.rtcp_address(rtp.ip()), stream.rtcp_mux);
        let direction = stream.direction.or(self.direction).unwrap_or_default();
        // As a box, which is cut to size: a vector would keep the memory of the whole drafts, ten times as much, for the call.
        let lines: Box<[_]> = self.streams.into_iter().map(|it| it.line).collect();
        Ok(PhoneMedia {
            rtp,
            rtcp,
            rtcp_mux,
            codecs,
            crypto,
            direction,
            video,
            streams: lines.into_vec(),
            chosen,
        })
    }
}

/// A line without what some phones put behind it: blanks, and NULs at the end of the SDP.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| *byte != 0 && !byte.is_ascii_whitespace();
    let length = line.iter().rposition(is_text).map_or(0, |last| last + 1);
    line.get(..length).unwrap_or_default()
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}
