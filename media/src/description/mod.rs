//! What one engine tells the other about its media, and its bytes.
//!
//! It travels sealed in ring and answer, in place of the SDP of RFC 3264: typed values only, so
//! that nothing that a phone wrote can cross by accident. The bytes are canonical: each description
//! has one encoding and each accepted string of bytes one description. It does not say whether a
//! relayed address may be used (public or private): the far leg checks that.

mod bytes;
mod local;

use std::fmt;
use std::net::SocketAddr;

use zeroize::Zeroize;

use crate::codec::Codec;
use crate::video::{MAX_FORMATS, VideoFormat};
use bytes::{
    MAX_PWD, MAX_UFRAG, MIN_PWD, MIN_UFRAG, Rest, codecs, ice_text, put_address, put_counted,
    relayed_addresses, video,
};
pub use bytes::{decode_address, encode_address};
pub use local::LocalEndpoint;

/// Relayed addresses in a description. Each costs the other side a TURN permission and a connectivity check, so that a
/// caller cannot ask for many.
pub const MAX_RELAYED_ADDRESSES: usize = 4;

/// What the far leg of one engine looks like to the other.
///
/// Fields may hold anything while it is being put together; only what keeps every limit survives
/// [`Description::decode`].
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    /// ICE user name fragment, 4 to 32 ICE characters (RFC 8839 section 5.4).
    /// Seen by the other engine, and in clear in connectivity checks by both TURN servers.
    pub ufrag: String,
    /// ICE password, 22 to 64 ICE characters (RFC 8839 section 5.4). Seen by the other engine
    /// alone; wiped on drop.
    pub pwd: String,
    /// SHA-256 of the DTLS certificate that this call uses and no other (RFC 8122 section 5). Seen
    /// by the other engine alone.
    pub fingerprint: [u8; 32],
    /// The SSRC of the audio (RFC 3550 section 5.1). Seen by the other engine, and
    /// in clear by both TURN servers.
    pub ssrc: u32,
    /// Relayed transport addresses of a TURN server, 1 to 4 different ones. Seen by the other
    /// engine and by both TURN servers.
    pub relayed_addresses: Vec<SocketAddr>,
    /// Formats that the phone behind takes, best first, no format twice and at least one for audio.
    /// Seen by the other engine alone; payload types on the wire tell the TURN servers which one
    /// was chosen.
    pub codecs: Vec<Codec>,
    /// Video, if the phone behind has it too. Seen by the other engine alone, except the SSRC and the payload type of the
    /// video that flows.
    pub video: Option<VideoDescription>,
}

/// What one engine tells the other about video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoDescription {
    /// The SSRC of the video; another one than that of the audio. Seen by both TURN servers.
    pub ssrc: u32,
    /// Formats that the phone behind takes, best first, 1 to [`MAX_FORMATS`] different ones; one in an answer. Seen by
    /// the other engine alone.
    pub formats: Vec<VideoFormat>,
}

/// Why bytes are not a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The bytes end before the description does.
    #[error("the description is cut short")]
    Truncated,
    /// Bytes follow the description.
    #[error("bytes follow the description")]
    Trailing,
    /// The first byte names an unknown layout.
    #[error("unknown layout of a description")]
    Version,
    /// User name fragment or password of a wrong length or with other than ICE characters.
    #[error("not an ICE user name fragment or password")]
    Credentials,
    /// No or too many relayed addresses, one twice, or one that cannot be a relayed address.
    #[error("not a list of relays")]
    RelayedAddresses,
    /// An unknown format, one twice, or none for audio.
    #[error("not a list of formats")]
    Codecs,
    /// No video format, too many, an unknown one or one twice, or the SSRC of the audio.
    #[error("not a list of video formats")]
    Video,
}

impl Description {
    /// The longest encoding, with four IPv6 relayed addresses, every audio format and eight of video.
    pub const MAX_BYTES: usize = 1
        + (1 + MAX_UFRAG)
        + (1 + MAX_PWD)
        + 32
        + 4
        + (1 + MAX_RELAYED_ADDRESSES * 19)
        + (1 + Codec::ALL.len())
        + 4
        + (1 + MAX_FORMATS * 3);

