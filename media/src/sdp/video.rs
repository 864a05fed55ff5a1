//! Moving pictures in SDP: a second `m=` line, its formats, and which feedback the phone speaks (RFC 4585 section 4.2,
//! RFC 5104 section 7.1).
//!
//! Feedback is offered beside plain `RTP/AVP` as well, as phones do among themselves: one that does not know it skips
//! the lines. Of it only the wish for a whole picture is spoken.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::Direction;
use super::crypto::Crypto;
use super::draft::payload_type;
use crate::near::{RtcpAt, VideoTerms};
use crate::srtp::{Key, KeyPair, Suite};
use crate::video::{ASKED_KBITS, MAX_FORMATS, VideoFormat};

/// What our own SDP says of moving pictures.
#[derive(Clone, Debug)]
pub struct OwnVideo {
    /// Where the near leg takes them, at the address of the sound.
    pub port: u16,
    /// Our keys, as for the sound but others.
    pub keys: Vec<Key>,
    /// The formats that we offer, or the agreed one.
    pub formats: Vec<VideoFormat>,
}

/// What a phone's SDP said about moving pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneVideo {
    /// Where the phone wants them.
    pub rtp: SocketAddr,
    /// Where the phone wants RTCP, if it said so (RFC 3605).
    pub rtcp: Option<SocketAddr>,
    /// Whether the phone wants RTCP at the port of its pictures (RFC 5761 section 5.1.1).
    pub rtcp_mux: bool,
    /// Formats that both the phone and we know, in the phone's order, with the phone's payload types. Never empty.
    pub formats: Vec<(VideoFormat, u8)>,
    /// Which ways pictures shall flow, seen from the phone.
    pub direction: Direction,
    /// How it says that it wants a whole picture.
    pub feedback: Feedback,
    /// The phone's key, if its pictures are encrypted.
    pub(super) crypto: Option<Crypto>,
    /// Which `m=` line this is.
    pub(super) at: usize,
}

/// The ways of asking for a whole picture that a phone has named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Picture loss indication (RFC 4585 section 6.3.1).
    pub pli: bool,
    /// Full intra request (RFC 5104 section 4.3.1).
    pub fir: bool,
}

/// What attribute lines say of moving pictures, unread but for the payload types.
#[derive(Default)]
pub(super) struct VideoLines<'a> {
    maps: Vec<(u8, &'a str)>,
    parameters: Vec<(u8, &'a str)>,
    pub(super) feedback: Feedback,
}

impl OwnVideo {
    /// Our key for a phone's suite.
    fn key(&self, suite: Suite) -> Option<&Key> {
        self.keys.iter().find(|key| key.suite() == suite)
    }
}

impl PhoneVideo {
    /// The suite of the phone's key, if its pictures are encrypted.
    #[must_use]
    pub fn suite(&self) -> Option<Suite> {
        self.crypto.as_ref().map(|crypto| crypto.key.suite())
    }

    /// The same as the phone would have to offer it for what we say in a running call: both ways, with its key under tag 1.
    pub(super) fn asked_again(self) -> Self {
        let crypto = self.crypto.map(|crypto| Crypto { tag: 1, ..crypto });
        Self {
            direction: Direction::SendRecv,
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

    /// What the near leg has to know of them; `None` if nothing is agreed.
    pub(super) fn terms(
        &self,
        own: &OwnVideo,
        sound: SocketAddr,
        is_holding: bool,
    ) -> Option<VideoTerms> {
        let (format, number) = self.common(own).first().copied()?;
        let keys = match &self.crypto {
            None => None,
            Some(crypto) => Some(KeyPair {
                ours: own.key(crypto.key.suite())?.clone(),
                theirs: crypto.key.clone(),
            }),
        };
        Some(VideoTerms {
            local: SocketAddr::new(sound.ip(), own.port),
            remote: self.rtp,
            rtcp: RtcpAt::of(self.rtcp_mux, self.rtcp),
            format: (format, number),
            sees: self.direction.hears() && !is_holding && !self.rtp.ip().is_unspecified(),
            feedback: self.feedback,
            keys,
        })
    }

    /// The lines of an answer, the first one without its kind and protocol; `None` if it has to be refused.
    pub(super) fn answer(&self, own: &OwnVideo) -> Option<VideoAnswer> {
        let key = match &self.crypto {
            None => None,
            Some(crypto) => Some((crypto.tag, own.key(crypto.key.suite())?.clone())),
        };
        let formats = self.common(own);
        (!formats.is_empty()).then(|| VideoAnswer {
            port: own.port,
            formats,
            feedback: self.feedback,
            direction: self.direction.mirrored(),
            rtcp_mux: self.rtcp_mux,
            keys: key.into_iter().collect(),
        })
    }
}

/// A stream of moving pictures as we say it.
pub(super) struct VideoAnswer {
    port: u16,
    formats: Vec<(VideoFormat, u8)>,
    feedback: Feedback,
    direction: Direction,
    rtcp_mux: bool,
    keys: Vec<(u32, Key)>,
}

impl VideoAnswer {
    /// What we offer.
    pub(super) fn offer(own: &OwnVideo) -> Self {
        let numbered = own
            .formats
            .iter()
            .map(|format| (*format, format.far_payload_type()));
        Self {
            port: own.port,
            formats: numbered.collect(),
            feedback: Feedback {
                pli: true,
                fir: true,
            },
            direction: Direction::SendRecv,
            rtcp_mux: false,
            keys: (1..).zip(own.keys.iter().cloned()).collect(),
        }
    }

    /// The lines, the first of which begins with `kind` and has this protocol.
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
        let Feedback { pli, fir } = self.feedback;
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

impl<'a> VideoLines<'a> {
    /// A line that has a payload type and something about it. One that is malformed is as good as absent.
    pub(super) fn line(&mut self, name: &str, value: &'a str) {
        let Some((number, said)) = value.trim().split_once(' ') else {
            return;
        };
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

    /// The formats that we carry: those that differ in more than their level, and each payload type once, first come.
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
