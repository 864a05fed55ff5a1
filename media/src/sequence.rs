//! RTP's sequence numbers, which wrap: whether a packet is new, late, a duplicate, or not of this source.
//!
//! The limits on jumps are those of RFC 3550 appendix A.1, the replay window is that of
//! RFC 3711 section 3.3.2. No clock is involved: lateness is counted in packets.

/// How far a number is ahead of another, between -32,768 and 32,767, on the shorter way round.
pub(crate) fn ahead(newer: u16, older: u16) -> i32 {
    i32::from(newer.wrapping_sub(older).cast_signed())
}

/// Whether a timestamp is later than another, on the shorter way round.
pub(crate) fn is_later(newer: u32, older: u32) -> bool {
    newer.wrapping_sub(older).cast_signed() > 0
}

/// The latest number of a source, and which of those before it were seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SequenceWindow {
    newest: u16,
    /// Bit `n` stands for the number `newest - n`.
    seen: u128,
}

/// How a number relates to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequencePlace {
    /// The newest so far, after this many numbers that were not seen.
    Newest {
        /// Numbers skipped, which are lost or late.
        skipped: u16,
    },
    /// Behind the newest, and not seen before.
    Late,
    /// Seen before.
    Duplicate,
    /// Too far ahead or behind: the source has restarted, or the packet is of another source.
    Elsewhere,
}

impl SequenceWindow {
    /// A source whose first number is `first`; whatever comes before counts as seen.
    pub(crate) fn starting_with(first: u16) -> Self {
        Self {
            newest: first,
            seen: u128::MAX,
        }
    }

    /// Classifies a number and remembers it.
    pub(crate) fn place(&mut self, number: u16) -> SequencePlace {
        match ahead(number, self.newest) {
            step @ 1..=MAX_AHEAD => {
                self.seen = self.seen.checked_shl(step.unsigned_abs()).unwrap_or(0) | 1;
                let skipped = number.wrapping_sub(self.newest).wrapping_sub(1);
                self.newest = number;
                SequencePlace::Newest { skipped }
            }
            behind @ MAX_BEHIND..=0 => {
                let bit = 1u128 << behind.unsigned_abs();
                let known = self.seen & bit != 0;
                self.seen |= bit;
                if known {
                    SequencePlace::Duplicate
                } else {
                    SequencePlace::Late
                }
            }
            _ => SequencePlace::Elsewhere,
        }
    }
}

/// A minute of audio: a phone that is further ahead has restarted (MAX_DROPOUT of RFC 3550
/// appendix A.1).
const MAX_AHEAD: i32 = 3_000;
/// Length of the replay window: two and a half seconds of audio, more than any phone waits for.
const MAX_BEHIND: i32 = -127;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_go_round() {
        assert_eq!(ahead(2, 65_535), 3);
        assert_eq!(ahead(65_535, 2), -3);
        assert!(is_later(5, u32::MAX - 5));
        assert!(!is_later(u32::MAX - 5, 5));
        assert!(!is_later(7, 7));
    }

    #[test]
    fn numbers_in_order_skip_nothing() {
        let mut window = SequenceWindow::starting_with(65_534);
        for number in [65_535, 0, 1] {
            assert_eq!(window.place(number), SequencePlace::Newest { skipped: 0 });
        }
        assert_eq!(window.place(5), SequencePlace::Newest { skipped: 3 });
    }

    #[test]
    fn late_numbers_are_taken_once() {
        let mut window = SequenceWindow::starting_with(10);
        window.place(13);
        assert_eq!(window.place(12), SequencePlace::Late);
        assert_eq!(window.place(12), SequencePlace::Duplicate);
        assert_eq!(window.place(13), SequencePlace::Duplicate);
        assert_eq!(window.place(10), SequencePlace::Duplicate);
        assert_eq!(window.place(11), SequencePlace::Late);
    }

    #[test]
    fn the_memory_ends_where_it_says() {
        let mut window = SequenceWindow::starting_with(1_000);
        assert_eq!(window.place(1_128), SequencePlace::Newest { skipped: 127 });
        assert_eq!(window.place(1_128 - 127), SequencePlace::Late);
        assert_eq!(window.place(1_128 - 128), SequencePlace::Elsewhere);
        assert_eq!(window.place(1_128 + 3_001), SequencePlace::Elsewhere);
        assert_eq!(
            window.place(1_128 + 3_000),
            SequencePlace::Newest { skipped: 2_999 }
        );
        assert_eq!(window.place(1_128 + 3_000 - 127), SequencePlace::Late);
    }

    #[test]
    fn what_comes_before_the_first_number_is_not_taken() {
        let mut window = SequenceWindow::starting_with(1_000);
        assert_eq!(window.place(999), SequencePlace::Duplicate);
        assert_eq!(window.place(873), SequencePlace::Duplicate);
    }

    proptest! {
        #[test]
        fn no_number_is_taken_twice(start: u16, steps in prop::collection::vec(-150i16..150, 0..400)) {
            let mut window = SequenceWindow::starting_with(start);
            let mut taken = BTreeSet::from([0i64]);
            let mut newest = 0i64;
            for step in steps {
                let position = newest + i64::from(step);
                let number = start.wrapping_add(position as u16);
                match window.place(number) {
                    SequencePlace::Newest { skipped } => {
                        prop_assert_eq!(i64::from(skipped), position - newest - 1);
                        newest = position;
                        prop_assert!(taken.insert(position));
                    }
                    SequencePlace::Late => prop_assert!(taken.insert(position)),
                    SequencePlace::Duplicate => prop_assert!(position < 0 || taken.contains(&position)),
                    SequencePlace::Elsewhere => prop_assert!(position < newest - 127),
                }
            }
        }
    }
}