    /// Describes a far leg that has its relayed address, and the formats that the phone behind it takes.
    #[must_use]
    pub fn of(local: &LocalEndpoint, codecs: Vec<Codec>) -> Self {
        Self {
            ufrag: local.ufrag.clone(),
            pwd: local.pwd.clone(),
            fingerprint: local.fingerprint,
            ssrc: local.ssrc,
            relayed_addresses: vec![local.relayed_address],
            codecs,
            video: None,
        }
    }

    /// The same with video in these formats; without video if there are none.
    #[must_use]
    pub fn with_video(mut self, local: &LocalEndpoint, formats: Vec<VideoFormat>) -> Self {
        self.video = Some(VideoDescription {
            ssrc: local.video_ssrc,
            formats,
        })
        .filter(|video| !video.formats.is_empty());
        self
    }

    /// The bytes of this description.
    ///
    /// A description that breaks a limit still encodes to a bounded number of bytes, which
    /// [`Description::decode`] refuses.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::MAX_BYTES);
        out.push(match self.video {
            None => AUDIO,
            Some(_) => AUDIO_AND_VIDEO,
        });
        put_counted(&mut out, self.ufrag.bytes().take(MAX_UFRAG + 1));
        put_counted(&mut out, self.pwd.bytes().take(MAX_PWD + 1));
        out.extend_from_slice(&self.fingerprint);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        let addresses = self
            .relayed_addresses
            .iter()
            .take(MAX_RELAYED_ADDRESSES + 1);
        out.push(addresses.len() as u8);
        addresses.for_each(|address| put_address(&mut out, address));
        put_counted(
            &mut out,
            self.codecs
                .iter()
                .take(Codec::ALL.len() + 1)
                .map(|codec| codec.code()),
        );
        if let Some(VideoDescription { ssrc, formats }) = &self.video {
            out.extend_from_slice(&ssrc.to_be_bytes());
            let formats = formats.iter().take(MAX_FORMATS + 1);
            out.push(formats.len() as u8);
            out.extend(formats.flat_map(|format| format.code()));
        }
        out
    }

    /// Reads what [`Description::encode`] wrote.
    ///
    /// # Errors
    /// Whatever is not the one encoding of a description within its limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptionError> {
        let mut rest = Rest(bytes);
        let has_video = match rest.byte()? {
            AUDIO => false,
            AUDIO_AND_VIDEO => true,
            _ => return Err(DescriptionError::Version),
        };
        let ufrag = ice_text(rest.counted()?, MIN_UFRAG..=MAX_UFRAG)?;
        let pwd = ice_text(rest.counted()?, MIN_PWD..=MAX_PWD)?;
        let fingerprint = rest.array()?;
        let ssrc = u32::from_be_bytes(rest.array()?);
        let relayed_addresses = relayed_addresses(&mut rest)?;
        let codecs = codecs(rest.counted()?)?;
        let video = match has_video {
            true => Some(video(&mut rest)?),
            false => None,
        };
        if !rest.is_empty() {
            return Err(DescriptionError::Trailing);
        }
        if video.as_ref().is_some_and(|video| video.ssrc == ssrc) {
            return Err(DescriptionError::Video);
        }
        Ok(Self {
            ufrag,
            pwd,
            fingerprint,
            ssrc,
            relayed_addresses,
            codecs,
            video,
        })
    }
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Description")
            .field("pwd", &"Secret(..)")
            .field("relayed_addresses", &self.relayed_addresses.len())
            .field("codecs", &self.codecs)
            .field("video", &self.video.is_some())
            .finish_non_exhaustive()
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        self.pwd.zeroize();
    }
}

/// The layouts: without video and with it.
const AUDIO: u8 = 1;
const AUDIO_AND_VIDEO: u8 = 2;

#[cfg(test)]
mod tests;
