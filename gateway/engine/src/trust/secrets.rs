//! The secrets that own lines share with others, to be saved: the newest two of each pair of a line and a number, since one side may
//! have missed the end of the call in which the newest was drawn.

use std::fmt;

use ringfence_book::{Day, IdentityKey, Number};

use super::contacts::PeerIdentity;
use crate::sealed::contact_secret::ContactSecret;

/// Pairs that are kept: with all of them, the tags that are looked for have 2 MB. For one more, one that is no contact goes, or else
/// the one whose last call is the longest ago. Each of them was answered by a person.
pub const MOST_PAIRS: usize = 256;

/// Secrets of a pair.
pub const SECRETS: usize = 2;

/// What a line and a number share.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecrets {
    /// The own line.
    pub line: Number,
    /// The number.
    pub number: Number,
    /// The key that it had in that call.
    pub identity: IdentityKey,
    /// At most [`SECRETS`], the newest first.
    pub secrets: Vec<ContactSecret>,
}

/// All of them, the newest last.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PairSecrets(Vec<SharedSecrets>);

impl PairSecrets {
    /// Puts a pair in as it was saved; false when there is no room.
    pub fn insert(&mut self, pair: SharedSecrets) -> bool {
        let room = self.0.len() < MOST_PAIRS && pair.secrets.len() <= SECRETS;
        if room {
            self.0.push(pair);
        }
        room
    }

    /// All pairs, in the order of their last calls.
    pub fn iter(&self) -> impl Iterator<Item = &SharedSecrets> {
        self.0.iter()
    }

    /// What a line and a number share.
    #[must_use]
    pub fn of(&self, line: Number, number: Number) -> Option<&SharedSecrets> {
        let mut pairs = self.0.iter();
        pairs.find(|pair| (pair.line, pair.number) == (line, number))
    }

    /// Takes the secret of a call that was answered; for one pair more than there is room for, the one at `gone` goes.
    pub(crate) fn add(
        &mut self,
        line: Number,
        peer: PeerIdentity,
        secret: ContactSecret,
        gone: usize,
    ) {
        let PeerIdentity { number, identity } = peer;
        let is_same = |pair: &SharedSecrets| (pair.line, pair.number) == (line, number);
        let before = self.0.iter().position(is_same);
        let before = before.map(|index| self.0.remove(index));
        let mut secrets = vec![secret];
        if let Some(before) = before.filter(|before| before.identity == identity) {
            secrets.extend(before.secrets.into_iter().take(SECRETS - 1));
        }
        if self.0.len() >= MOST_PAIRS {
            self.0.remove(gone);
        }
        self.0.push(SharedSecrets {
            line,
            number,
            identity,
            secrets,
        });
    }

    /// Hashes all forward to a day; whether anything has changed.
    pub(crate) fn forward(&mut self, day: Day) -> bool {
        let mut is_changed = false;
        for pair in &mut self.0 {
            if pair.secrets.iter().all(|secret| secret.day() >= day) {
                continue;
            }
            let secrets = pair.secrets.drain(..);
            pair.secrets = secrets
                .filter_map(|secret| secret.on(day.max(secret.day())))
                .collect();
            is_changed = true;
        }
        self.0.retain(|pair| !pair.secrets.is_empty());
        is_changed
    }
}

impl fmt::Debug for SharedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecrets(..)")
    }
}

impl fmt::Debug for PairSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairSecrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    const LINE: Number = Number::new(1);
    const TODAY: Day = Day::new(20_000);

    fn peer(number: usize, seed: u8) -> PeerIdentity {
        PeerIdentity {
            number: Number::new(u32::try_from(number).unwrap()),
            identity: IdentityKey::from(&SigningKey::from_bytes(&[seed; 32])),
        }
    }

    fn secret(seed: u8) -> ContactSecret {
        ContactSecret::new(TODAY, [seed; 32])
    }

    #[test]
    fn the_newest_two_of_one_key_are_kept() {
        let mut all = PairSecrets::default();
        let two = peer(2, 1);
        for seed in 1..4 {
            all.add(LINE, two, secret(seed), 0);
        }
        let kept = |all: &PairSecrets| all.of(LINE, two.number).unwrap().secrets.clone();
        assert_eq!(kept(&all), [secret(3), secret(2)]);
        all.add(LINE, peer(2, 9), secret(4), 0);
        assert_eq!(kept(&all), [secret(4)]);
    }

    #[test]
    fn without_room_the_pair_goes_that_the_caller_names_and_no_other() {
        let mut all = PairSecrets::default();
        for number in 0..=MOST_PAIRS {
            all.add(LINE, peer(number, 1), secret(1), 3);
        }
        assert_eq!(all.iter().count(), MOST_PAIRS);
        assert!(all.of(LINE, Number::new(3)).is_none());
        // A pair that is known takes no room from another.
        all.add(LINE, peer(0, 1), secret(2), 0);
        assert_eq!(all.iter().count(), MOST_PAIRS);
        assert!(all.of(LINE, Number::new(1)).is_some());
    }

    #[test]
    fn a_new_day_leaves_nothing_of_the_day_before() {
        let mut all = PairSecrets::default();
        all.add(LINE, peer(2, 1), secret(1), 0);
        assert!(!all.forward(TODAY));
        assert!(all.forward(TODAY.plus(1)));
        let pair = all.of(LINE, Number::new(2)).unwrap();
        assert_eq!(pair.secrets, [secret(1).on(TODAY.plus(1)).unwrap()]);
        // A clock that is put back brings nothing back.
        assert!(!all.forward(TODAY));
        assert!(all.forward(Day::LAST));
        assert_eq!(all.iter().count(), 0);
    }
}
