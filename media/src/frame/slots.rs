//! The clock of the slots, one for each frame. It is the engine's own, and takes nothing of the phone but its pace, slowly: neither a packet
//! that is late nor a phone that begins again at another moment (after a pause, a hold) moves a slot. A TURN server that measures the frames
//! sees the same clock whatever the phone does, but for another length of packets, which begins another clock (`sender`).
//!
//! Both clocks differ by up to some hundred millionths (RFC 3550 section 6.4.1 has a receiver follow them too). A loop of second order
//! follows the moment at which the phone's next packet is expected; the slots take the difference that it learns, and keep it through every
//! pause. What the loop finds at the beginning of sound is where the phone is by chance, and teaches it nothing.

use std::time::{Duration, Instant};

use super::clock_rate::{ClockRate, moved, nanos, nanos_from};

/// Of how far a packet was off, so much is corrected at once: the mean of so many packets. Sound that has begun teaches nothing before
/// there were so many.
const PULL: i64 = 256;
/// And so much in each later packet; twice PULL squared keeps the loop from swinging.
const LEARN: i64 = 2 * PULL * PULL;
/// How far a packet may be off, as a part of a slot. One that is further off is late, and says nothing of the clock.
const IN_STEP: i64 = 4;
/// Slots without a packet in step after which the phone begins again.
const PAUSE: u32 = 5;
/// Packets in step by which the first slots of a call find the phone.
const FOUND: i64 = 10;

/// When the next slot is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotClock {
    next: Instant,
    rate: ClockRate,
    /// When the phone's next packet is expected, and how many were in step since it began, up to [`PULL`].
    phone: Option<(Instant, i64)>,
    /// Until when the slots may be put where the phone is.
    settles_until: Instant,
}

impl SlotClock {
    /// Slots that are so many microseconds apart, the first at this moment. They may still be put where the phone is, once, until a
    /// time.
    pub(super) fn new(first: Instant, micros: u32, settles_until: Instant) -> Self {
        Self {
            next: first,
            rate: ClockRate::new(micros, LEARN),
            phone: None,
            settles_until,
        }
    }

    /// The next slot.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// The next slot has been served.
    pub(super) fn step(&mut self) {
        self.next += self.length();
    }

    /// Leaves out the slots that are past; returns how many.
    pub(super) fn skip(&mut self, now: Instant) -> u32 {
        let behind = now.saturating_duration_since(self.next).as_nanos();
        let slots =
            u32::try_from(behind / self.rate.span.unsigned_abs() as u128).unwrap_or(u32::MAX);
        self.next += self.length() * slots;
        slots
    }

    /// A packet of the phone has come. The first slots that find the phone are not so long before it.
    pub(super) fn note(&mut self, arrival: Instant, wait: Duration) {
        let length = self.length();
        let goes_on = |(expected, _): &(Instant, i64)| arrival < *expected + PAUSE * length;
        let (expected, count) = self.phone.filter(goes_on).unwrap_or((arrival, 0));
        let off = distance(expected, arrival, length);
        if off.abs() > self.rate.span / IN_STEP {
            return;
        }
        let count = (count + 1).min(PULL);
        let expected = moved(arrival, off / count - off) + length;
        self.phone = Some((expected, count));
        if count == PULL {
            self.rate.learn(off);
        }
        if count == FOUND && arrival < self.settles_until {
            self.settles_until = arrival;
            // The first of the phone's slots whose frame is still to leave, so that no packet waits for the one after.
            self.next = moved(expected, -nanos(length));
            while self.next + wait >= arrival + length {
                self.next -= length;
            }
        }
    }

    /// From one slot to the next.
    pub(super) fn length(&self) -> Duration {
        self.rate.length()
    }
}

/// Nanoseconds from where one clock of this pace is to where another is: half a slot at most, and less than nothing if the other is before.
fn distance(one: Instant, other: Instant, length: Duration) -> i64 {
    let length = nanos(length).max(1);
    (nanos_from(one, other) + length / 2).rem_euclid(length) - length / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;

    const SLOT: Duration = Duration::from_millis(20);
    const WAIT: Duration = Duration::from_millis(5);

    /// Milliseconds from where the slots are to where a clock is.
    fn off(clock: &SlotClock, other: Instant) -> f64 {
        distance(clock.next(), other, SLOT) as f64 / 1e6
    }

    /// Slots that stay where they are.
    fn settled(start: Instant) -> SlotClock {
        SlotClock::new(start, 20_000, start)
    }

    #[test]
    fn the_clock_learns_how_fast_the_phones_is_and_keeps_it() {
        for millionths in [-200.0, 200.0, 0.0] {
            let start = some_time();
            let mut clock = settled(start);
            let phone = |packet: u32| {
                start + Duration::from_secs_f64(f64::from(packet) * 0.02 * (1.0 + millionths / 1e6))
            };
            let mut most = 0.0_f64;
            for packet in 0..180_000 {
                // It pauses for ten seconds in each minute.
                if packet % 3_000 < 2_500 {
                    clock.note(phone(packet), WAIT);
                }
                clock.step();
                most = most.max(off(&clock, phone(packet + 1)).abs());
            }
            assert!(most < 4.5, "{millionths}: slots are off by {most} ms");
            let learnt = clock.length().as_secs_f64() / 0.02 - 1.0;
            assert!((learnt * 1e6 - millionths).abs() < 2.0, "{learnt}");
        }
    }

    #[test]
    fn neither_late_packets_nor_another_beginning_move_the_slots() {
        let start = some_time();
        let mut clock = settled(start);
        for packet in 0..6_000 {
            // Every tenth packet is late, and each twenty seconds the phone begins elsewhere, after a pause.
            let late = if packet % 10 == 0 { 8 } else { 0 };
            let elsewhere = u64::from(packet / 1_000) * 7;
            if packet % 1_000 > 200 {
                let late = Duration::from_millis(late + elsewhere);
                clock.note(start + SLOT * packet + late, WAIT);
            }
            clock.step();
            assert_eq!(clock.next(), start + SLOT * (packet + 1), "{packet}");
        }
    }

    #[test]
    fn the_first_slots_of_a_call_find_the_phone_once() {
        let start = some_time();
        for elsewhere in [3, 8, 13, 18] {
            let mut clock = SlotClock::new(start, 20_000, start + 25 * SLOT);
            let phone = |packet: u32| start + SLOT * packet + Duration::from_millis(elsewhere);
            for packet in 0..20 {
                clock.note(phone(packet), WAIT);
                clock.step();
            }
            assert_eq!(clock.next(), phone(20), "{elsewhere}");
            for packet in 100..120 {
                clock.note(phone(packet) + SLOT / 2, WAIT);
            }
            assert_eq!(off(&clock, phone(20)), 0.0, "{elsewhere}: once");
        }
    }

    #[test]
    fn slots_that_are_past_are_left_out() {
        let start = some_time();
        let mut clock = settled(start);
        assert_eq!(clock.skip(start + Duration::from_millis(19)), 0);
        assert_eq!(clock.skip(start + Duration::from_millis(110)), 5);
        assert_eq!(clock.next() - start, Duration::from_millis(100));
    }
}
