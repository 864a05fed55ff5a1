//! Video in SDP: a second `m=` line, its formats, and the feedback that the phone supports (RFC 4585 section 4.2, RFC 5104
//! section 7.1).
//!
//! Feedback is offered with plain `RTP/AVP` as well, as phones do among themselves: a phone that does not know it skips
//! the lines. Of all feedback only keyframe requests are supported.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::MediaDirection;
use super::crypto::CryptoAttribute;
use super::draft::payload_type;
use crate::negotiate::{KeyframeFeedback, NegotiatedVideo, RtcpDestination};
use crate::srtp::{SrtpKey, SrtpKeyPair, SrtpSuite};
use crate::video::{ASKED_KBITS, MAX_FORMATS, VideoFormat};

/// Video in our own SDP.
#[derive(Clone, Debug)]
pub struct OwnVideo {
    /// The port of the near socket for video, at the address of the one for audio.
    pub port: u16,
    /// Our keys: as for audio, but different ones.
    pub keys: Vec<SrtpKey>,
    /// The formats that we offer, or the agreed one.
    pub formats: Vec<VideoFormat>,
}

/// Video in a phone's SDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneVideo {
    /// Where the phone wants its video.
    pub rtp: SocketAddr,
    /// Where the phone wants RTCP, if its SDP says so (RFC 3605).
    pub rtcp: Option<SocketAddr>,
    /// Whether the phone wants RTCP at the port of its video (RFC 5761 section 5.1.1).
    pub rtcp_mux: bool,
    /// The formats that we know, in the phone's order, with the phone's payload types. Never empty.
    pub formats: Vec<(VideoFormat, u8)>,
    /// The direction of the video, seen from the phone.
    pub direction: MediaDirection,
    /// The keyframe requests that it supports.
    pub feedback: KeyframeFeedback,
    /// The phone's key, if its video is encrypted.
    pub(super) crypto: Option<CryptoAttribute>,
    /// The index of its `m=` line.
    pub(super) at: usize,
}

