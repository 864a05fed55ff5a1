//! The RTP session with the other engine: one audio stream each way and perhaps one of video (RFC 3550), sealed with the keys that DTLS
//! agreed (RFC 3711, RFC 5764), and RTCP about both, sealed likewise.
//!
//! Sequence numbers are the owner's; roll-over counters, replay windows and the rule that no index is sealed twice are `srtp`'s. A session
//! has one pair of keys for its whole life: moves of the path change nothing in it.
//!
//! The TURN servers read the RTP headers, and of RTCP the sender's SSRC. Each stream's reports are of one size and leave every 5 s on
//! average at random times that nothing in the call moves; only a keyframe request, in a call with video, leaves between them.

use std::time::{Duration, Instant};

use super::event::FarPacket;
use super::rtp_stream::RtpStream;
use crate::rtcp::{self, AddedRtcp};
use crate::rtp::{self, RtpDatagram, RtpPacket};
use crate::srtp::{InboundSrtcp, InboundSrtp, OutboundSrtcp, OutboundSrtp, SrtpKeyPair};
use crate::video;

/// Room behind a packet for the longest tag and for what TURN adds.
const ROOM: usize = 32;

/// Between two reports about a stream: 5 s on average (RFC 3550 section 6.2), half as much more or less (section 6.3.1). The first comes
/// sooner.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(2_500);
const LONGEST_INTERVAL: Duration = Duration::from_millis(7_500);

/// The SSRCs of one stream, ours and theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamSsrcs {
    pub(super) ours: u32,
    pub(super) theirs: u32,
}

/// What a packet of the other side was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenedPacket {
    Rtp(FarPacket),
    /// RTCP that requests a keyframe.
    KeyframeRequest,
    /// Nothing that the owner has to know: a report, or a packet without payload.
    Other,
}

/// One RTP session.
pub(super) struct RtpSession {
    outbound: (OutboundSrtp, OutboundSrtcp),
    inbound: (InboundSrtp, InboundSrtcp),
    audio: RtpStream,
    video: Option<RtpStream>,
    /// Draws the times of reports.
    rng: fastrand::Rng,
}

impl RtpSession {
    pub(super) fn new(
        keys: &SrtpKeyPair,
        audio: StreamSsrcs,
        video: Option<StreamSsrcs>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut stream = |ssrcs| RtpStream::new(ssrcs, now, now + draw(&mut rng) / 2);
        Self {
            outbound: (
                OutboundSrtp::new(&keys.ours),
                OutboundSrtcp::new(&keys.ours),
            ),
            inbound: (
                InboundSrtp::new(&keys.theirs),
                InboundSrtcp::new(&keys.theirs),
            ),
            audio: stream(audio),
            video: video.map(stream),
            rng,
        }
    }

    /// Whether the call has video.
    pub(super) fn has_video(&self) -> bool {
        self.video.is_some()
    }

    /// The packet sealed; `None` if it belongs to no stream, or if its index was used before or is beyond the last.
    pub(super) fn write(&mut self, packet: &FarPacket, now: Instant) -> Option<Vec<u8>> {
        let stream = match video::is_far_payload_type(packet.payload_type) {
            true => self.video.as_mut()?,
            false => &mut self.audio,
        };
        let plain = RtpPacket {
            payload_type: packet.payload_type,
            marker: packet.marker,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: stream.ssrcs().ours,
            payload: &packet.payload,
        };
        let mut bytes = plain.to_bytes_with_room(ROOM);
        if !self.outbound.0.protect(&mut bytes) {
            return None;
        }
        stream.note_sent(packet, now);
        Some(bytes)
    }

