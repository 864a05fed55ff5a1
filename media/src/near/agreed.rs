//! One stream of a phone as last agreed: which of its packets pass, and which packets it gets.

use std::net::SocketAddr;
use std::time::Instant;

use super::Microphone;
use super::direction::RtpDirection;
use super::dtmf_sender::DtmfSender;
use super::formats::{PayloadFormat, StreamFormats};
use super::latch::Latch;
use super::rewrite::RtpNumbers;
use super::silence::PhoneSilence;
use super::srtp_context::SrtpContext;
use crate::far::FarPacket;
use crate::negotiate::RtcpDestination;
use crate::rtcp::{self, ReceivedRtcp};
use crate::rtp::{MAX_PAYLOAD, MAX_VIDEO_PAYLOAD, RtpDatagram, RtpError, RtpPacket};
use crate::srtp::SrtpKeyPair;
use crate::stats::DropReason;

/// The media of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamKind {
    Audio,
    Video,
}

/// What was agreed with the phone for one stream.
pub(super) struct StreamTerms {
    pub(super) kind: StreamKind,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) formats: StreamFormats,
    pub(super) receives: bool,
    pub(super) rtcp: RtcpDestination,
    pub(super) keys: Option<SrtpKeyPair>,
}

/// One stream of the phone as last agreed.
#[derive(Debug)]
pub(super) struct AgreedStream {
    kind: StreamKind,
    formats: StreamFormats,
    receives: bool,
    latch: Latch,
    /// Where the phone wants RTCP, and where its own comes from.
    rtcp: RtcpDestination,
    rtcp_source: Option<SocketAddr>,
    /// The SSRC of its packets.
    source: Option<u32>,
    srtp: Option<Box<SrtpContext>>,
}

impl StreamKind {
    const fn most_bytes(self) -> usize {
        match self {
            Self::Audio => MAX_PAYLOAD,
            Self::Video => MAX_VIDEO_PAYLOAD,
        }
    }
}

impl AgreedStream {
    /// The stream under these terms; `before` is the stream under the terms that they replace.
    pub(super) fn agreed(terms: StreamTerms, before: Option<Self>, now: Instant) -> Self {
        let latch = match &before {
            Some(before) => before.latch.renewed(terms.local, terms.remote, now),
            None => Latch::new(terms.local, terms.remote, now),
        };
        let source = before.as_ref().and_then(|before| before.source);
        let srtp = before.and_then(|before| before.srtp);
        Self {
            kind: terms.kind,
            formats: terms.formats,
            receives: terms.receives,
            latch,
            rtcp: terms.rtcp,
            rtcp_source: None,
            source,
            srtp: terms
                .keys
                .map(|keys| Box::new(SrtpContext::renewed(srtp.map(|srtp| *srtp), keys))),
        }
    }

    /// Takes a packet from the phone, and returns it as one for the far leg.
    pub(super) fn read(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        microphone: Microphone,
        (direction, silence): (&mut RtpDirection, &mut PhoneSilence),
        now: Instant,
    ) -> Result<FarPacket, DropReason> {
        let bytes = match &mut self.srtp {
            Some(srtp) => srtp.unprotect(bytes)?,
            None => bytes,
        };
        let read = RtpDatagram::read_within(bytes, self.kind.most_bytes());
        let format = match &read {
            Ok(RtpDatagram::Rtp(packet)) => self.formats.received(packet.payload_type),
            _ => None,
        };
        // Only a packet in an agreed format may fix where the phone is. Another one, as comfort noise (RFC 3389) or an empty
        // packet that keeps a NAT open (RFC 6263), shows that the phone is still there.
        let is_phone = match (format, &read) {
            (Some(_), _) => self.latch.admits(from, now),
            (None, Ok(RtpDatagram::Rtp(_)) | Err(RtpError::Empty)) => self.latch.knows(from, now),
            _ => false,
        };
        if is_phone {
            silence.note_heard(now);
        }
        let packet = match read {
            Ok(RtpDatagram::Rtp(packet)) => packet,
            Ok(RtpDatagram::Rtcp) => return Err(DropReason::Rtcp),
            Err(RtpError::TooLong) => return Err(DropReason::Oversized),
            Err(_) => return Err(DropReason::Malformed),
        };
        let format = format.ok_or(DropReason::Format)?;
        if !is_phone {
            return Err(DropReason::Stranger);
        }
        self.source = Some(packet.ssrc);
        match microphone {
            Microphone::Open => {}
            Microphone::Muted => return Err(DropReason::Muted),
            Microphone::Nowhere => return Err(DropReason::Nowhere),
        }
        let payload_type = format.crosses_as().ok_or(DropReason::NotCarried)?;
        let numbers = RtpNumbers {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
        };
        let rewritten = match self.kind {
            StreamKind::Audio => direction.renumber(numbers, format, self.formats.clock(), now)?,
            StreamKind::Video => {
                direction.renumber_video(numbers, format, packet.payload.len(), now)?
            }
        };
        Ok(FarPacket {
            payload_type,
            marker: rewritten.marker,
            sequence: rewritten.sequence,
            timestamp: rewritten.timestamp,
            payload: format.carry(packet.payload),
        })
    }

