//! The part of SDP that a phone call needs, as typed values (RFC 8866; offer and answer, RFC 3264).
//!
//! A phone's SDP is read into [`PhoneMedia`] and never passed on. Our SDP is written from typed values, with nothing in
//! `o=` and `s=` that identifies us. One audio stream is taken, plain or with keys in the SDP (RFC 4568), and one video
//! stream where both phones have video; every other stream is answered with port 0. ICE and DTLS attributes of a phone get
//! no answer, so that the phone does without (RFC 8839 section 4.2.5). Names are not resolved: an address must be a literal.

mod crypto;
mod draft;
mod media_line;
mod read;
mod video;
mod write;

use std::net::SocketAddr;

pub use read::{read_answer, read_offer};
pub use video::{OwnVideo, PhoneVideo};
pub use write::{write_answer, write_offer, write_reoffer};

use crate::codec::Codec;
use crate::negotiate::{NegotiatedMedia, RtcpDestination};
use crate::srtp::{SrtpKey, SrtpKeyPair, SrtpSuite};
use crate::video::VideoFormat;
use crypto::CryptoAttribute;
use media_line::MediaLine;

/// The longest SDP that is read, in bytes. A phone with video, ICE and four keys writes 4,000.
pub const MAX_BYTES: usize = 16_384;
/// The most lines that are read.
pub const MAX_LINES: usize = 512;
/// The most `m=` lines that are read: audio, video, text and slides, each twice.
pub const MAX_STREAMS: usize = 8;

/// Our own side of the SDP in one dialog.
#[derive(Clone, Debug)]
pub struct OwnMedia {
    /// The near socket for this phone.
    pub rtp: SocketAddr,
    /// Our keys: those that we offer, in the order of their tags, or the agreed one. Empty for plain RTP.
    pub keys: Vec<SrtpKey>,
    /// The session id in `o=`: random, and used with this phone alone.
    pub session: u64,
    /// The session version, from 1; it grows with each change of our SDP (RFC 3264 section 8).
    pub version: u64,
    /// Video, if we offer it or have agreed to it. Without, a phone's video is refused by port 0.
    pub video: Option<OwnVideo>,
}

impl OwnMedia {
    /// The first SDP in a dialog, without keys.
    #[must_use]
    pub const fn plain(rtp: SocketAddr, session: u64) -> Self {
        Self {
            rtp,
            keys: Vec::new(),
            session,
            version: 1,
            video: None,
        }
    }

    /// Our key for a phone's suite.
    fn key(&self, suite: SrtpSuite) -> Option<&SrtpKey> {
        self.keys.iter().find(|key| key.suite() == suite)
    }
}

/// The media in a phone's SDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneMedia {
    /// Where the phone wants its audio. An unspecified address (`0.0.0.0`, `::`) means that it wants none (RFC 3264 section
    /// 8.4).
    pub rtp: SocketAddr,
    /// Where the phone wants RTCP, if its SDP says so (RFC 3605).
    pub rtcp: Option<SocketAddr>,
    /// Whether the phone wants RTCP at the port of its audio (RFC 5761 section 5.1.1).
    pub rtcp_mux: bool,
    /// The formats that we know, in the phone's order, with the phone's payload types. At least one is audio.
    pub codecs: Vec<(Codec, u8)>,
    /// The direction of the audio, seen from the phone.
    pub direction: MediaDirection,
    /// Video, if the phone has it in a format that we carry, and encrypted like its audio.
    pub video: Option<PhoneVideo>,
    /// The phone's key, if its audio is encrypted.
    crypto: Option<CryptoAttribute>,
    /// Every `m=` line in order, because an answer must have as many.
    streams: Vec<MediaLine>,
    /// The index of the one described above.
    chosen: usize,
}

impl PhoneMedia {
    /// A party at `rtp` that takes `codecs` under our payload types and has sent no SDP: the other half of a call that was
    /// transferred or, at an unspecified address, a phone that has not answered our offer yet.
    #[must_use]
    pub fn without_sdp(rtp: SocketAddr, codecs: &[Codec]) -> Self {
        let numbered = codecs
            .iter()
            .map(|codec| (*codec, codec.far_payload_type()));
        Self {
            rtp,
            rtcp: None,
            rtcp_mux: false,
            codecs: numbered.collect(),
            direction: MediaDirection::SendRecv,
            video: None,
            crypto: None,
            streams: vec![MediaLine {
                kind: media_line::MediaKind::Audio,
                protocol: media_line::MediaProtocol::RtpAvp,
            }],
            chosen: 0,
        }
    }

