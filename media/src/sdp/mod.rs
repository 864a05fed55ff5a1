//! The part of SDP that a phone call needs, as typed values (RFC 8866, offers and answers as RFC
//! 3264 has them).
//!
//! A phone's text is read into [`PhoneMedia`] and never passed on: what we say is written anew, in
//! our own lines, with nothing in `o=` and `s=` that tells who wrote it. One stream of sound is
//! taken, plain or with keys in the SDP (RFC 4568), and beside it one of moving pictures where both
//! phones have them; every other stream is answered with port 0. What
//! a phone says of ICE and DTLS is left unanswered, so that it does without (RFC 8839 section 4.2.5).
//! Names are not resolved: an address must be a number.

mod crypto;
mod draft;
mod media_line;
mod read;
mod video;
mod write;

use std::net::SocketAddr;

pub use read::{read_answer, read_offer};
pub use video::{Feedback, OwnVideo, PhoneVideo};
pub use write::{write_answer, write_offer, write_reoffer};

use crate::codec::Codec;
use crate::near::{NearTerms, RtcpAt};
use crate::srtp::{Key, KeyPair, Suite};
use crate::video::VideoFormat;
use crypto::Crypto;
use media_line::Stream;

/// The longest SDP that is read, in bytes. A phone with video, ICE and four keys writes 4,000.
pub const MAX_BYTES: usize = 16_384;
/// The most lines that are read.
pub const MAX_LINES: usize = 512;
/// The most `m=` lines that are read: sound, video, text, slides, twice over.
pub const MAX_STREAMS: usize = 8;

/// What our own SDP in one dialog says of us.
#[derive(Clone, Debug)]
pub struct OwnMedia {
    /// Where the near leg hears this phone.
    pub rtp: SocketAddr,
    /// Our keys: those that we offer, in the order of their tags, or the agreed one. Empty for plain
    /// sound.
    pub keys: Vec<Key>,
    /// The session in `o=`: told to this phone alone, and random.
    pub session: u64,
    /// Counts up within the session, from 1, whenever what we say differs (RFC 3264 section 8).
    pub version: u64,
    /// Moving pictures, if we offer them or have agreed to them. Without, a phone's are refused by port 0.
    pub video: Option<OwnVideo>,
}

impl OwnMedia {
    /// The first word in a dialog, without keys.
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
    fn key(&self, suite: Suite) -> Option<&Key> {
        self.keys.iter().find(|key| key.suite() == suite)
    }
}

/// What a phone's SDP said about sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneMedia {
    /// Where the phone wants its sound. An unspecified address (`0.0.0.0`, `::`) means that it
    /// wants none (RFC 3264 section 8.4).
    pub rtp: SocketAddr,
    /// Where the phone wants RTCP, if it said so (RFC 3605). We send none.
    pub rtcp: Option<SocketAddr>,
    /// Whether the phone wants RTCP at the port of its sound (RFC 5761 section 5.1.1).
    pub rtcp_mux: bool,
    /// Formats that both the phone and we know, in the phone's order, with the phone's payload
    /// types. Never empty of sound.
    pub codecs: Vec<(Codec, u8)>,
    /// Which ways sound shall flow, seen from the phone.
    pub direction: Direction,
    /// Moving pictures, if it has them in a format that we carry, and as well encrypted as its sound.
    pub video: Option<PhoneVideo>,
    /// The phone's key, if its sound is encrypted.
    crypto: Option<Crypto>,
    /// Every `m=` line in order, because an answer has to have as many.
    streams: Vec<Stream>,
    /// Which of them is the one described above.
    chosen: usize,
}

impl PhoneMedia {
    /// Somebody at `rtp` who takes `codecs` under the numbers that we offer, and has written no SDP: the other half of a
    /// call that was handed over or, at an unspecified address, a phone that has yet to answer our offer.
    #[must_use]
    pub fn unwritten(rtp: SocketAddr, codecs: &[Codec]) -> Self {
        let numbered = codecs
            .iter()
            .map(|codec| (*codec, codec.far_payload_type()));
        Self {
            rtp,
            rtcp: None,
            rtcp_mux: false,
            codecs: numbered.collect(),
            direction: Direction::SendRecv,
            video: None,
            crypto: None,
            streams: vec![Stream {
                kind: media_line::Kind::Audio,
                protocol: media_line::Protocol::RtpAvp,
            }],
            chosen: 0,
        }
    }

