//! One stream between a phone and this engine, in both directions, for as long as the call lasts.
//!
//! What a phone may send and receive by its latest SDP is in `agreed`; numbering and statistics outlive that.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::Rng;

use super::Microphone;
use super::agreed::{AgreedStream, StreamTerms};
use super::direction::RtpDirection;
use super::dtmf_sender::DtmfSender;
use super::reports::RtcpReports;
use super::silence::PhoneSilence;
use crate::far::FarPacket;
use crate::negotiate::KeyframeFeedback;
use crate::rtcp::{self, KeyframeRequest};
use crate::rtp;
use crate::stats::{DropReason, StreamStats};

/// Audio or video.
#[derive(Debug)]
pub(crate) struct PhoneStream {
    ssrc: u32,
    agreed: Option<AgreedStream>,
    /// Whether the phone has this stream now. A stream that the phone has dropped is kept with its SRTP context, since
    /// it may come back under the same keys.
    is_on: bool,
    from_phone: RtpDirection,
    to_phone: RtpDirection,
    dtmf: DtmfSender,
    keyframe_for_phone: PendingKeyframe,
    keyframe_for_far: PendingKeyframe,
    /// Full intra requests so far: their sequence number (RFC 5104 section 4.3.1.1).
    full_intra_requests: u8,
    reports: RtcpReports,
    silence: PhoneSilence,
    /// When the phone sent last, whether or not that passes.
    sent: Option<Instant>,
}

/// Whether a keyframe is needed, and when it was requested last.
#[derive(Debug, Default)]
struct PendingKeyframe {
    is_needed: bool,
    requested: Option<Instant>,
}

/// Between two keyframe requests. A phone takes about as long to make a keyframe, and a lost request is repeated.
const PAUSE: Duration = Duration::from_millis(250);

impl PendingKeyframe {
    fn is_due(&self, now: Instant) -> bool {
        let pauses = |requested| now.saturating_duration_since(requested) < PAUSE;
        self.is_needed && !self.requested.is_some_and(pauses)
    }

    fn note_requested(&mut self, now: Instant) {
        self.is_needed = false;
        self.requested = Some(now);
    }
}

