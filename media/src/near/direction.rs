//! One direction of one stream: its numbers, its figures, and how much may pass.

use std::time::Instant;

use rand_core::Rng;

use super::agreed::Carried;
use crate::near::rewrite::{Arrival, Numbers, Rewriter, Rewritten};
use crate::sequence::ahead;
use crate::stats::{Meter, Reason};
use crate::video::MAX_BITS;

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    rewriter: Rewriter,
    pub(super) meter: Meter,
    /// What may still pass of moving pictures.
    bucket: Bucket,
    /// The source of the newest packet, and its number with how often that went round.
    highest: Option<(u32, u32)>,
    /// The timestamp of the newest packet as it went out, and when.
    newest: Option<(u32, Instant)>,
}

impl Lane {
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        Self {
            rewriter: Rewriter::new(rng),
            meter: Meter::default(),
            bucket: Bucket::default(),
            highest: None,
            newest: None,
        }
    }

    /// The highest number of this source.
    pub(super) fn highest(&self, source: u32) -> Option<u32> {
        let (of, number) = self.highest?;
        (of == source).then_some(number)
    }

    /// The timestamp that a packet of this moment would have.
    pub(super) fn timestamp(&self, clock: u32, now: Instant) -> Option<u32> {
        let (timestamp, at) = self.newest?;
        let passed = now.saturating_duration_since(at).as_micros() * u128::from(clock) / 1_000_000;
        Some(timestamp.wrapping_add(passed as u32))
    }

    fn note(&mut self, numbers: Numbers, rewritten: Rewritten, now: Instant) {
        let highest = self.highest(numbers.ssrc);
        let number = match highest {
            Some(highest) => {
                let step = ahead(numbers.sequence, highest as u16);
                highest.wrapping_add_signed(step.max(0))
            }
            None => u32::from(numbers.sequence),
        };
        self.highest = Some((numbers.ssrc, number));
        if rewritten.arrival != Arrival::Late {
            self.newest = Some((rewritten.timestamp, now));
        }
    }

    /// The numbers under which a packet of sound goes on.
    pub(super) fn renumber(
        &mut self,
        numbers: Numbers,
        format: Carried,
        clock: u32,
        now: Instant,
    ) -> Result<Rewritten, Reason> {
        let rewritten = self.rewriter.rewrite(numbers, clock, now)?;
        // All packets of one digit bear the time of its beginning (RFC 4733 section 2.2), which is no jitter.
        let clock = Some(format.clock).filter(|_| !format.is_events);
        self.meter.passed(rewritten, clock, now);
        self.note(numbers, rewritten, now);
        Ok(rewritten)
    }

    /// The same for one of moving pictures with a payload of so many bytes, if there is room for it.
    pub(super) fn renumber_video(
        &mut self,
        numbers: Numbers,
        format: Carried,
        bytes: usize,
        now: Instant,
    ) -> Result<Rewritten, Reason> {
        if !self.bucket.admits(bytes, now) {
            return Err(Reason::Throttled);
        }
        let rewritten = self.renumber(numbers, format, format.clock, now)?;
        // The marker ends a picture here (RFC 7741 section 4.1, RFC 6184 section 5.1), whatever begins anew.
        Ok(Rewritten {
            marker: numbers.marker,
            ..rewritten
        })
    }
}

/// A second's worth of moving pictures, which fills again as time passes.
#[derive(Debug, Default)]
struct Bucket {
    /// Bits that have passed and not yet drained.
    used: u64,
    at: Option<Instant>,
}

impl Bucket {
    fn admits(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = self.at.map_or(0, |at| {
            now.saturating_duration_since(at).as_micros().min(1_000_000) as u64
        });
        let drained = passed * u64::from(MAX_BITS) / 1_000_000;
        // A time too short to drain a bit is not forgotten.
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
        let (mut bucket, start) = (Bucket::default(), some_time());
        let admitted = |bucket: &mut Bucket, now, packets: u32| {
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
        let (mut bucket, start) = (Bucket::default(), some_time());
        while bucket.admits(1_000, start) {}
        let micros = (1..=1_000_000u64).step_by(100);
        let admitted =
            micros.filter(|micros| bucket.admits(1_000, start + Duration::from_micros(*micros)));
        let bits = admitted.count() as u64 * 8_000;
        assert!((1_490_000..=1_510_000).contains(&bits), "{bits}");
    }
}
