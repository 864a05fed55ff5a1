//! One `m=` line (RFC 8866 section 5.14): the kind of its stream and the protocol under it.
//!
//! A stream of another kind, or over another protocol, is refused under the words of its own line (RFC 3264 section 6), which go back to
//! the phone that wrote them and nowhere else.

/// The part of an `m=` line that an answer has to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MediaLine {
    pub(super) kind: MediaKind,
    pub(super) protocol: MediaProtocol,
}

/// The media types that a call may carry (RFC 8866 section 8.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MediaKind {
    Audio,
    Video,
    Other(Box<str>),
}

impl MediaKind {
    const NAMES: [(Self, &'static str); 2] = [(Self::Audio, "audio"), (Self::Video, "video")];

    pub(super) fn read(name: &str) -> Self {
        find(Self::NAMES, name).unwrap_or_else(|| Self::Other(token(name)))
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Other(name) => name,
        }
    }

    /// Whether a call may carry a stream of this kind.
    pub(super) const fn is_carried(&self) -> bool {
        matches!(self, Self::Audio | Self::Video)
    }
}

/// The kinds of RTP that phones name; every profile that has keys counts as secure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MediaProtocol {
    RtpAvp,
    RtpAvpf,
    RtpSavp,
    RtpSavpf,
    DtlsSavp,
    DtlsSavpf,
    Other(Box<str>),
}

impl MediaProtocol {
    const NAMES: [(Self, &'static str); 6] = [
        (Self::RtpAvp, "RTP/AVP"),
        (Self::RtpAvpf, "RTP/AVPF"),
        (Self::RtpSavp, "RTP/SAVP"),
        (Self::RtpSavpf, "RTP/SAVPF"),
        (Self::DtlsSavp, "UDP/TLS/RTP/SAVP"),
        (Self::DtlsSavpf, "UDP/TLS/RTP/SAVPF"),
    ];

    pub(super) fn read(name: &str) -> Self {
        find(Self::NAMES, name).unwrap_or_else(|| Self::Other(token(name)))
    }

    pub(super) fn name(&self) -> &str {
        if let Self::Other(name) = self {
            return name;
        }
        let own = Self::NAMES.into_iter().find(|(known, _)| known == self);
        own.map_or("", |(_, name)| name)
    }

    /// Plain RTP, or RTP with keys if there are `a=crypto` lines. Feedback messages (AVPF) may be left out
    /// by either side (RFC 4585 section 3.1).
    pub(super) const fn is_plain_rtp(&self) -> bool {
        matches!(self, Self::RtpAvp | Self::RtpAvpf)
    }

    /// SRTP with its keys in the SDP itself (RFC 4568), not by a handshake.
    pub(super) const fn has_keys_in_sdp(&self) -> bool {
        matches!(self, Self::RtpSavp | Self::RtpSavpf)
    }

    /// A format that the grammar of a line with this protocol allows.
    pub(super) fn any_format(&self) -> &'static str {
        let mut words = self.name().split('/');
        let is = |word: &str| self.name().to_ascii_lowercase().ends_with(word);
        if words.any(|word| word.eq_ignore_ascii_case("RTP")) {
            "0"
        } else if is("udptl") {
            "t38"
        } else if is("sctp") {
            "webrtc-datachannel"
        } else {
            "*"
        }
    }

    pub(super) const fn is_secure_rtp(&self) -> bool {
        matches!(
            self,
            Self::RtpSavp | Self::RtpSavpf | Self::DtlsSavp | Self::DtlsSavpf
        )
    }
}

fn find<T, const N: usize>(names: [(T, &'static str); N], name: &str) -> Option<T> {
    let mut names = names.into_iter();
    let found = names.find(|(_, known)| known.eq_ignore_ascii_case(name));
    found.map(|(value, _)| value)
}

/// The longest word of an `m=` line that is written back.
const MAX_WORD: usize = 32;

/// A word that a line may have (RFC 8866 section 9: token, and `/` between two of them); another one in place of what is none.
fn token(word: &str) -> Box<str> {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !br#""(),:;<=>?@[\]"#.contains(&byte);
    let is_word = (1..=MAX_WORD).contains(&word.len()) && word.bytes().all(is_token);
    if is_word { word } else { "unknown" }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_value() {
        for (kind, name) in MediaKind::NAMES {
            assert_eq!(kind.name(), name);
            assert_eq!(MediaKind::read(name), kind);
        }
        for (protocol, name) in MediaProtocol::NAMES {
            assert_eq!(protocol.name(), name);
            assert_eq!(MediaProtocol::read(name), protocol);
        }
    }

    #[test]
    fn a_word_on_no_list_is_kept_if_a_line_may_have_it() {
        for (word, kept) in [
            ("smell", "smell"),
            ("x-data.1+a", "x-data.1+a"),
            ("", "unknown"),
            ("a=b", "unknown"),
            ("a\tb", "unknown"),
            ("\u{e9}", "unknown"),
            (&"x".repeat(33), "unknown"),
        ] {
            assert_eq!(MediaKind::read(word).name(), kept);
        }
        assert_eq!(MediaProtocol::read("QUIC/RTP/AVP").name(), "QUIC/RTP/AVP");
    }

    #[test]
    fn no_protocol_is_both_plain_and_secure() {
        for (protocol, _) in MediaProtocol::NAMES {
            assert!(!(protocol.is_plain_rtp() && protocol.is_secure_rtp()));
        }
    }
}
