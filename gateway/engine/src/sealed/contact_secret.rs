//! What two contacts share since their last answered call, and the tags that come from it (PROTOCOL.md section 3).
//!
//! The secret comes from the keys of that call, which are gone with it; nothing of it ever travels. It is hashed forward each UTC day,
//! so that a thief of today's reads no tag of an earlier day.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use ringfence_book::{Day, Number};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::envelope::noise::SessionKeys;
use super::routing_tag::RoutingTag;
use crate::time::UnixTime;

/// Tags of one window and direction: the envelopes of four calls.
pub const TAGS: usize = 32;

/// Length of a window, in seconds.
const WINDOW: u64 = 600;

/// A secret that is older was not used for so long that it is given up; so a clock that is years ahead costs no years of hashes.
const OLDEST: u32 = 366;

const SECRET_DOMAIN: &[u8] = b"ringfence/2 contact secret\0";
const DAY_DOMAIN: &[u8] = b"ringfence/2 contact day\0";
const TAGS_DOMAIN: &[u8] = b"ringfence/2 contact tags\0";

/// A stretch of ten minutes, counted from 1970. None spans two UTC days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagWindow(u64);

impl TagWindow {
    /// The one at this moment.
    #[must_use]
    pub const fn at(wall: UnixTime) -> Self {
        Self(wall.seconds() / WINDOW)
    }

    /// The one before, this one, and the next.
    pub(crate) const fn around(self) -> [Self; 3] {
        [self.previous(), self, self.next()]
    }

    pub(crate) const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    pub(crate) fn day(self) -> Day {
        Day::of_unix(self.0.saturating_mul(WINDOW))
    }
}

/// The secret of one pair as it is on one day.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ContactSecret {
    #[zeroize(skip)]
    day: Day,
    key: [u8; 32],
}

impl ContactSecret {
    /// A secret as it was saved.
    #[must_use]
    pub const fn new(day: Day, key: [u8; 32]) -> Self {
        Self { day, key }
    }

    /// Of an answered call, whose ring was dated on this day.
    pub(crate) fn of_call(keys: &SessionKeys, day: Day) -> Self {
        let mut both = [keys.from_caller, keys.from_callee].concat();
        let secret = Self::new(day, keyed_hash(&both, &[SECRET_DOMAIN, &keys.transcript]));
        both.zeroize();
        secret
    }

    /// The day whose tags it gives.
    #[must_use]
    pub const fn day(&self) -> Day {
        self.day
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// The same on a later day. `None` for an earlier one, and when it is too old.
    pub(crate) fn on(&self, day: Day) -> Option<Self> {
        let days = day.count().checked_sub(self.day.count())?;
        let mut secret = self.clone();
        for _ in 0..Some(days).filter(|days| *days <= OLDEST)? {
            secret.key = keyed_hash(&secret.key, &[DAY_DOMAIN]);
        }
        secret.day = day;
        Some(secret)
    }

    /// The tags under which one of the two may send in a window.
    #[must_use]
    pub fn tags(&self, sender: Number, window: TagWindow) -> Vec<RoutingTag> {
        let Some(secret) = self.on(window.day()) else {
            return Vec::new();
        };
        let expand = Hkdf::<Sha256>::from_prk(&secret.key).expect("a key has 32 bytes");
        let mut bytes = [0; 16 * TAGS];
        let info = [
            TAGS_DOMAIN,
            &sender.value().to_be_bytes(),
            &window.0.to_be_bytes(),
        ];
        expand
            .expand_multi_info(&info, &mut bytes)
            .expect("it gives up to 8,160 bytes");
        let (tags, _) = bytes.as_chunks();
        tags.iter().copied().map(RoutingTag).collect()
    }
}

fn keyed_hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl PartialEq for ContactSecret {
    fn eq(&self, other: &Self) -> bool {
        self.day == other.day && bool::from(self.key.ct_eq(&other.key))
    }
}

impl Eq for ContactSecret {}

impl fmt::Debug for ContactSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TODAY: Day = Day::new(20_000);
    const ALICE: Number = Number::new(1);
    const BOB: Number = Number::new(2);

    fn window(day: Day, index: u64) -> TagWindow {
        TagWindow(u64::from(day.count()) * 144 + index)
    }

    #[test]
    fn tags_differ_by_secret_day_window_and_sender() {
        let mut tags = BTreeSet::new();
        for key in 0..3 {
            let secret = ContactSecret::new(TODAY, [key; 32]);
            for day in 0..3 {
                for sender in [ALICE, BOB] {
                    tags.extend(secret.tags(sender, window(TODAY.plus(day), 0)));
                    tags.extend(secret.tags(sender, window(TODAY.plus(day), 143)));
                }
            }
        }
        assert_eq!(tags.len(), 3 * 3 * 2 * 2 * TAGS);
    }

    #[test]
    fn a_later_days_secret_gives_the_same_tags_from_then_on_and_none_of_before() {
        let secret = ContactSecret::new(TODAY, [1; 32]);
        let later = secret.on(TODAY.plus(3)).unwrap();
        assert_ne!(later.as_bytes(), secret.as_bytes());
        let (before, after) = (window(TODAY.plus(2), 143), window(TODAY.plus(3), 0));
        assert_eq!(later.tags(ALICE, after), secret.tags(ALICE, after));
        assert!(later.tags(ALICE, before).is_empty());
        assert_eq!(secret.tags(ALICE, before).len(), TAGS);
    }

    #[test]
    fn a_clock_that_is_years_ahead_costs_the_secret_and_no_time() {
        let secret = ContactSecret::new(TODAY, [1; 32]);
        assert!(secret.on(TODAY.plus(OLDEST)).is_some());
        assert!(secret.on(TODAY.plus(OLDEST + 1)).is_none());
        assert!(secret.on(Day::LAST).is_none());
    }
}
