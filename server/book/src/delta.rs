//! A delta: the records that changed in one epoch. Every delta of a book has the same length: besides what owners changed there are
//! decoys with fresh keys ([`crate::rotation`]) and records as they were, so that a change tells little about a number and the length
//! nothing about an epoch.
//!
//! ```text
//!   0   1  version = 2
//!   1   4  epoch that it leads to, big-endian
//!   5   2  records, big-endian
//!   7   …  for each record, by rising number: number 4, big-endian | listing 192
//! ```
//! It is not signed: the root of its epoch names its hash.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::listing::LISTING_BYTES;
use crate::number::Number;

/// Most records of a delta; a mebibyte is more than any book needs every few minutes.
pub const MAX_CHANGES: u16 = 4_096;

const VERSION: u8 = 2;
const HEAD_BYTES: usize = 7;
const CHANGE_BYTES: usize = 4 + LISTING_BYTES;
const DOMAIN: &[u8; 23] = b"ringfence/2 book-delta\0";

/// A number's new record. Not verified: [`crate::Listing::decode`] does that, when the record is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The number.
    pub number: Number,
    /// Its listing, or its decoy.
    pub record: [u8; LISTING_BYTES],
}

/// The changes of one epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct Delta {
    epoch: u32,
    changes: Vec<Change>,
}

/// Why bytes are no delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// Longer or shorter than it says, or than any delta.
    #[error("the delta is longer or shorter than it says")]
    Length,
    /// A version of a later time.
    #[error("a delta of version {0}, which this program does not know")]
    Version(u8),
    /// Numbers that do not rise.
    #[error("the numbers of the delta are not in order")]
    Order,
}

impl Delta {
    /// The delta of these changes, at most [`MAX_CHANGES`]; they are put in order, and of two for one number the later counts.
    ///
    /// # Errors
    /// [`DeltaError::Length`] when there are too many.
    pub fn new(epoch: u32, mut changes: Vec<Change>) -> Result<Self, DeltaError> {
        changes.reverse();
        changes.sort_by_key(|change| change.number);
        changes.dedup_by_key(|change| change.number);
        if changes.len() > usize::from(MAX_CHANGES) {
            return Err(DeltaError::Length);
        }
        Ok(Self { epoch, changes })
    }

    /// Bytes of a delta with so many changes.
    #[must_use]
    pub const fn length(changes: u16) -> usize {
        HEAD_BYTES + CHANGE_BYTES * changes as usize
    }

    /// Reads the first of several deltas that stand one after the other, and what comes after it.
    ///
    /// # Errors
    /// [`DeltaError`].
    pub fn decode_first(bytes: &[u8]) -> Result<(Self, &[u8]), DeltaError> {
        let head = bytes
            .first_chunk::<HEAD_BYTES>()
            .ok_or(DeltaError::Length)?;
        let [_, _, _, _, _, c0, c1] = *head;
        let length = Self::length(u16::from_be_bytes([c0, c1]));
        let (first, rest) = bytes.split_at_checked(length).ok_or(DeltaError::Length)?;
        Ok((Self::decode(first)?, rest))
    }

    /// Reads a delta.
    ///
    /// # Errors
    /// [`DeltaError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DeltaError> {
        let (head, rest) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or(DeltaError::Length)?;
        let [version, e0, e1, e2, e3, c0, c1] = *head;
        if version != VERSION {
            return Err(DeltaError::Version(version));
        }
        let count = u16::from_be_bytes([c0, c1]);
        if count > MAX_CHANGES || bytes.len() != Self::length(count) {
            return Err(DeltaError::Length);
        }
        let (records, _) = rest.as_chunks::<CHANGE_BYTES>();
        let changes: Vec<Change> = records.iter().filter_map(read_change).collect();
        if !changes.is_sorted_by(|a, b| a.number < b.number) {
            return Err(DeltaError::Order);
        }
        let epoch = u32::from_be_bytes([e0, e1, e2, e3]);
        Ok(Self { epoch, changes })
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = u16::try_from(self.changes.len()).unwrap_or(MAX_CHANGES);
        let mut bytes = Vec::with_capacity(Self::length(count));
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        for change in &self.changes {
            bytes.extend_from_slice(&change.number.value().to_be_bytes());
            bytes.extend_from_slice(&change.record);
        }
        bytes
    }

    /// SHA-256 of "ringfence/2 book-delta\0" and the bytes: what the root of its epoch says of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.encode())
            .finalize()
            .0
    }

    /// The epoch that it leads to.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The changes, by rising number.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Delta(to epoch {}, {} records)",
            self.epoch,
            self.changes.len()
        )
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Change(..)")
    }
}

fn read_change(bytes: &[u8; CHANGE_BYTES]) -> Option<Change> {
    let (number, record) = bytes.split_first_chunk::<4>()?;
    Some(Change {
        number: Number::new(u32::from_be_bytes(*number)),
        record: record.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(number: u32, filling: u8) -> Change {
        Change {
            number: Number::new(number),
            record: [filling; LISTING_BYTES],
        }
    }

    #[test]
    fn a_delta_is_read_as_it_was_written() {
        let delta = Delta::new(9, vec![change(3, 1), change(1, 2)]).unwrap();
        assert_eq!(delta.encode().len(), Delta::length(2));
        assert_eq!(Delta::decode(&delta.encode()), Ok(delta.clone()));
        let numbers: Vec<u32> = delta.changes().iter().map(|c| c.number.value()).collect();
        assert_eq!(numbers, [1, 3]);
    }

    #[test]
    fn of_two_changes_of_one_number_the_later_counts() {
        let delta = Delta::new(9, vec![change(1, 1), change(1, 2)]).unwrap();
        assert_eq!(delta.changes(), [change(1, 2)]);
    }

    #[test]
    fn what_is_not_in_order_or_of_another_length_is_refused() {
        let bytes = Delta::new(9, vec![change(1, 1), change(2, 2)])
            .unwrap()
            .encode();
        let mut swapped = bytes.clone();
        swapped[HEAD_BYTES + 3] = 2;
        assert_eq!(Delta::decode(&swapped), Err(DeltaError::Order));
        assert_eq!(Delta::decode(&bytes[1..]), Err(DeltaError::Version(0)));
        assert_eq!(
            Delta::decode(&bytes[..bytes.len() - 1]),
            Err(DeltaError::Length)
        );
        assert_eq!(Delta::decode(&[]), Err(DeltaError::Length));
        let many = (0..=u32::from(MAX_CHANGES)).map(|n| change(n, 0)).collect();
        assert_eq!(Delta::new(1, many), Err(DeltaError::Length));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_read_is_written_alike(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            if let Ok(delta) = Delta::decode(&bytes) {
                prop_assert_eq!(delta.encode(), bytes);
            }
        }
    }
}