    /// The formats alone, in the phone's order, as the description for the other engine lists them.
    #[must_use]
    pub fn formats(&self) -> Vec<Codec> {
        self.codecs.iter().map(|(codec, _)| *codec).collect()
    }

    /// Whether the phone holds the call: by direction (RFC 3264 section 8.4), or by an unspecified address as in RFC 2543.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.direction.receives() || self.rtp.ip().is_unspecified()
    }

    /// The suite of the phone's key, if its audio is encrypted.
    #[must_use]
    pub fn suite(&self) -> Option<SrtpSuite> {
        self.crypto.as_ref().map(|crypto| crypto.key.suite())
    }

    /// The parameters for the near leg, once `chosen` is agreed with the phone, which the call carries as it is.
    #[must_use]
    pub fn negotiated(&self, own: &OwnMedia, chosen: &[Codec]) -> NegotiatedMedia {
        let keys = self.crypto.as_ref().and_then(|crypto| {
            Some(SrtpKeyPair {
                ours: own.key(crypto.key.suite())?.clone(),
                theirs: crypto.key.clone(),
            })
        });
        let listed = self.codecs.iter().copied();
        let (codecs, others): (Vec<_>, Vec<_>) =
            listed.partition(|(codec, _)| chosen.contains(codec));
        let also_listed = others.into_iter().filter(|(codec, _)| !codec.is_events());
        let video = self.video.as_ref().zip(own.video.as_ref());
        let video =
            video.and_then(|(video, ours)| video.negotiated(ours, own.rtp, self.is_holding()));
        NegotiatedMedia {
            local: own.rtp,
            remote: self.rtp,
            codecs,
            carried: None,
            also_listed: also_listed.collect(),
            receives: !self.is_holding(),
            rtcp: RtcpDestination::of(self.rtcp_mux, self.rtcp),
            keys,
            video,
        }
    }

    /// The video formats, in the phone's order, as the description for the other engine lists them.
    #[must_use]
    pub fn video_formats(&self) -> Vec<VideoFormat> {
        let formats = self.video.iter().flat_map(|video| &video.formats);
        formats.map(|(format, _)| *format).collect()
    }
}

/// The direction of a stream, seen from the writer of the SDP (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaDirection {
    /// Both ways; also the default.
    #[default]
    SendRecv,
    /// The writer sends and does not receive: a call on hold.
    SendOnly,
    /// The writer receives and does not send.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl MediaDirection {
    /// Whether the writer wants to receive.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same direction as the other side has to write it (RFC 3264 section 6.1).
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::SendRecv | Self::Inactive => self,
        }
    }

    const fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    const ALL: [Self; 4] = [
        Self::SendRecv,
        Self::SendOnly,
        Self::RecvOnly,
        Self::Inactive,
    ];
}

/// Why SDP was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// The phone sent something that is not SDP: to be answered with 400.
    #[error("line {line} is not SDP: it should be v=0")]
    Malformed {
        /// The number of the line, from 1.
        line: usize,
    },
    /// The SDP exceeds a limit: to be answered with 400.
    #[error("the SDP is longer than its limits")]
    TooLong,
    /// The SDP is well-formed, but not for a call that we can make: to be answered with 488.
    #[error(transparent)]
    NotAcceptable(#[from] NotAcceptableError),
}

/// Why well-formed SDP does not make a call (SIP's 488 Not Acceptable Here).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAcceptableError {
    /// No audio stream, or only ones with port 0.
    #[error("no audio stream")]
    NoAudio,
    /// Audio over SRTP only, which is switched off: the phone may try again without (RFC 3264 section 6; Linphone's
    /// "optional" does that).
    #[error("audio is offered over SRTP only")]
    SecureOnly,
    /// Plain audio only, and SRTP is required.
    #[error("audio is offered without SRTP only")]
    PlainOnly,
    /// SRTP without a key that we can use: other suites, or keys by handshake alone.
    #[error("no SRTP suite for audio in common")]
    NoKey,
    /// No audio format that we carry.
    #[error("no audio format in common")]
    NoFormat,
    /// No address, a name instead of a number, or an address that no phone can have.
    #[error("no usable address for audio")]
    Address,
}

#[cfg(test)]
mod tests;