impl PhoneStream {
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        Self {
            ssrc: rng.next_u32(),
            agreed: None,
            is_on: false,
            from_phone: RtpDirection::new(rng),
            to_phone: RtpDirection::new(rng),
            dtmf: DtmfSender::default(),
            keyframe_for_phone: PendingKeyframe::default(),
            keyframe_for_far: PendingKeyframe::default(),
            full_intra_requests: 0,
            reports: RtcpReports::default(),
            silence: PhoneSilence::default(),
            sent: None,
        }
    }

    /// Takes the terms agreed with the phone, for the first time or in place of those before; `None` if the stream is not
    /// part of the call any more.
    pub(super) fn attach(&mut self, terms: Option<StreamTerms>, now: Instant) {
        let received = self.receives();
        self.is_on = terms.is_some();
        if let Some(terms) = terms {
            self.agreed = Some(AgreedStream::agreed(terms, self.agreed.take(), now));
            self.silence.note_terms(now);
        }
        // The phone missed the frames since it stopped to receive, and cannot decode those that build on them.
        self.keyframe_for_phone.is_needed |= self.receives() && !received;
    }

    /// Queues a key press for the phone, as a telephone event in its audio. False if that was not agreed, or too many
    /// wait.
    pub(crate) fn send_dtmf(&mut self, event: u8, millis: u16, now: Instant) -> bool {
        let agreed = self.agreed.as_ref();
        let has_events = agreed.is_some_and(|agreed| agreed.events().is_some());
        has_events && self.dtmf.push(event, millis, now)
    }

    /// Takes a datagram from the near socket, and returns it as a packet for the far leg.
    pub(crate) fn read(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        microphone: Microphone,
        now: Instant,
    ) -> Option<FarPacket> {
        let packet = match &mut self.agreed {
            Some(agreed) if self.is_on && rtp::is_control(bytes) => {
                match agreed.read_rtcp(from, bytes) {
                    Ok(rtcp) => {
                        self.silence.note_heard(now);
                        self.keyframe_for_phone.is_needed |= rtcp.requests_keyframe;
                        self.reports.note_received(rtcp.report_time, now);
                        Err(DropReason::Rtcp)
                    }
                    Err(reason) => Err(reason),
                }
            }
            Some(agreed) if self.is_on => {
                let state = (&mut self.from_phone, &mut self.silence);
                agreed.read(from, bytes, microphone, state, now)
            }
            _ => Err(DropReason::Nowhere),
        };
        if packet.is_ok() {
            self.reports.note_packet(now);
        }
        let waits = matches!(packet, Err(DropReason::Muted | DropReason::Nowhere));
        if packet.is_ok() || waits && self.is_on {
            self.sent = Some(now);
        }
        self.from_phone.meter.note(packet)
    }

    /// Takes a far packet, and returns it as a datagram for the phone, with its destination.
    pub(crate) fn write(
        &mut self,
        packet: &FarPacket,
        now: Instant,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let datagram = match &mut self.agreed {
            Some(agreed) if self.is_on => {
                let state = (&mut self.to_phone, &mut self.dtmf);
                agreed.write(packet, self.ssrc, state, now)
            }
            _ => {
                self.to_phone.leave_out(packet.sequence);
                Err(DropReason::Nowhere)
            }
        };
        if datagram.is_ok() {
            self.reports.note_sent(packet.payload.len(), now);
        }
        self.to_phone.meter.note(datagram)
    }

    /// Whether the phone has just sent something, which need not pass.
    pub(crate) fn has_sent(&self, now: Instant) -> bool {
        self.sent == Some(now)
    }

    /// A packet of the phone that was read came too late to be sent on.
    pub(crate) fn note_too_late(&mut self) {
        self.from_phone.meter.note_too_late();
    }

    /// The other side needs a keyframe of this phone.
    pub(crate) fn request_keyframe(&mut self) {
        self.keyframe_for_far.is_needed = true;
    }

    /// Whether the other side must be asked for a keyframe now.
    pub(crate) fn takes_keyframe_request(&mut self, now: Instant) -> bool {
        let is_due = self.keyframe_for_phone.is_due(now);
        if is_due {
            self.keyframe_for_phone.note_requested(now);
        }
        is_due
    }

    /// The keyframe request that is due to the phone now, and its destination.
    pub(super) fn poll_keyframe_request(
        &mut self,
        feedback: KeyframeFeedback,
        now: Instant,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let agreed = self.agreed.as_mut().filter(|_| self.is_on)?;
        if !self.keyframe_for_far.is_due(now) {
            return None;
        }
        let request = if feedback.fir && !feedback.pli {
            self.full_intra_requests = self.full_intra_requests.wrapping_add(1);
            KeyframeRequest::FullIntra(self.full_intra_requests)
        } else {
            // Also for a phone that has named neither: a phone that does not know it skips it.
            KeyframeRequest::PictureLoss
        };
        let ours = self.ssrc;
        let datagram =
            agreed.write_rtcp(|source| rtcp::write_keyframe_request(ours, source, request))?;
        self.keyframe_for_far.note_requested(now);
        Some(datagram)
    }

    /// The report that is due to the phone, and its destination.
    pub(crate) fn poll_report(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        if !self.reports.is_due(now) {
            return None;
        }
        let ours = self.ssrc;
        let (reports, directions) = (&mut self.reports, (&self.from_phone, &self.to_phone));
        let agreed = self.agreed.as_mut().filter(|_| self.is_on);
        let clock = agreed.as_ref().map_or(0, |agreed| agreed.clock());
        let datagram = agreed.and_then(|agreed| {
            agreed.write_rtcp(|source| reports.write((ours, source, clock), directions, now))
        });
        if datagram.is_none() {
            // There is no address yet, or no SSRC of the phone's to report about.
            self.reports.skip(now);
        }
        datagram
    }

    /// When the next report is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.reports.next_timeout().filter(|_| self.is_on)
    }

    /// Whether the phone is silent in this stream, if that has changed since it was returned last.
    pub(crate) fn poll_silence(&mut self, now: Instant) -> Option<bool> {
        self.silence.poll(now)
    }

    /// When the phone will be silent in this stream if nothing comes.
    pub(super) fn silence_due(&self) -> Option<Instant> {
        self.silence.due()
    }

    /// When the phone was heard last in this stream, if it is silent.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        self.silence.since()
    }

    /// Whether the phone receives audio but no telephone events; `None` without a phone.
    pub(super) fn lacks_events(&self) -> Option<bool> {
        let agreed = self.agreed.as_ref().filter(|_| self.is_on)?;
        Some(agreed.receives() && agreed.events().is_none())
    }

    fn receives(&self) -> bool {
        let agreed = self.agreed.as_ref().filter(|_| self.is_on);
        agreed.is_some_and(AgreedStream::receives)
    }

    /// How many packets of the phone had a format that does not cross.
    pub(crate) const fn not_carried(&self) -> u64 {
        self.from_phone.meter.not_carried()
    }

    /// The statistics so far: from the phone, and to it.
    pub(crate) fn stats(&self) -> (StreamStats, StreamStats) {
        (self.from_phone.meter.stats(), self.to_phone.meter.stats())
    }
}
