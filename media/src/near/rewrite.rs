//! New sequence numbers and timestamps for every packet that crosses (RFC 3550 sections 5.1 and 8): a receiver learns
//! nothing of the sender's own.
//!
//! The numbers keep their distances, so that losses and pauses stay what they are. When the source changes (a new SSRC,
//! numbers that start anew), the outgoing numbers go on without a jump. **No sequence number ever goes out twice**: under
//! SRTP that would encrypt two packets with one key stream (RFC 3711 section 9.1). The stream chooses the SSRC.

use std::time::{Duration, Instant};

use rand_core::Rng;

use crate::sequence::{SequencePlace, SequenceWindow, is_later};
use crate::stats::DropReason;

/// The numbers of one packet as its source wrote them.
#[derive(Clone, Copy, Debug)]
pub(super) struct RtpNumbers {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
}

/// The numbers that a packet gets, and what its arrival means for the count of losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RewrittenNumbers {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) arrival: RtpArrival,
}

/// How a packet arrived in relation to those around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RtpArrival {
    /// The first of its source.
    Fresh,
    /// The newest so far, with this many missing before it.
    Next { skipped: u16 },
    /// One that had been missing.
    Late,
}

/// The numbering of one direction.
#[derive(Debug)]
pub(super) struct RtpRewriter {
    /// The next outgoing sequence number, and the newest outgoing timestamp.
    next_sequence: u16,
    newest_timestamp: u32,
    source: Option<RtpSource>,
}

/// The source of the packets that pass now.
#[derive(Debug)]
struct RtpSource {
    ssrc: u32,
    window: SequenceWindow,
    add_to_sequence: u16,
    add_to_timestamp: u32,
    newest_arrival: Instant,
    /// The sequence number that would confirm that the source has restarted (RFC 3550 appendix A.1).
    suspected: Option<u16>,
    /// The previous SSRC, and when this one replaced it.
    before: Option<(u32, Instant)>,
}