/// The attribute lines of a video section, with the payload types parsed.
#[derive(Default)]
pub(super) struct VideoAttributes<'a> {
    maps: Vec<(u8, &'a str)>,
    parameters: Vec<(u8, &'a str)>,
    pub(super) feedback: KeyframeFeedback,
}

impl OwnVideo {
    /// Our key for a phone's suite.
    fn key(&self, suite: SrtpSuite) -> Option<&SrtpKey> {
        self.keys.iter().find(|key| key.suite() == suite)
    }
}

impl PhoneVideo {
    /// The suite of the phone's key, if its video is encrypted.
    #[must_use]
    pub fn suite(&self) -> Option<SrtpSuite> {
        self.crypto.as_ref().map(|crypto| crypto.key.suite())
    }

    /// This video as an offer of the phone whose answer is our offer in a running call: in both directions, with its key
    /// under tag 1.
    pub(super) fn reoffered(self) -> Self {
        let crypto = self
            .crypto
            .map(|crypto| CryptoAttribute { tag: 1, ..crypto });
        Self {
            direction: MediaDirection::SendRecv,
            crypto,
            ..self
        }
    }

    /// The formats of ours that the phone has too, with the phone's payload types.
    fn common(&self, own: &OwnVideo) -> Vec<(VideoFormat, u8)> {
        let place = |format: &VideoFormat| {
            let mut offered = self.formats.iter();
            offered.find_map(|(offered, number)| Some((format.common(*offered)?, *number)))
        };
        own.formats.iter().filter_map(place).collect()
    }

    /// The parameters for the near leg; `None` if no video is agreed.
    pub(super) fn negotiated(
        &self,
        own: &OwnVideo,
        audio: SocketAddr,
        is_holding: bool,
    ) -> Option<NegotiatedVideo> {
        let (format, number) = self.common(own).first().copied()?;
        let keys = match &self.crypto {
            None => None,
            Some(crypto) => Some(SrtpKeyPair {
                ours: own.key(crypto.key.suite())?.clone(),
                theirs: crypto.key.clone(),
            }),
        };
        Some(NegotiatedVideo {
            local: SocketAddr::new(audio.ip(), own.port),
            remote: self.rtp,
            rtcp: RtcpDestination::of(self.rtcp_mux, self.rtcp),
            format: (format, number),
            receives: self.direction.receives() && !is_holding && !self.rtp.ip().is_unspecified(),
            feedback: self.feedback,
            keys,
        })
    }

    /// The section of an answer; `None` if the video must be refused.
    pub(super) fn answer(&self, own: &OwnVideo) -> Option<VideoSection> {
        let key = match &self.crypto {
            None => None,
            Some(crypto) => Some((crypto.tag, own.key(crypto.key.suite())?.clone())),
        };
        let formats = self.common(own);
        (!formats.is_empty()).then(|| VideoSection {
            port: own.port,
            formats,
            feedback: self.feedback,
            direction: self.direction.mirrored(),
            rtcp_mux: self.rtcp_mux,
            keys: key.into_iter().collect(),
        })
    }
}

/// A video section of our SDP.
pub(super) struct VideoSection {
    port: u16,
    formats: Vec<(VideoFormat, u8)>,
    feedback: KeyframeFeedback,
    direction: MediaDirection,
    rtcp_mux: bool,
    keys: Vec<(u32, SrtpKey)>,
}

impl VideoSection {
    /// The section of an offer.
    pub(super) fn offer(own: &OwnVideo) -> Self {
        let numbered = own
            .formats
            .iter()
            .map(|format| (*format, format.far_payload_type()));
        Self {
            port: own.port,
            formats: numbered.collect(),
            feedback: KeyframeFeedback {
                pli: true,
                fir: true,
            },
            direction: MediaDirection::SendRecv,
            rtcp_mux: false,
            keys: (1..).zip(own.keys.iter().cloned()).collect(),
        }
    }

    /// The lines of the section, with this kind and protocol in the `m=` line.
    pub(super) fn lines(&self, kind: &str, protocol: &str) -> String {
        let port = self.port;
        let mut text = format!("m={kind} {port} {protocol}");
        for (_, number) in &self.formats {
            let _ = write!(text, " {number}");
        }
        let _ = write!(text, "\r\nb=AS:{ASKED_KBITS}\r\n");
        for (format, number) in &self.formats {
            let _ = write!(text, "a=rtpmap:{number} {}\r\n", format.rtpmap());
            if let Some(parameters) = format.parameters() {
                let _ = write!(text, "a=fmtp:{number} {parameters}\r\n");
            }
        }
        let KeyframeFeedback { pli, fir } = self.feedback;
        text.push_str(if pli { "a=rtcp-fb:* nack pli\r\n" } else { "" });
        text.push_str(if fir { "a=rtcp-fb:* ccm fir\r\n" } else { "" });
        let direction = self.direction.attribute();
        let _ = write!(text, "a=rtcp:{port}\r\na={direction}\r\n");
        text.push_str(if self.rtcp_mux { "a=rtcp-mux\r\n" } else { "" });
        for (tag, key) in &self.keys {
            text.push_str(&super::crypto::line(*tag, key));
        }
        text
    }
}

impl<'a> VideoAttributes<'a> {
    /// Takes an attribute that begins with a payload type. A malformed one is skipped.
    pub(super) fn line(&mut self, name: &str, value: &'a str) {
        let Some((number, said)) = value.trim().split_once([' ', '\t']) else {
            return;
        };
        let said = said.trim_start();
        match (name, payload_type(number)) {
            ("rtpmap", Some(number)) => self.maps.push((number, said)),
            ("fmtp", Some(number)) => self.parameters.push((number, said)),
            ("rtcp-fb", _) => {
                let mut words = said.split_ascii_whitespace();
                match (words.next(), words.next()) {
                    (Some("nack"), Some("pli")) => self.feedback.pli = true,
                    (Some("ccm"), Some("fir")) => self.feedback.fir = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The formats that we carry. Of formats that differ in the level alone, and of duplicate payload types, the first one
    /// counts.
    pub(super) fn formats(&self, payload_types: &[u8]) -> Vec<(VideoFormat, u8)> {
        let said_of = |lines: &[(u8, &'a str)], number: u8| {
            let mut lines = lines.iter();
            lines.find(|(of, _)| *of == number).map(|(_, said)| *said)
        };
        let mut formats: Vec<(VideoFormat, u8)> = Vec::new();
        for number in payload_types {
            let parameters = said_of(&self.parameters, *number).unwrap_or_default();
            let format = said_of(&self.maps, *number)
                .and_then(|rtpmap| VideoFormat::read(rtpmap, parameters));
            if let Some(format) = format
                && formats.len() < MAX_FORMATS
                && formats
                    .iter()
                    .all(|(other, taken)| !other.is_like(format) && taken != number)
            {
                formats.push((format, *number));
            }
        }
        formats
    }
}
