//! RTP packets of a phone as borrowed bytes (RFC 3550 section 5.1), and the one form in which they
//! are written.
//!
//! Contributing sources, header extensions and padding are skipped and never kept: they may
//! tell more about a phone than its audio does. RTCP is recognised and not read.

/// One RTP packet, reduced to what may cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Payload type, 0 to 127, as agreed by SDP.
    pub payload_type: u8,
    /// For audio: the first packet after silence (RFC 3551 section 4.1).
    pub marker: bool,
    /// Sequence number: counts packets.
    pub sequence: u16,
    /// Timestamp, in ticks of the format's clock.
    pub timestamp: u32,
    /// SSRC: the source of the packet.
    pub ssrc: u32,
    /// The payload. Never empty.
    pub payload: &'a [u8],
}

/// What a datagram on a phone's RTP port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpDatagram<'a> {
    /// Audio or keypad digits.
    Rtp(RtpPacket<'a>),
    /// RTCP.
    Rtcp,
}

/// Why a datagram is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// Another protocol: the first two bits are not RTP's version 2.
    #[error("not RTP version 2")]
    Version,
    /// The header, its lists or its padding reach beyond the end.
    #[error("RTP cut short")]
    Truncated,
    /// A packet without payload; some phones keep a NAT open with these.
    #[error("RTP without payload")]
    Empty,
    /// More payload than [`MAX_PAYLOAD`], or whatever the limit is.
    #[error("RTP with too much payload")]
    TooLong,
}

impl<'a> RtpDatagram<'a> {
    /// Reads a datagram, telling RTP from RTCP by its second byte (RFC 5761 section 4).
    ///
    /// # Errors
    /// Whatever is neither, with the reason.
    pub fn read(bytes: &'a [u8]) -> Result<Self, RtpError> {
        Self::read_within(bytes, MAX_PAYLOAD)
    }

    /// The same with another limit to the payload.
    pub(crate) fn read_within(bytes: &'a [u8], most_bytes: usize) -> Result<Self, RtpError> {
        let (fixed, rest) =
            bytes
                .split_first_chunk::<HEADER_BYTES>()
                .ok_or(match bytes.first() {
                    Some(first) if first >> 6 != VERSION => RtpError::Version,
                    // The shortest RTCP packet has 8 bytes (RFC 3550 section 6.6).
                    Some(_) if bytes.len() >= 8 && bytes.get(1).is_some_and(is_rtcp) => {
                        return Ok(Self::Rtcp);
                    }
                    _ => RtpError::Truncated,
                })?;
        let [flags, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if flags >> 6 != VERSION {
            return Err(RtpError::Version);
        }
        if is_rtcp(&kind) {
            return Ok(Self::Rtcp);
        }
        let rest = skip_sources(rest, flags).and_then(|rest| skip_extension(rest, flags));
        let payload = rest
            .and_then(|rest| cut_padding(rest, flags))
            .ok_or(RtpError::Truncated)?;
        match payload.len() {
            0 => Err(RtpError::Empty),
            length if length <= most_bytes => Ok(Self::Rtp(RtpPacket {
                payload_type: kind & 0x7f,
                marker: kind & 0x80 != 0,
                sequence: u16::from_be_bytes([s0, s1]),
                timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
                ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
                payload,
            })),
            _ => Err(RtpError::TooLong),
        }
    }
}

impl RtpPacket<'_> {
    /// The packet as bytes: the twelve bytes of a bare header, then the payload.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_with_room(0)
    }

    /// The same in memory that has so many bytes of room behind the packet.
    pub(crate) fn to_bytes_with_room(self, room: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.payload.len() + room);
        out.push(VERSION << 6);
        out.push((u8::from(self.marker) << 7) | (self.payload_type & 0x7f));
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(self.payload);
        out
    }
}

