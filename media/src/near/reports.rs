//! When a phone gets an RTCP report about its stream, and what it says (RFC 3550 section 6.4). The reports are this
//! engine's own, since the other side's do not cross; phones show the quality of a call from them.
//!
//! A report covers the path between this machine and the phone, not the path beyond.

use std::time::{Duration, Instant};

use super::direction::RtpDirection;
use crate::rtcp::{ReportBlock, SenderInfo, write_report};

/// From the first packet to the first report, and between two (RFC 3550 section 6.2).
const FIRST: Duration = Duration::from_millis(2_500);
const INTERVAL: Duration = Duration::from_secs(5);

/// The reports about one stream.
#[derive(Debug, Default)]
pub(super) struct RtcpReports {
    /// When the first packet passed.
    begun: Option<Instant>,
    due: Option<Instant>,
    /// The phone's last sender report: the middle 32 bits of its NTP time, and when it came.
    last_sender_report: Option<(u32, Instant)>,
    /// Bytes of payload that went to the phone.
    bytes: u32,
    /// Packets sent, received and lost, as in the last report.
    reported: (u64, u64, u64),
}

impl RtcpReports {
    /// A packet passed in either direction.
    pub(super) fn note_packet(&mut self, now: Instant) {
        self.begun.get_or_insert(now);
        self.due.get_or_insert(now + FIRST);
    }

    /// A packet went to the phone.
    pub(super) fn note_sent(&mut self, bytes: usize, now: Instant) {
        self.note_packet(now);
        self.bytes = self.bytes.wrapping_add(bytes as u32);
    }

    /// RTCP came from the phone, with the time of its sender report if it holds one.
    pub(super) fn note_received(&mut self, report_time: Option<u32>, now: Instant) {
        if let Some(time) = report_time {
            self.last_sender_report = Some((time, now));
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Leaves the due report out.
    pub(super) fn skip(&mut self, now: Instant) {
        self.due = Some(now + INTERVAL);
    }

    /// The report about what `source` sends to `ours`, and the other way. While nothing passes, none is due.
    pub(super) fn write(
        &mut self,
        (ours, source, clock): (u32, u32, u32),
        (from_phone, to_phone): (&RtpDirection, &RtpDirection),
        now: Instant,
    ) -> Vec<u8> {
        let (inbound, outbound) = (from_phone.meter.stats(), to_phone.meter.stats());
        let current = (outbound.passed, inbound.passed, inbound.lost);
        let before = std::mem::replace(&mut self.reported, current);
        let is_quiet = before == self.reported;
        self.due = (!is_quiet).then_some(now + INTERVAL);
        let timestamp = to_phone
            .timestamp(clock, now)
            .filter(|_| outbound.passed > before.0);
        let sender = timestamp
            .zip(self.begun)
            .map(|(timestamp, begun)| SenderInfo {
                since: now.saturating_duration_since(begun),
                timestamp,
                packets: outbound.passed as u32,
                bytes: self.bytes,
            });
        let block = from_phone.highest(source).map(|highest| ReportBlock {
            source,
            fraction_lost: fraction(
                inbound.lost.saturating_sub(before.2),
                inbound.passed.saturating_sub(before.1),
            ),
            lost: u32::try_from(inbound.lost).unwrap_or(u32::MAX),
            highest,
            jitter: from_phone.meter.jitter(),
            last: self
                .last_sender_report
                .map(|(time, at)| (time, now.saturating_duration_since(at))),
        });
        write_report(ours, sender, block)
    }
}

/// The share of lost packets among all that were expected, in 256ths.
fn fraction(lost: u64, passed: u64) -> u8 {
    let of_all = (lost * 256).checked_div(lost + passed).unwrap_or(0);
    u8::try_from(of_all).unwrap_or(u8::MAX)
}
