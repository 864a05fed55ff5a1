//! One `m=` line (RFC 8866 section 5.14): the kind of its stream and the protocol under it.
//!
//! Both are closed lists, so that even a refused stream is answered from typed values.

/// The part of an `m=` line that an answer has to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MediaLine {
    pub(super) kind: MediaKind,
    pub(super) protocol: MediaProtocol,
}

/// The media types of RFC 8866 section 8.2.2, and T.38's and RFC 6466's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaKind {
    Audio,
    Video,
    Text,
    Application,
    Message,
    Image,
}

impl MediaKind {
    const NAMES: [(Self, &'static str); 6] = [
        (Self::Audio, "audio"),
        (Self::Video, "video"),
        (Self::Text, "text"),
        (Self::Application, "application"),
        (Self::Message, "message"),
        (Self::Image, "image"),
    ];

    pub(super) fn read(name: &str) -> Option<Self> {
        find(&Self::NAMES, name)
    }

    pub(super) fn name(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }

    /// Whether a call may carry a stream of this kind.
    pub(super) fn is_carried(self) -> bool {
        matches!(self, Self::Audio | Self::Video)
    }
}

/// The transports that phones name; every RTP profile that has keys counts as secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaProtocol {
    RtpAvp,
    RtpAvpf,
    RtpSavp,
    RtpSavpf,
    DtlsSavp,
    DtlsSavpf,
    Udp,
    Udptl,
    DtlsUdptl,
    Tcp,
    TcpMsrp,
    TlsMsrp,
    UdpBfcp,
    TcpBfcp,
    TlsBfcp,
    DtlsSctp,
}

impl MediaProtocol {
    const NAMES: [(Self, &'static str); 16] = [
        (Self::RtpAvp, "RTP/AVP"),
        (Self::RtpAvpf, "RTP/AVPF"),
        (Self::RtpSavp, "RTP/SAVP"),
        (Self::RtpSavpf, "RTP/SAVPF"),
        (Self::DtlsSavp, "UDP/TLS/RTP/SAVP"),
        (Self::DtlsSavpf, "UDP/TLS/RTP/SAVPF"),
        (Self::Udp, "udp"),
        (Self::Udptl, "udptl"),
        (Self::DtlsUdptl, "UDP/TLS/UDPTL"),
        (Self::Tcp, "TCP"),
        (Self::TcpMsrp, "TCP/MSRP"),
        (Self::TlsMsrp, "TCP/TLS/MSRP"),
        (Self::UdpBfcp, "UDP/BFCP"),
        (Self::TcpBfcp, "TCP/BFCP"),
        (Self::TlsBfcp, "TCP/TLS/BFCP"),
        (Self::DtlsSctp, "UDP/DTLS/SCTP"),
    ];

    pub(super) fn read(name: &str) -> Option<Self> {
        find(&Self::NAMES, name)
    }

    pub(super) fn name(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }

    /// Plain RTP, or RTP with keys if there are `a=crypto` lines. Feedback messages (AVPF) may be left out
    /// by either side (RFC 4585 section 3.1).
    pub(super) fn is_plain_rtp(self) -> bool {
        matches!(self, Self::RtpAvp | Self::RtpAvpf)
    }

    /// SRTP with its keys in the SDP itself (RFC 4568), not by a handshake.
    pub(super) fn has_keys_in_sdp(self) -> bool {
        matches!(self, Self::RtpSavp | Self::RtpSavpf)
    }

    /// A format that the grammar of a line with this protocol allows.
    pub(super) fn any_format(self) -> &'static str {
        match self {
            Self::Udptl | Self::DtlsUdptl => "t38",
            Self::DtlsSctp => "webrtc-datachannel",
            _ if self.is_plain_rtp() || self.is_secure_rtp() => "0",
            _ => "*",
        }
    }

    pub(super) fn is_secure_rtp(self) -> bool {
        matches!(
            self,
            Self::RtpSavp | Self::RtpSavpf | Self::DtlsSavp | Self::DtlsSavpf
        )
    }
}

fn find<T: Copy>(names: &[(T, &'static str)], name: &str) -> Option<T> {
    names
        .iter()
        .find(|(_, known)| known.eq_ignore_ascii_case(name))
        .map(|(value, _)| *value)
}

fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names
        .iter()
        .find(|(known, _)| *known == value)
        .map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_value() {
        for (kind, name) in MediaKind::NAMES {
            assert_eq!((MediaKind::read(name), kind.name()), (Some(kind), name));
        }
        for (protocol, name) in MediaProtocol::NAMES {
            assert_eq!(
                (MediaProtocol::read(name), protocol.name()),
                (Some(protocol), name)
            );
        }
    }

    #[test]
    fn no_protocol_is_both_plain_and_secure() {
        for (protocol, _) in MediaProtocol::NAMES {
            assert!(!(protocol.is_plain_rtp() && protocol.is_secure_rtp()));
        }
    }
}