    /// The formats alone, in the phone's order: what an offer tells the other engine.
    #[must_use]
    pub fn formats(&self) -> Vec<Codec> {
        self.codecs.iter().map(|(codec, _)| *codec).collect()
    }

    /// Whether the phone wants to hear nothing for now: it holds the call, in the new way or the
    /// old one.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.direction.hears() || self.rtp.ip().is_unspecified()
    }

    /// The suite of the phone's key, if its sound is encrypted.
    #[must_use]
    pub fn suite(&self) -> Option<Suite> {
        self.crypto.as_ref().map(|crypto| crypto.key.suite())
    }

    /// What the near leg has to know, once `chosen` is agreed.
    #[must_use]
    pub fn terms(&self, own: &OwnMedia, chosen: &[Codec]) -> NearTerms {
        let keys = self.crypto.as_ref().and_then(|crypto| {
            Some(KeyPair {
                ours: own.key(crypto.key.suite())?.clone(),
                theirs: crypto.key.clone(),
            })
        });
        let codecs = self
            .codecs
            .iter()
            .copied()
            .filter(|(codec, _)| chosen.contains(codec))
            .collect();
        let video = self.video.as_ref().zip(own.video.as_ref());
        let video = video.and_then(|(video, ours)| video.terms(ours, own.rtp, self.is_holding()));
        NearTerms {
            local: own.rtp,
            remote: self.rtp,
            codecs,
            hears: !self.is_holding(),
            rtcp: RtcpAt::of(self.rtcp_mux, self.rtcp),
            keys,
            video,
        }
    }

    /// The formats of moving pictures, in the phone's order: what an offer tells the other engine.
    #[must_use]
    pub fn pictures(&self) -> Vec<VideoFormat> {
        let formats = self.video.iter().flat_map(|video| &video.formats);
        formats.map(|(format, _)| *format).collect()
    }
}

/// Which ways sound flows, seen from who wrote the SDP (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways; also when nothing is said.
    #[default]
    SendRecv,
    /// It talks and does not listen: a call on hold.
    SendOnly,
    /// It listens and does not talk.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether the writer wants to receive sound.
    #[must_use]
    pub const fn hears(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same as the other side has to say it (RFC 3264 section 6.1).
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

/// Why SDP was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// The phone wrote something that is not SDP: to be answered with 400.
    #[error("line {line} is not SDP: {what}")]
    Malformed {
        /// Which line, counted from 1.
        line: usize,
        /// What was expected there.
        what: &'static str,
    },
    /// The phone wrote more than a limit allows: to be answered with 400.
    #[error("the SDP is longer than its limits")]
    TooLong,
    /// It is SDP, but not for a call that we can make: to be answered with 488.
    #[error(transparent)]
    Unacceptable(#[from] Unacceptable),
}

/// Why well-formed SDP does not make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unacceptable {
    /// No stream of sound, or only ones with port 0.
    #[error("no stream of sound")]
    NoSound,
    /// Sound over SRTP only, which is switched off: the phone may try again without (RFC 3264
    /// section 6; Linphone's "optional" works so).
    #[error("sound is offered over SRTP only")]
    SecureOnly,
    /// Plain sound only, and SRTP is required.
    #[error("sound is offered without SRTP only")]
    PlainOnly,
    /// SRTP without a key that we can use: other suites, or keys by handshake alone.
    #[error("no key for sound in common")]
    NoKey,
    /// No format for sound that we carry.
    #[error("no format for sound in common")]
    NoFormat,
    /// No address, a name instead of a number, or an address that no phone can have.
    #[error("no usable address for sound")]
    Address,
    /// A stream of a kind or over a protocol that we cannot even refuse in words of our own.
    #[error("a stream of an unknown kind")]
    UnknownStream,
}

#[cfg(test)]
mod tests;