/// Bytes of the header, contributing sources and extension included, SSRC and sequence number: what
/// SRTP leaves readable (RFC 3711 section 3.1). `None` for RTCP and for what is no RTP.
pub(crate) fn outline(bytes: &[u8]) -> Option<(usize, u32, u16)> {
    let (fixed, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [flags, kind, s0, s1, _, _, _, _, c0, c1, c2, c3] = *fixed;
    if flags >> 6 != VERSION || is_rtcp(&kind) {
        return None;
    }
    let payload = skip_extension(skip_sources(rest, flags)?, flags)?;
    Some((
        bytes.len() - payload.len(),
        u32::from_be_bytes([c0, c1, c2, c3]),
        u16::from_be_bytes([s0, s1]),
    ))
}

/// RTCP's packet types are 192 to 223, which RTP has to keep clear of (RFC 5761 section 4).
fn is_rtcp(second: &u8) -> bool {
    (192..=223).contains(second)
}

/// Whether a datagram is RTCP rather than RTP, encrypted or not.
pub(crate) fn is_control(bytes: &[u8]) -> bool {
    matches!(bytes, [flags, kind, ..] if flags >> 6 == VERSION && is_rtcp(kind)) && bytes.len() >= 8
}

fn skip_sources(rest: &[u8], flags: u8) -> Option<&[u8]> {
    rest.get(usize::from(flags & 0x0f) * 4..)
}

fn skip_extension(rest: &[u8], flags: u8) -> Option<&[u8]> {
    if flags & 0x10 == 0 {
        return Some(rest);
    }
    let ([_, _, high, low], rest) = rest.split_first_chunk()?;
    rest.get(usize::from(u16::from_be_bytes([*high, *low])) * 4..)
}

fn cut_padding(rest: &[u8], flags: u8) -> Option<&[u8]> {
    if flags & 0x20 == 0 {
        return Some(rest);
    }
    let count = usize::from(*rest.last()?);
    // The count includes its own byte, so that it cannot be none.
    if count == 0 {
        None
    } else {
        rest.get(..rest.len().checked_sub(count)?)
    }
}

/// The most payload in one packet: 120 ms of G.711, the longest packet that Opus has as well (RFC 6716 section 2.1.4). What fills a frame up
/// to it fits the ten bits that RFC 2198 has for a length.
pub const MAX_PAYLOAD: usize = 960;
/// The most payload in one packet of video. With the header of RTP, the tag of SRTP, a channel's header and
/// those of UDP and IPv6 that makes 1,468 bytes, which Ethernet carries unbroken.
pub const MAX_VIDEO_PAYLOAD: usize = 1_388;
const HEADER_BYTES: usize = 12;
const VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BARE: [u8; 16] = [
        0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4,
    ];

    fn bare() -> RtpPacket<'static> {
        RtpPacket {
            payload_type: 8,
            marker: true,
            sequence: 0x1234,
            timestamp: 160,
            ssrc: 0xcafe_babe,
            payload: &[1, 2, 3, 4],
        }
    }

    #[test]
    fn a_bare_packet_is_read_and_written() {
        assert_eq!(RtpDatagram::read(&BARE), Ok(RtpDatagram::Rtp(bare())));
        assert_eq!(bare().to_bytes(), BARE);
    }

    #[test]
    fn sources_extension_and_padding_are_stepped_over() {
        let mut bytes = vec![0x80 | 0x20 | 0x10 | 2];
        bytes.extend(&BARE[1..12]);
        bytes.extend([9; 8]);
        bytes.extend([0xbe, 0xde, 0, 1, 8, 8, 8, 8]);
        bytes.extend([1, 2, 3, 4]);
        bytes.extend([0, 0, 3]);
        assert_eq!(RtpDatagram::read(&bytes), Ok(RtpDatagram::Rtp(bare())));
    }

    #[test]
    fn padding_that_cannot_be_is_refused() {
        for (count, error) in [
            (0, RtpError::Truncated),
            (5, RtpError::Truncated),
            (255, RtpError::Truncated),
            (4, RtpError::Empty),
        ] {
            let mut bytes = BARE;
            bytes[0] |= 0x20;
            bytes[15] = count;
            assert_eq!(RtpDatagram::read(&bytes), Err(error), "{count}");
        }
    }

    #[test]
    fn lists_that_reach_beyond_the_end_are_refused() {
        let mut sources = BARE;
        sources[0] |= 15;
        assert_eq!(RtpDatagram::read(&sources), Err(RtpError::Truncated));
        let mut extension = BARE;
        extension[0] |= 0x10;
        assert_eq!(RtpDatagram::read(&extension), Err(RtpError::Truncated));
        assert_eq!(
            RtpDatagram::read(&extension[..14]),
            Err(RtpError::Truncated)
        );
    }

    #[test]
    fn reports_are_recognised_whatever_their_kind() {
        for kind in 200..=207 {
            assert_eq!(
                RtpDatagram::read(&[0x80, kind, 0, 1, 0, 0, 0, 1]),
                Ok(RtpDatagram::Rtcp)
            );
            assert_eq!(
                RtpDatagram::read(&[[0x81, kind, 0, 7], [0; 4], [0; 4], [0; 4]].concat()),
                Ok(RtpDatagram::Rtcp)
            );
        }
    }

    #[test]
    fn other_protocols_are_distinguished() {
        let stun = [
            0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(RtpDatagram::read(&stun), Err(RtpError::Version));
        assert_eq!(RtpDatagram::read(b"\r\n\r\n"), Err(RtpError::Version));
        assert_eq!(RtpDatagram::read(&[]), Err(RtpError::Truncated));
        assert_eq!(RtpDatagram::read(&BARE[..11]), Err(RtpError::Truncated));
        assert_eq!(RtpDatagram::read(&BARE[..12]), Err(RtpError::Empty));
    }

    #[test]
    fn payload_has_a_limit() {
        let mut bytes = BARE[..12].to_vec();
        bytes.resize(12 + MAX_PAYLOAD, 1);
        assert!(RtpDatagram::read(&bytes).is_ok());
        bytes.push(1);
        assert_eq!(RtpDatagram::read(&bytes), Err(RtpError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80), rtp: bool) {
            if let Some(first) = bytes.first_mut().filter(|_| rtp) {
                *first = *first & 0x3f | 0x80;
            }
            if let Ok(RtpDatagram::Rtp(packet)) = RtpDatagram::read(&bytes) {
                prop_assert!(!packet.payload.is_empty());
            }
        }

        #[test]
        fn what_is_written_comes_back(
            payload_type in prop::sample::select((0u8..64).chain(96..128).collect::<Vec<_>>()),
            marker: bool, sequence: u16, timestamp: u32, ssrc: u32, payload in prop::collection::vec(any::<u8>(), 1..300),
        ) {
            let packet = RtpPacket { payload_type, marker, sequence, timestamp, ssrc, payload: &payload };
            let bytes = packet.to_bytes();
            prop_assert_eq!(RtpDatagram::read(&bytes), Ok(RtpDatagram::Rtp(packet)));
        }
    }
}
