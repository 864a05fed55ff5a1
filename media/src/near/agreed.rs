//! One stream of a phone as last agreed: what of its packets goes on, and what it is sent.

use std::net::SocketAddr;
use std::time::Instant;

use super::direction::Lane;
use super::srtp_context::Lock;
use super::{Microphone, RtcpAt};
use crate::codec::Codec;
use crate::far::RtpPacket;
use crate::near::dtmf_sender::Keys;
use crate::near::latch::Latch;
use crate::near::rewrite::Numbers;
use crate::near::rtcp::{self, Heard};
use crate::rtp::{Datagram, MAX_PAYLOAD, MAX_VIDEO_PAYLOAD, Packet, RtpError};
use crate::srtp::KeyPair;
use crate::stats::Reason;
use crate::video::{CLOCK, VideoFormat};

/// One agreed format: its numbers on both sides, and its clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// The phone's payload type.
    number: u8,
    /// The far leg's, which is also the one that we offer to a phone.
    far: u8,
    pub(super) clock: u32,
    /// Keypad digits rather than sound.
    pub(super) is_events: bool,
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sound,
    Video,
}

/// What was agreed with the phone for one stream.
pub(super) struct Terms {
    pub(super) kind: Kind,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) formats: Vec<Carried>,
    pub(super) hears: bool,
    pub(super) rtcp: RtcpAt,
    pub(super) keys: Option<KeyPair>,
}

/// One stream of the phone as last agreed.
#[derive(Debug)]
pub(super) struct Phone {
    kind: Kind,
    formats: Vec<Carried>,
    hears: bool,
    latch: Latch,
    /// Where it wants RTCP, and where its own comes from.
    rtcp: RtcpAt,
    rtcp_source: Option<SocketAddr>,
    /// Who sends the packets that come from there.
    source: Option<u32>,
    lock: Option<Lock>,
}

impl Carried {
    pub(super) const fn sound(codec: Codec, number: u8) -> Self {
        Self {
            number,
            far: codec.far_payload_type(),
            clock: codec.clock(),
            is_events: codec.is_events(),
        }
    }

    pub(super) const fn video(format: VideoFormat, number: u8) -> Self {
        Self {
            number,
            far: format.far_payload_type(),
            clock: CLOCK,
            is_events: false,
        }
    }
}

impl Kind {
    const fn most_bytes(self) -> usize {
        match self {
            Self::Sound => MAX_PAYLOAD,
            Self::Video => MAX_VIDEO_PAYLOAD,
        }
    }
}

impl Phone {
    /// The phone under these terms, `before` being what it was under those before.
    pub(super) fn agreed(terms: Terms, before: Option<Self>) -> Self {
        let latch = match &before {
            Some(before) => before.latch.renewed(terms.local, terms.remote),
            None => Latch::new(terms.local, terms.remote),
        };
        let source = before.as_ref().and_then(|before| before.source);
        let lock = before.and_then(|before| before.lock);
        Self {
            kind: terms.kind,
            formats: terms.formats,
            hears: terms.hears,
            latch,
            rtcp: terms.rtcp,
            rtcp_source: None,
            source,
            lock: terms.keys.map(|keys| Lock::renewed(lock, keys)),
        }
    }

    /// A packet from the phone; what comes back is for the far leg.
    pub(super) fn hear(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        microphone: Microphone,
        lane: &mut Lane,
        now: Instant,
    ) -> Result<RtpPacket, Reason> {
        let bytes = match &mut self.lock {
            Some(lock) => lock.open(bytes)?,
            None => bytes,
        };
        let packet = match Datagram::read_within(bytes, self.kind.most_bytes()) {
            Ok(Datagram::Rtp(packet)) => packet,
            Ok(Datagram::Rtcp) => return Err(Reason::Rtcp),
            Err(RtpError::TooLong) => return Err(Reason::Oversized),
            Err(_) => return Err(Reason::Malformed),
        };
        let format = carried(&self.formats, packet.payload_type).ok_or(Reason::Format)?;
        // Only a packet in an agreed format may fix where the phone is.
        if !self.latch.admits(from) {
            return Err(Reason::Stranger);
        }
        self.source = Some(packet.ssrc);
        match microphone {
            Microphone::Open => {}
            Microphone::Muted => return Err(Reason::Muted),
            Microphone::Nowhere => return Err(Reason::Nowhere),
        }
        let numbers = Numbers {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
        };
        let rewritten = match self.kind {
            Kind::Sound => lane.renumber(numbers, format, clock(&self.formats), now)?,
            Kind::Video => lane.renumber_video(numbers, format, packet.payload.len(), now)?,
        };
        Ok(RtpPacket {
            payload_type: format.far,
            marker: rewritten.marker,
            sequence: rewritten.sequence,
            timestamp: rewritten.timestamp,
            payload: packet.payload.to_vec(),
        })
    }