impl RtpRewriter {
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        Self {
            // RFC 3711 section 3.3.1: a start in the lower half keeps a lost first packet from
            // hiding a wrap.
            next_sequence: (rng.next_u32() as u16) >> 1,
            newest_timestamp: rng.next_u32(),
            source: None,
        }
    }

    /// Finds a packet's numbers, `clock` being the ticks per second of its timestamps.
    ///
    /// A packet that passed already is a duplicate. A packet is late when it is too old, when its number is too far from
    /// its neighbours to be believed yet, or when its source was replaced a moment ago.
    pub(super) fn rewrite(
        &mut self,
        numbers: RtpNumbers,
        clock: u32,
        now: Instant,
    ) -> Result<RewrittenNumbers, DropReason> {
        let Some(source) = &mut self.source else {
            return Ok(self.start(numbers, self.newest_timestamp, None, now));
        };
        if numbers.ssrc != source.ssrc {
            let given_up = |(ssrc, at): (u32, Instant)| {
                ssrc == numbers.ssrc && now.saturating_duration_since(at) < LINGER
            };
            if source.before.is_some_and(given_up) {
                return Err(DropReason::Late);
            }
            return Ok(self.start_anew(numbers, clock, now));
        }
        let arrival = match source.window.place(numbers.sequence) {
            SequencePlace::Newest { skipped } => RtpArrival::Next { skipped },
            SequencePlace::Late => RtpArrival::Late,
            SequencePlace::Duplicate => return Err(DropReason::Duplicate),
            SequencePlace::Elsewhere if source.suspected == Some(numbers.sequence) => {
                return Ok(self.start_anew(numbers, clock, now));
            }
            SequencePlace::Elsewhere => {
                source.suspected = Some(numbers.sequence.wrapping_add(1));
                return Err(DropReason::Late);
            }
        };
        source.suspected = None;
        let sequence = numbers.sequence.wrapping_add(source.add_to_sequence);
        let timestamp = numbers.timestamp.wrapping_add(source.add_to_timestamp);
        if arrival != RtpArrival::Late {
            self.next_sequence = sequence.wrapping_add(1);
            source.newest_arrival = now;
            if is_later(timestamp, self.newest_timestamp) {
                self.newest_timestamp = timestamp;
            }
        }
        Ok(RewrittenNumbers {
            sequence,
            timestamp,
            marker: numbers.marker,
            arrival,
        })
    }

    /// A packet that does not go out, as the phone takes none for now: what follows is numbered as if it had not been, so that the phone
    /// counts no losses.
    pub(super) fn leave_out(&mut self, sequence: u16) {
        if let Some(source) = &mut self.source
            && let SequencePlace::Newest { .. } = source.window.place(sequence)
        {
            // All before it counts as seen, so that no number goes out twice.
            source.window = SequenceWindow::starting_with(sequence);
            source.add_to_sequence = self.next_sequence.wrapping_sub(sequence).wrapping_sub(1);
        }
    }

    /// Continues the numbering with another source, after a pause as long as the real one.
    fn start_anew(&mut self, numbers: RtpNumbers, clock: u32, now: Instant) -> RewrittenNumbers {
        let before = self
            .source
            .as_ref()
            .map(|source| (source.ssrc, source.newest_arrival));
        let pause = before.map_or(Duration::ZERO, |(_, arrival)| {
            now.saturating_duration_since(arrival)
        });
        let ticks = u128::from(clock) * pause.max(FRAME).as_millis() / 1_000;
        let timestamp = self.newest_timestamp.wrapping_add(ticks as u32);
        let given_up = before
            .map(|(ssrc, _)| (ssrc, now))
            .filter(|(ssrc, _)| *ssrc != numbers.ssrc);
        self.start(numbers, timestamp, given_up, now)
    }

    fn start(
        &mut self,
        numbers: RtpNumbers,
        timestamp: u32,
        before: Option<(u32, Instant)>,
        now: Instant,
    ) -> RewrittenNumbers {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        self.newest_timestamp = timestamp;
        self.source = Some(RtpSource {
            ssrc: numbers.ssrc,
            window: SequenceWindow::starting_with(numbers.sequence),
            add_to_sequence: sequence.wrapping_sub(numbers.sequence),
            add_to_timestamp: timestamp.wrapping_sub(numbers.timestamp),
            newest_arrival: now,
            suspected: None,
            before,
        });
        // The marker tells the receiver that its clock for this stream starts here (RFC 3551
        // section 4.1).
        RewrittenNumbers {
            sequence,
            timestamp,
            marker: true,
            arrival: RtpArrival::Fresh,
        }
    }
}

