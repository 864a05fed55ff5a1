//! One stream of an RTP session, in both directions: what reports say about it (RFC 3550 sections 6.4.1, A.3 and A.8), and when.

use std::time::{Duration, Instant};

use super::event::FarPacket;
use super::rtp_session::StreamSsrcs;
use crate::frame;
use crate::rtcp::{AddedRtcp, ReportBlock, SenderInfo, write_alike};
use crate::rtp::RtpPacket;
use crate::sequence::ahead;
use crate::video;

/// One stream each way.
#[derive(Debug)]
pub(super) struct RtpStream {
    ssrcs: StreamSsrcs,
    begun: Instant,
    report_at: Instant,
    sent: SentCounts,
    received: ReceivedCounts,
    /// The other side's last sender report: the middle 32 bits of its NTP time, and when it came.
    last_report: Option<(u32, Instant)>,
}

/// What was sent.
#[derive(Debug, Default)]
struct SentCounts {
    packets: u32,
    bytes: u32,
    clock: StreamClock,
    /// Timestamp and clock of the newest packet, and when it left.
    newest: Option<(u32, u32, Instant)>,
}

/// What was received.
#[derive(Debug, Default)]
struct ReceivedCounts {
    /// Extended sequence numbers of the first packet and of the highest.
    span: Option<(u32, u32)>,
    packets: u32,
    /// Expected and received, as in the last report.
    reported: (u32, u32),
    clock: StreamClock,
    /// Arrival and timestamp of the packet before.
    transit: Option<(Instant, u32)>,
    /// Sixteen times the jitter, in ticks.
    jitter: u32,
}

/// The clock of the packets of one direction: of pictures it is known, and of frames that of the codec in them. A frame of fill
/// does not tell, and has that of the frames before.
#[derive(Debug, Default)]
struct StreamClock(Option<u32>);

impl RtpStream {
    pub(super) fn new(ssrcs: StreamSsrcs, begun: Instant, report_at: Instant) -> Self {
        Self {
            ssrcs,
            begun,
            report_at,
            sent: SentCounts::default(),
            received: ReceivedCounts::default(),
            last_report: None,
        }
    }

    pub(super) const fn ssrcs(&self) -> StreamSsrcs {
        self.ssrcs
    }

    /// When a report is due.
    pub(super) const fn report_at(&self) -> Instant {
        self.report_at
    }

    pub(super) fn put_off_report(&mut self, at: Instant) {
        self.report_at = at;
    }

    /// A packet left.
    pub(super) fn note_sent(&mut self, packet: &FarPacket, now: Instant) {
        let sent = &mut self.sent;
        sent.packets = sent.packets.wrapping_add(1);
        sent.bytes = sent.bytes.wrapping_add(packet.payload.len() as u32);
        if let Some(clock) = sent.clock.after(packet.payload_type, &packet.payload) {
            sent.newest = Some((packet.timestamp, clock, now));
        }
    }

    /// A packet came.
    pub(super) fn note_received(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        let received = &mut self.received;
        received.packets = received.packets.wrapping_add(1);
        let number = u32::from(packet.sequence);
        let (_, highest) = received.span.get_or_insert((number, number));
        let step = ahead(packet.sequence, *highest as u16);
        *highest = highest.wrapping_add_signed(step.max(0));
        let Some(clock) = received.clock.after(packet.payload_type, packet.payload) else {
            return;
        };
        let before = received.transit.replace((now, packet.timestamp));
        if let Some((at, timestamp)) = before {
            let passed = ticks(now.saturating_duration_since(at), clock);
            let due = packet.timestamp.wrapping_sub(timestamp);
            let late = passed.wrapping_sub(due).cast_signed().unsigned_abs();
            // A timestamp that jumps is another beginning, and no jitter.
            if late < clock {
                received.jitter = received.jitter + late - (received.jitter + 8) / 16;
            }
        }
    }

    /// RTCP came, with the time of its sender report if it holds one.
    pub(super) fn note_report(&mut self, report_time: Option<u32>, now: Instant) {
        if let Some(time) = report_time {
            self.last_report = Some((time, now));
        }
    }

    /// A report, and what is added to it.
    pub(super) fn report(&mut self, added: Option<AddedRtcp>, now: Instant) -> Vec<u8> {
        let timestamp = self.sent.newest.map(|(timestamp, clock, at)| {
            timestamp.wrapping_add(ticks(now.saturating_duration_since(at), clock))
        });
        let sender = SenderInfo {
            since: now.saturating_duration_since(self.begun),
            timestamp: timestamp.unwrap_or_default(),
            packets: self.sent.packets,
            bytes: self.sent.bytes,
        };
        let last = self
            .last_report
            .map(|(time, at)| (time, now.saturating_duration_since(at)));
        let block = ReportBlock {
            source: self.ssrcs.theirs,
            last,
            ..self.received.block()
        };
        write_alike(self.ssrcs.ours, sender, block, added)
    }
}

impl ReceivedCounts {
    fn block(&mut self) -> ReportBlock {
        let Some((first, highest)) = self.span else {
            return ReportBlock::default();
        };
        let expected = highest.wrapping_sub(first).wrapping_add(1);
        let before = std::mem::replace(&mut self.reported, (expected, self.packets));
        let expected_now = expected.wrapping_sub(before.0);
        let lost_now = expected_now.saturating_sub(self.packets.wrapping_sub(before.1));
        let fraction = (u64::from(lost_now) * 256).checked_div(expected_now.into());
        ReportBlock {
            fraction_lost: u8::try_from(fraction.unwrap_or_default()).unwrap_or(u8::MAX),
            lost: expected.saturating_sub(self.packets),
            highest,
            jitter: self.jitter / 16,
            ..ReportBlock::default()
        }
    }
}

impl StreamClock {
    /// The clock once this packet has passed.
    fn after(&mut self, payload_type: u8, payload: &[u8]) -> Option<u32> {
        let told = match video::is_far_payload_type(payload_type) {
            true => Some(video::CLOCK),
            false => frame::clock(payload_type, payload),
        };
        self.0 = told.or(self.0);
        self.0
    }
}

/// A time in ticks of a clock, which go round.
fn ticks(time: Duration, clock: u32) -> u32 {
    (time.as_micros() * u128::from(clock) / 1_000_000) as u32
}