    /// RTCP from the phone.
    pub(super) fn hear_control(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<Heard, Reason> {
        if !self.latch.is_near(from) {
            return Err(Reason::Stranger);
        }
        let bytes = match &mut self.lock {
            // What does not open is still RTCP, and of no use.
            Some(lock) => lock.open_control(bytes).map_err(|_| Reason::Rtcp)?,
            None => bytes,
        };
        let heard = rtcp::read(bytes).unwrap_or_default();
        self.rtcp_source = Some(from);
        Ok(heard)
    }

    /// A packet of RTCP for the phone, ready to be sent, and where to. `write` is told who sends from there.
    pub(super) fn tell(
        &mut self,
        write: impl FnOnce(u32) -> Vec<u8>,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let target = self.control_target()?;
        let mut bytes = write(self.source?);
        let lock = self.lock.as_mut();
        let is_ready = lock.is_none_or(|lock| lock.seal_control(&mut bytes));
        is_ready.then_some((target, bytes))
    }

    fn control_target(&self) -> Option<SocketAddr> {
        let sound = self.latch.target()?;
        match (self.rtcp, self.rtcp_source) {
            (RtcpAt::SamePort, _) => Some(sound),
            (_, Some(source)) => Some(source),
            (RtcpAt::Elsewhere(at), None) => {
                Some(at).filter(|at| !at.ip().is_unspecified() && at.port() != 0)
            }
            (RtcpAt::NextPort, None) => {
                let port = sound.port().checked_add(1)?;
                Some(SocketAddr::new(sound.ip(), port))
            }
        }
    }

    /// The clock of the stream.
    pub(super) fn clock(&self) -> u32 {
        clock(&self.formats)
    }

    /// Whether the phone takes packets for now.
    pub(super) const fn hears(&self) -> bool {
        self.hears
    }

    /// A packet of the far leg; what comes back is for the phone.
    pub(super) fn play(
        &mut self,
        packet: &RtpPacket,
        ssrc: u32,
        (lane, keys): (&mut Lane, &mut Keys),
        now: Instant,
    ) -> Result<(SocketAddr, Vec<u8>), Reason> {
        let target = self.latch.target().ok_or(Reason::Nowhere)?;
        let format = self.format(packet.payload_type).ok_or(Reason::Format)?;
        match packet.payload.len() {
            0 => return Err(Reason::Malformed),
            length if length > self.kind.most_bytes() => return Err(Reason::Oversized),
            _ if !self.hears => return Err(Reason::Muted),
            _ => {}
        }
        let numbers = Numbers {
            // The far leg has one stream of each kind for the whole call, so its source never changes.
            ssrc: 0,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
        };
        let rewritten = match self.kind {
            Kind::Sound => lane.renumber(numbers, format, clock(&self.formats), now)?,
            Kind::Video => lane.renumber_video(numbers, format, packet.payload.len(), now)?,
        };
        let sent = Packet {
            payload_type: format.number,
            marker: rewritten.marker,
            sequence: rewritten.sequence,
            timestamp: rewritten.timestamp,
            ssrc,
            payload: &packet.payload,
        };
        let mut bytes = match self.press_instead(format, sent, keys) {
            Some(press) => press,
            None => sent.to_bytes(),
        };
        let lock = self.lock.as_mut();
        if lock.is_none_or(|lock| lock.seal(&mut bytes)) {
            Ok((target, bytes))
        } else {
            Err(Reason::Late)
        }
    }

    /// What says a key press to the phone in place of a packet of sound, if one waits.
    fn press_instead(
        &self,
        format: Carried,
        sound: Packet<'_>,
        keys: &mut Keys,
    ) -> Option<Vec<u8>> {
        let events = self.events().filter(|_| !format.is_events)?;
        let said = keys.take_place(sound.timestamp, clock(&self.formats))?;
        let press = Packet {
            payload_type: events.number,
            marker: said.marker,
            timestamp: said.timestamp,
            payload: &said.payload,
            ..sound
        };
        Some(press.to_bytes())
    }

    /// The format for key presses that was agreed.
    pub(super) fn events(&self) -> Option<Carried> {
        self.formats.iter().copied().find(|format| format.is_events)
    }

    fn format(&self, far: u8) -> Option<Carried> {
        self.formats
            .iter()
            .copied()
            .find(|format| format.far == far)
    }
}

/// The format of a packet from the phone. Where a phone answered our offer with a number of its own,
/// RFC 3264 section 6.1 lets it send either under its number or, as most do not, under ours.
fn carried(formats: &[Carried], payload_type: u8) -> Option<Carried> {
    let by_theirs = formats.iter().find(|format| format.number == payload_type);
    let by_ours = || formats.iter().find(|format| format.far == payload_type);
    by_theirs.or_else(by_ours).copied()
}

/// The clock of the sound, which is that of the stream.
fn clock(formats: &[Carried]) -> u32 {
    formats
        .iter()
        .find(|format| !format.is_events)
        .map_or(8_000, |format| format.clock)
}
