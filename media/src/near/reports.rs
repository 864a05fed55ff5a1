//! When a phone is told how its stream fares, and what (RFC 3550 section 6.4): our own reports, since nobody else's reach
//! it. Phones show the quality of a call from them.
//!
//! What is told is what passed between this machine and the phone; how packets fare beyond is not in it.

use std::time::{Duration, Instant};

use super::direction::Lane;
use crate::near::rtcp::{Received, Sent, write_report};

/// From the first packet to the first report, and between two (RFC 3550 section 6.2).
const FIRST: Duration = Duration::from_millis(2_500);
const INTERVAL: Duration = Duration::from_secs(5);

/// The reports about one stream.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// When the first packet passed.
    begun: Option<Instant>,
    due: Option<Instant>,
    /// The phone's last report: the time in it, and when it came.
    theirs: Option<(u32, Instant)>,
    /// Bytes of payload that went to the phone.
    bytes: u32,
    /// Packets sent, received and lost, as told last.
    told: (u64, u64, u64),
}

impl Reports {
    /// A packet passed, either way.
    pub(super) fn note(&mut self, now: Instant) {
        self.begun.get_or_insert(now);
        self.due.get_or_insert(now + FIRST);
    }

    /// A packet went to the phone.
    pub(super) fn note_sent(&mut self, bytes: usize, now: Instant) {
        self.note(now);
        self.bytes = self.bytes.wrapping_add(bytes as u32);
    }

    /// The phone has reported.
    pub(super) fn hear(&mut self, written: Option<u32>, now: Instant) {
        if let Some(written) = written {
            self.theirs = Some((written, now));
        }
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Lets one go by.
    pub(super) fn rest(&mut self, now: Instant) {
        self.due = Some(now + INTERVAL);
    }

    /// The report about what `source` sends to `ours`, and the other way. While nothing passes, nothing is told.
    pub(super) fn write(
        &mut self,
        (ours, source, clock): (u32, u32, u32),
        (from_phone, to_phone): (&Lane, &Lane),
        now: Instant,
    ) -> Vec<u8> {
        let (came, went) = (from_phone.meter.way(), to_phone.meter.way());
        let before = std::mem::replace(&mut self.told, (went.passed, came.passed, came.lost));
        let is_quiet = before == self.told;
        self.due = (!is_quiet).then_some(now + INTERVAL);
        let timestamp = to_phone
            .timestamp(clock, now)
            .filter(|_| went.passed > before.0);
        let sent = timestamp.zip(self.begun).map(|(timestamp, begun)| Sent {
            since: now.saturating_duration_since(begun),
            timestamp,
            packets: went.passed as u32,
            bytes: self.bytes,
        });
        let received = from_phone.highest(source).map(|highest| Received {
            source,
            fraction_lost: fraction(
                came.lost.saturating_sub(before.2),
                came.passed.saturating_sub(before.1),
            ),
            lost: u32::try_from(came.lost).unwrap_or(u32::MAX),
            highest,
            jitter: from_phone.meter.jitter(),
            last: self
                .theirs
                .map(|(written, at)| (written, now.saturating_duration_since(at))),
        });
        write_report(ours, sent, received)
    }
}

/// Lost ones among all that were due, in 256ths.
fn fraction(lost: u64, passed: u64) -> u8 {
    let of_all = (lost * 256).checked_div(lost + passed).unwrap_or(0);
    u8::try_from(of_all).unwrap_or(u8::MAX)
}
