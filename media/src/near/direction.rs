//! One direction of one stream: its numbering, its statistics, and the rate limit of video.

use std::time::Instant;

use rand_core::Rng;

use super::formats::PayloadFormat;
use super::meter::StreamMeter;
use super::rewrite::{RewrittenNumbers, RtpArrival, RtpNumbers, RtpRewriter};
use crate::sequence::ahead;
use crate::stats::DropReason;
use crate::video::MAX_BITS;

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct RtpDirection {
    rewriter: RtpRewriter,
    pub(super) meter: StreamMeter,
    /// The rate limit of video.
    bucket: TokenBucket,
    /// The SSRC of the newest packet, and its extended sequence number (RFC 3550 section 6.4.1).
    highest: Option<(u32, u32)>,
    /// The timestamp of the newest packet as it went out, and when.
    newest: Option<(u32, Instant)>,
}

impl RtpDirection {
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        Self {
            rewriter: RtpRewriter::new(rng),
            meter: StreamMeter::default(),
            bucket: TokenBucket::default(),
            highest: None,
            newest: None,
        }
    }

    /// The extended highest sequence number of this SSRC.
    pub(super) fn highest(&self, source: u32) -> Option<u32> {
        let (of, number) = self.highest?;
        (of == source).then_some(number)
    }

    /// The timestamp that a packet of this moment would carry.
    pub(super) fn timestamp(&self, clock: u32, now: Instant) -> Option<u32> {
        let (timestamp, at) = self.newest?;
        let passed = now.saturating_duration_since(at).as_micros() * u128::from(clock) / 1_000_000;
        Some(timestamp.wrapping_add(passed as u32))
    }

    fn note(&mut self, numbers: RtpNumbers, rewritten: RewrittenNumbers, now: Instant) {
        let highest = self.highest(numbers.ssrc);
        let number = match highest {
            Some(highest) => {
                let step = ahead(numbers.sequence, highest as u16);
                highest.wrapping_add_signed(step.max(0))
            }
            None => u32::from(numbers.sequence),
        };
        self.highest = Some((numbers.ssrc, number));
        if rewritten.arrival != RtpArrival::Late {
            self.newest = Some((rewritten.timestamp, now));
        }
    }

    /// The numbers that an audio packet gets.
    pub(super) fn renumber(
        &mut self,
        numbers: RtpNumbers,
        format: PayloadFormat,
        clock: u32,
        now: Instant,
    ) -> Result<RewrittenNumbers, DropReason> {
        let rewritten = self.rewriter.rewrite(numbers, clock, now)?;
        // All packets of one telephone event carry its start time (RFC 4733 section 2.2), which is not jitter.
        let clock = Some(format.clock).filter(|_| !format.is_events);
        self.meter.passed(rewritten, clock, now);
        self.note(numbers, rewritten, now);
        Ok(rewritten)
    }

    /// A packet that does not go out, and is no loss.
    pub(super) fn leave_out(&mut self, sequence: u16) {
        self.rewriter.leave_out(sequence);
    }

    /// The numbers that a video packet with a payload of so many bytes gets, within the rate limit.
    pub(super) fn renumber_video(
        &mut self,
        numbers: RtpNumbers,
        format: PayloadFormat,
        bytes: usize,
        now: Instant,
    ) -> Result<RewrittenNumbers, DropReason> {
        if !self.bucket.admits(bytes, now) {
            return Err(DropReason::Throttled);
        }
        let rewritten = self.renumber(numbers, format, format.clock, now)?;
        // In video the marker ends a frame (RFC 7741 section 4.1, RFC 6184 section 5.1), so a new source must not set it.
        Ok(RewrittenNumbers {
            marker: numbers.marker,
            ..rewritten
        })
    }
}

/// A token bucket that holds one second's worth of video.
#[derive(Debug, Default)]
struct TokenBucket {
    /// Bits that have passed and are not yet drained.
    used: u64,
    at: Option<Instant>,
}

impl TokenBucket {
    fn admits(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = self.at.map_or(0, |at| {
            now.saturating_duration_since(at).as_micros().min(1_000_000) as u64
        });
        let drained = passed * u64::from(MAX_BITS) / 1_000_000;
        // A time too short to drain a bit must still count later.
        if drained > 0 || self.at.is_none() {
            self.at = Some(now);
            self.used = self.used.saturating_sub(drained);
        }
        let used = self.used + bytes as u64 * 8;
        let is_room = used <= u64::from(MAX_BITS);
        if is_room {
            self.used = used;
        }
        is_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;
    use std::time::Duration;

    #[test]
    fn a_second_is_there_at_once_and_then_what_time_brings() {
        let (mut bucket, start) = (TokenBucket::default(), some_time());
        let admitted = |bucket: &mut TokenBucket, now, packets: u32| {
            (0..packets).filter(|_| bucket.admits(1_250, now)).count()
        };
        assert_eq!(admitted(&mut bucket, start, 1_000), 150);
        let later = start + Duration::from_millis(100);
        assert_eq!(admitted(&mut bucket, later, 1_000), 15);
        let much_later = start + Duration::from_secs(60);
        assert_eq!(admitted(&mut bucket, much_later, 1_000), 150);
    }

    #[test]
    fn small_steps_of_time_add_up() {
        let (mut bucket, start) = (TokenBucket::default(), some_time());
        while bucket.admits(1_000, start) {}
        let micros = (1..=1_000_000u64).step_by(100);
        let admitted =
            micros.filter(|micros| bucket.admits(1_000, start + Duration::from_micros(*micros)));
        let bits = admitted.count() as u64 * 8_000;
        assert!((1_490_000..=1_510_000).contains(&bits), "{bits}");
    }
}