    /// Takes RTCP from the phone.
    pub(super) fn read_rtcp(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<ReceivedRtcp, DropReason> {
        if !self.latch.is_near(from) {
            return Err(DropReason::Stranger);
        }
        let bytes = match &mut self.srtp {
            // A packet that fails authentication is counted as RTCP all the same: nothing of it is used.
            Some(srtp) => srtp.unprotect_rtcp(bytes).map_err(|_| DropReason::Rtcp)?,
            None => bytes,
        };
        let received = rtcp::read(bytes).unwrap_or_default();
        self.rtcp_source = Some(from);
        Ok(received)
    }

    /// A packet of RTCP for the phone, encrypted if need be, and its destination. `write` gets the SSRC of the phone.
    pub(super) fn write_rtcp(
        &mut self,
        write: impl FnOnce(u32) -> Vec<u8>,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let target = self.rtcp_target()?;
        let mut bytes = write(self.source?);
        let srtp = self.srtp.as_mut();
        let is_ready = srtp.is_none_or(|srtp| srtp.protect_rtcp(&mut bytes));
        is_ready.then_some((target, bytes))
    }

    fn rtcp_target(&self) -> Option<SocketAddr> {
        let rtp = self.latch.target()?;
        match (self.rtcp, self.rtcp_source) {
            (RtcpDestination::SamePort, _) => Some(rtp),
            (_, Some(source)) => Some(source),
            (RtcpDestination::Elsewhere(at), None) => {
                Some(at).filter(|at| !at.ip().is_unspecified() && at.port() != 0)
            }
            (RtcpDestination::NextPort, None) => {
                let port = rtp.port().checked_add(1)?;
                Some(SocketAddr::new(rtp.ip(), port))
            }
        }
    }

    /// The clock of the stream.
    pub(super) fn clock(&self) -> u32 {
        self.formats.clock()
    }

    /// Whether the phone takes packets for now.
    pub(super) const fn receives(&self) -> bool {
        self.receives
    }

    /// Takes a far packet, and returns it as one for the phone, with its destination.
    pub(super) fn write(
        &mut self,
        packet: &FarPacket,
        ssrc: u32,
        (direction, dtmf): (&mut RtpDirection, &mut DtmfSender),
        now: Instant,
    ) -> Result<(SocketAddr, Vec<u8>), DropReason> {
        let Some(target) = self.latch.target() else {
            direction.leave_out(packet.sequence);
            return Err(DropReason::Nowhere);
        };
        let format = self
            .formats
            .sent(packet.payload_type)
            .ok_or(DropReason::Format)?;
        match packet.payload.len() {
            0 => return Err(DropReason::Malformed),
            length if length > self.kind.most_bytes() => return Err(DropReason::Oversized),
            _ if !self.receives => {
                direction.leave_out(packet.sequence);
                return Err(DropReason::Muted);
            }
            _ => {}
        }
        let numbers = RtpNumbers {
            // The far leg has one stream of each kind for the whole call, so its source never changes.
            ssrc: 0,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
        };
        let rewritten = match self.kind {
            StreamKind::Audio => direction.renumber(numbers, format, self.formats.clock(), now)?,
            StreamKind::Video => {
                direction.renumber_video(numbers, format, packet.payload.len(), now)?
            }
        };
        let sent = RtpPacket {
            payload_type: format.number,
            marker: rewritten.marker,
            sequence: rewritten.sequence,
            timestamp: rewritten.timestamp,
            ssrc,
            payload: &packet.payload,
        };
        let mut bytes = match self.key_press_instead(format, sent, dtmf, now) {
            Some(press) => press,
            None => sent.to_bytes(),
        };
        let srtp = self.srtp.as_mut();
        if srtp.is_none_or(|srtp| srtp.protect(&mut bytes)) {
            Ok((target, bytes))
        } else {
            Err(DropReason::Late)
        }
    }

    /// The telephone event that replaces this audio packet, if a key press waits.
    fn key_press_instead(
        &self,
        format: PayloadFormat,
        audio: RtpPacket<'_>,
        dtmf: &mut DtmfSender,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let events = self.events().filter(|_| !format.is_events)?;
        let event = dtmf.replace_packet(audio.timestamp, self.formats.clock(), now)?;
        let press = RtpPacket {
            payload_type: events.number,
            marker: event.marker,
            timestamp: event.timestamp,
            payload: &event.payload,
            ..audio
        };
        Some(press.to_bytes())
    }

    /// The telephone-event format, if one was agreed.
    pub(super) fn events(&self) -> Option<PayloadFormat> {
        self.formats.events()
    }
}
