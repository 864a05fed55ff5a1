//! The safety number: 60 digits that two people compare to rule out a man in the middle. They follow from both identity
//! keys and both numbers, and come out alike on both sides.
//!
//! Half of them stand for each side: 30 digits from SHA-512, iterated so that a key with the same digits costs 5,200 times as much
//! to find. The construction is that of Signal's numeric fingerprints; the bytes are PROTOCOL.md section 10.

use std::fmt;

use ringfence_book::{IdentityKey, Number};
use sha2::{Digest, Sha512};

/// Rounds of SHA-512 for each half.
const ROUNDS: u32 = 5_200;
const DOMAIN: &[u8] = b"ringfence/2 safety number\0";
/// Digits of a group, and the number below which a group is.
const GROUP: usize = 5;
const GROUP_RANGE: u64 = 100_000;

/// One side of a pair: a number and the key it stands for.
#[derive(Clone, Copy, Debug)]
pub struct SafetyNumberParty<'a> {
    /// The number.
    pub number: Number,
    /// The key.
    pub identity: &'a IdentityKey,
}

/// Sixty decimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct SafetyNumber(String);

impl SafetyNumber {
    /// The number of two parties, in whatever order.
    #[must_use]
    pub fn of(a: SafetyNumberParty<'_>, b: SafetyNumberParty<'_>) -> Self {
        let mut halves = [half(a), half(b)];
        halves.sort_unstable();
        Self(halves.concat())
    }

    /// The digits without spaces.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

/// Twelve groups of five digits.
impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_str();
        while let Some((group, after)) = rest.split_at_checked(GROUP) {
            let gap = if after.is_empty() { "" } else { " " };
            write!(f, "{group}{gap}")?;
            rest = after;
        }
        Ok(())
    }
}

/// It says who talks with whom.
impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SafetyNumber(..)")
    }
}

/// Thirty digits for one side.
fn half(party: SafetyNumberParty<'_>) -> String {
    let key = party.identity.as_bytes();
    let first = Sha512::new()
        .chain_update(DOMAIN)
        .chain_update(key)
        .chain_update(party.number.value().to_be_bytes());
    let mut hash = first.finalize();
    for _ in 1..ROUNDS {
        hash = Sha512::new()
            .chain_update(hash)
            .chain_update(key)
            .finalize();
    }
    let (groups, _) = hash.as_slice().as_chunks::<GROUP>();
    let digits = |group: &[u8; GROUP]| {
        let value = group
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        format!("{:05}", value % GROUP_RANGE)
    };
    groups.iter().take(6).map(digits).collect()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn key(seed: u8) -> IdentityKey {
        IdentityKey::from(&SigningKey::from_bytes(&[seed; 32]))
    }

    fn of((a, key_a): (u32, u8), (b, key_b): (u32, u8)) -> SafetyNumber {
        let party = |number, identity| SafetyNumberParty {
            number: Number::new(number),
            identity,
        };
        SafetyNumber::of(party(a, &key(key_a)), party(b, &key(key_b)))
    }

    #[test]
    fn both_sides_see_sixty_equal_digits() {
        let (mine, yours) = (of((1, 1), (2, 2)), of((2, 2), (1, 1)));
        assert_eq!(mine, yours);
        assert_eq!(mine.digits().len(), 60);
        assert!(mine.digits().bytes().all(|digit| digit.is_ascii_digit()));
        let groups: Vec<String> = mine.to_string().split(' ').map(str::to_owned).collect();
        assert_eq!(groups.len(), 12);
        assert_eq!(groups.concat(), mine.digits());
    }

    #[test]
    fn another_key_or_another_number_on_either_side_shows() {
        let honest = of((1, 1), (2, 2));
        for other in [
            of((1, 3), (2, 2)),
            of((1, 1), (2, 3)),
            of((3, 1), (2, 2)),
            of((1, 1), (3, 2)),
            of((1, 2), (2, 1)),
        ] {
            assert_ne!(honest, other);
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", of((1, 1), (2, 2))), "SafetyNumber(..)");
    }
}