/// How long packets of the previous SSRC count as stragglers rather than as a change back.
const LINGER: Duration = Duration::from_millis(200);
/// The least time between two packets: nearly all phones send 20 ms of audio in each.
const FRAME: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::some_time;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::collections::BTreeSet;

    /// A rewriter with a clock moved by hand.
    struct Bench {
        rewriter: RtpRewriter,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                rewriter: RtpRewriter::new(&mut ChaCha20Rng::from_seed([1; 32])),
                now: some_time(),
            }
        }

        fn pass(
            &mut self,
            ssrc: u32,
            sequence: u16,
            timestamp: u32,
        ) -> Result<RewrittenNumbers, DropReason> {
            self.rewriter.rewrite(
                RtpNumbers {
                    ssrc,
                    sequence,
                    timestamp,
                    marker: false,
                },
                8_000,
                self.now,
            )
        }

        fn wait(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
        }
    }

    #[test]
    fn the_start_is_fresh_and_in_the_lower_half() {
        let starts: BTreeSet<_> = (0..50)
            .map(|seed| {
                let mut bench = Bench {
                    rewriter: RtpRewriter::new(&mut ChaCha20Rng::from_seed([seed; 32])),
                    now: some_time(),
                };
                let first = bench.pass(7, 40_000, 9).unwrap();
                assert!(first.sequence < 32_768);
                (first.sequence, first.timestamp)
            })
            .collect();
        assert_eq!(starts.len(), 50);
    }

    #[test]
    fn distances_are_kept() {
        let mut bench = Bench::new();
        let first = bench.pass(7, 65_534, u32::MAX - 100).unwrap();
        let third = bench.pass(7, 0, 219).unwrap();
        assert_eq!(third.sequence.wrapping_sub(first.sequence), 2);
        assert_eq!(third.timestamp.wrapping_sub(first.timestamp), 320);
        assert_eq!(third.arrival, RtpArrival::Next { skipped: 1 });
        let second = bench.pass(7, 65_535, 59).unwrap();
        assert_eq!(second.sequence, first.sequence + 1);
        assert_eq!(second.arrival, RtpArrival::Late);
        assert_eq!(bench.pass(7, 65_535, 59), Err(DropReason::Duplicate));
    }

    #[test]
    fn what_does_not_go_out_leaves_no_gap() {
        let mut bench = Bench::new();
        bench.rewriter.leave_out(99);
        let before = bench.pass(7, 100, 1_000).unwrap();
        for held in [101, 102, 105, 104] {
            bench.rewriter.leave_out(held);
        }
        let after = bench.pass(7, 106, 1_960).unwrap();
        assert_eq!(after.sequence, before.sequence + 1);
        assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 960);
        assert_eq!(after.arrival, RtpArrival::Next { skipped: 0 });
        let duplicate = bench.pass(7, 103, 1_480);
        assert_eq!(duplicate, Err(DropReason::Duplicate), "from the hold");
    }

    #[test]
    fn another_source_goes_on_where_the_first_stopped() {
        let mut bench = Bench::new();
        let before = bench.pass(7, 100, 1_000).unwrap();
        bench.wait(60);
        let after = bench.pass(8, 9_000, 77).unwrap();
        assert_eq!(after.sequence, before.sequence + 1);
        assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 480);
        assert!(after.marker);
        let next = bench.pass(8, 9_001, 237).unwrap();
        assert_eq!(next.sequence, before.sequence + 2);
        assert_eq!(next.timestamp.wrapping_sub(after.timestamp), 160);
        assert!(!next.marker);
    }

    #[test]
    fn stragglers_of_the_source_before_do_not_bring_it_back_but_time_does() {
        let mut bench = Bench::new();
        bench.pass(7, 100, 1_000).unwrap();
        bench.wait(20);
        bench.pass(8, 9_000, 77).unwrap();
        bench.wait(20);
        assert_eq!(bench.pass(7, 101, 1_160), Err(DropReason::Late));
        assert_eq!(
            bench.pass(8, 9_001, 237).unwrap().arrival,
            RtpArrival::Next { skipped: 0 }
        );
        bench.wait(200);
        assert_eq!(
            bench.pass(7, 112, 2_000).unwrap().arrival,
            RtpArrival::Fresh
        );
    }

    #[test]
    fn one_odd_number_is_not_believed_but_two_in_a_row_are() {
        let mut bench = Bench::new();
        let first = bench.pass(7, 100, 0).unwrap();
        assert_eq!(bench.pass(7, 20_000, 0), Err(DropReason::Late));
        assert_eq!(
            bench.pass(7, 101, 160).unwrap().sequence,
            first.sequence + 1
        );
        assert_eq!(bench.pass(7, 20_001, 0), Err(DropReason::Late));
        assert_eq!(
            bench.pass(7, 20_002, 160).unwrap().sequence,
            first.sequence + 2
        );
        assert_eq!(
            bench.pass(7, 20_003, 320).unwrap().sequence,
            first.sequence + 3
        );
    }

    #[test]
    fn a_long_pause_is_kept_even_by_a_new_source() {
        let mut bench = Bench::new();
        let before = bench.pass(7, 1, 0).unwrap();
        bench.wait(3_600_000);
        let after = bench.pass(8, 1, 0).unwrap();
        assert_eq!(
            after.timestamp.wrapping_sub(before.timestamp),
            8_000 * 3_600
        );
    }

    proptest! {
        #[test]
        fn no_number_goes_out_twice(packets in prop::collection::vec((0u32..3, prop_oneof![0u16..60, 10_000u16..10_060], 0u64..300, 0u8..8), 0..400)) {
            let mut bench = Bench::new();
            let mut gone = BTreeSet::new();
            for (ssrc, sequence, wait, held) in packets {
                bench.wait(wait);
                if held == 0 {
                    bench.rewriter.leave_out(sequence);
                } else if let Ok(out) = bench.pass(ssrc, sequence, u32::from(sequence) * 160) {
                    prop_assert!(gone.insert(out.sequence));
                }
            }
        }
    }
}