    /// Opens a packet of the other side; `None` if no packet of its streams opens that was not opened before.
    pub(super) fn open(&mut self, mut bytes: Vec<u8>, now: Instant) -> Option<OpenedPacket> {
        if rtp::is_control(&bytes) {
            return self.open_control(bytes, now);
        }
        let (header, ssrc, _) = rtp::outline(&bytes)?;
        let stream = stream_of(&mut self.audio, &mut self.video, ssrc)?;
        self.inbound.0.unprotect(&mut bytes).ok()?;
        let Ok(RtpDatagram::Rtp(packet)) = RtpDatagram::read_within(&bytes, usize::MAX) else {
            return Some(OpenedPacket::Other);
        };
        stream.note_received(&packet, now);
        let opened = FarPacket {
            payload_type: packet.payload_type,
            marker: packet.marker,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            payload: Vec::new(),
        };
        let is_video = self.video.as_ref().map(|video| video.ssrcs().theirs) == Some(ssrc);
        if video::is_far_payload_type(opened.payload_type) != is_video {
            return Some(OpenedPacket::Other);
        }
        // The payload stays where it was decrypted.
        let length = packet.payload.len();
        bytes.drain(..header);
        bytes.truncate(length);
        Some(OpenedPacket::Rtp(FarPacket {
            payload: bytes,
            ..opened
        }))
    }

    fn open_control(&mut self, mut bytes: Vec<u8>, now: Instant) -> Option<OpenedPacket> {
        let sender = bytes.get(4..8)?.first_chunk().copied()?;
        let ssrc = u32::from_be_bytes(sender);
        let stream = stream_of(&mut self.audio, &mut self.video, ssrc)?;
        self.inbound.1.unprotect(&mut bytes).ok()?;
        let read = rtcp::read(&bytes).unwrap_or_default();
        stream.note_report(read.report_time, now);
        if read.requests_keyframe && self.video.is_some() {
            return Some(OpenedPacket::KeyframeRequest);
        }
        Some(OpenedPacket::Other)
    }

    /// The report that is due, sealed.
    pub(super) fn poll_report(&mut self, now: Instant) -> Option<Vec<u8>> {
        let wait = draw(&mut self.rng);
        let mut streams = std::iter::once(&mut self.audio).chain(self.video.as_mut());
        let due = streams.find(|stream| stream.report_at() <= now)?;
        let report = due.report(None, now);
        due.put_off_report(now + wait);
        self.seal_control(report)
    }

    /// A request for a keyframe (PLI), sealed; `None` without video.
    pub(super) fn request_keyframe(&mut self, now: Instant) -> Option<Vec<u8>> {
        let video = self.video.as_mut()?;
        let source = video.ssrcs().theirs;
        let request = video.report(Some(AddedRtcp::PictureLoss { source }), now);
        self.seal_control(request)
    }

    /// The end of a stream (BYE), sealed, for each stream.
    pub(super) fn leave(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let streams = std::iter::once(&mut self.audio).chain(self.video.as_mut());
        let last: Vec<_> = streams
            .map(|stream| stream.report(Some(AddedRtcp::Bye), now))
            .collect();
        let sealed = last.into_iter().map(|bytes| self.seal_control(bytes));
        sealed.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    /// When the next report is due.
    pub(super) fn next_timeout(&self) -> Instant {
        let video = self.video.as_ref().map(RtpStream::report_at);
        video.into_iter().fold(self.audio.report_at(), Instant::min)
    }

    fn seal_control(&mut self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        bytes.reserve_exact(ROOM);
        self.outbound.1.protect(&mut bytes).then_some(bytes)
    }
}

// Keys do not print.
impl std::fmt::Debug for RtpSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RtpSession(..)")
    }
}

/// The stream whose packets the other side sends with this SSRC.
fn stream_of<'a>(
    audio: &'a mut RtpStream,
    video: &'a mut Option<RtpStream>,
    ssrc: u32,
) -> Option<&'a mut RtpStream> {
    let mut streams = std::iter::once(audio).chain(video.as_mut());
    streams.find(|stream| stream.ssrcs().theirs == ssrc)
}

fn draw(rng: &mut fastrand::Rng) -> Duration {
    let range = (LONGEST_INTERVAL - SHORTEST_INTERVAL).as_millis() as u64;
    SHORTEST_INTERVAL + Duration::from_millis(rng.u64(0..=range))
}

#[cfg(test)]
mod tests;
