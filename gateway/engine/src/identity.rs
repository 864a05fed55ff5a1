//! The SIM card: an Ed25519 identity key and the X25519 ring keys that it signs.
//!
//! The identity key is kept for good. A ring key is renewed before its last day; the one before it opens
//! rings for [`KEEP_DAYS`] more, because other engines hold a phone book of yesterday, and is then wiped:
//! what was rung before that can no longer be read, even with everything that is on the disk.
//!
//! Not done here: encryption at rest (the shell's keystore) and asking the book for a number.

use std::fmt;

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use ringfence_phonebook::{
    BookKey, Challenge, CodeDigest, Day, IdentityKey, Listing, Possession, RingKey,
};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

/// The secret half of a line. Wiped when dropped; never cloned.
pub struct Identity {
    signing: SigningKey,
    current: OwnRingKey,
    previous: Option<OwnRingKey>,
}

/// A ring key and its day: for the current one the last day in the listing, for the previous one the last
/// day on which it still opens rings.
struct OwnRingKey {
    secret: StaticSecret,
    until: Day,
}

/// Stored identity bytes that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Wrong length, or a flag that is neither 0 nor 1.
    #[error("not a stored identity")]
    Malformed,
    /// Written by another version.
    #[error("an identity of an unknown version")]
    Version,
}

impl Identity {
    /// Draws a new identity with one ring key, good through `valid_until` (the book says which day all its
    /// listings state).
    #[must_use]
    pub fn generate(valid_until: Day, rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        let signing = SigningKey::from_bytes(&seed);
        Self {
            signing,
            current: OwnRingKey::draw(valid_until, rng),
            previous: None,
        }
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let bytes: &[u8; STORED_LEN] = bytes.try_into().map_err(|_| IdentityError::Malformed)?;
        if bytes[0] != STORED_VERSION {
            return Err(IdentityError::Version);
        }
        let mut reader = &bytes[1..];
        let signing = SigningKey::from_bytes(&*take::<32>(&mut reader)?);
        let current = OwnRingKey::read(&mut reader)?;
        let flag = take::<1>(&mut reader)?[0];
        let previous = OwnRingKey::read(&mut reader)?;
        let previous = match flag {
            0 => None,
            1 => Some(previous),
            _ => return Err(IdentityError::Malformed),
        };
        Ok(Self {
            signing,
            current,
            previous,
        })
    }

    /// Everything that must be kept, secrets included: to be encrypted before it touches a disk.
    ///
    /// version 1 | Ed25519 seed 32 | ring key 36 | previous? 1 | previous ring key 36 (zero if none);
    /// a ring key is its X25519 secret 32 and its day 4, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(STORED_LEN));
        bytes.push(STORED_VERSION);
        bytes.extend_from_slice(self.signing.as_bytes());
        self.current.write(&mut bytes);
        bytes.push(u8::from(self.previous.is_some()));
        match &self.previous {
            Some(previous) => previous.write(&mut bytes),
            None => bytes.resize(STORED_LEN, 0),
        }
        bytes
    }

    /// The public identity.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        IdentityKey::from(&self.signing)
    }

    /// The self-signed record for the phone book, with the current ring key.
    #[must_use]
    pub fn listing(&self) -> Listing {
        Listing::sign(
            &self.signing,
            RingKey::from(&self.current.secret),
            self.current.until,
        )
    }

    /// Proves to a phone book that this engine holds both keys of [`Self::listing`]. Also for a renewal.
    #[must_use]
    pub fn prove_possession(
        &self,
        code: &CodeDigest,
        book: &BookKey,
        proof_key: &RingKey,
    ) -> Possession {
        let listing = self.listing();
        Possession::prove(
            &self.signing,
            &self.current.secret,
            &listing,
            code,
            book,
            proof_key,
        )
    }

    /// Answers a challenge of the phone book.
    #[must_use]
    pub fn answer_challenge(&self, challenge: &Challenge) -> [u8; 64] {
        challenge.answer(&self.signing)
    }

    /// The day until which the current ring key is good. The shell renews some days before.
    #[must_use]
    pub fn valid_until(&self) -> Day {
        self.current.until
    }

    /// Draws a new ring key. The old one opens rings for [`KEEP_DAYS`] more; an older one is wiped.
    pub fn renew(&mut self, valid_until: Day, today: Day, rng: &mut impl CryptoRng) {
        let replaced = std::mem::replace(&mut self.current, OwnRingKey::draw(valid_until, rng));
        self.previous = Some(OwnRingKey {
            secret: replaced.secret,
            until: today.plus(KEEP_DAYS),
        });
    }

    /// Wipes the previous ring key when its time is over; true if something changed and must be stored.
    pub fn forget_old_keys(&mut self, today: Day) -> bool {
        let over = self.previous.as_ref().is_some_and(|key| today > key.until);
        if over {
            self.previous = None;
        }
        over
    }

    /// The secret that seals this line's rings.
    pub(crate) fn ring_secret(&self) -> &StaticSecret {
        &self.current.secret
    }

    /// The secrets that may open a ring today, the likelier first.
    pub(crate) fn opening_secrets(&self, today: Day) -> impl Iterator<Item = &StaticSecret> {
        let previous = self.previous.iter().filter(move |key| today <= key.until);
        std::iter::once(&self.current)
            .chain(previous)
            .map(|key| &key.secret)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl OwnRingKey {
    fn draw(until: Day, rng: &mut impl CryptoRng) -> Self {
        Self {
            secret: StaticSecret::random_from_rng(rng),
            until,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.secret.as_bytes());
        bytes.extend_from_slice(&self.until.count().to_be_bytes());
    }

    fn read(reader: &mut &[u8]) -> Result<Self, IdentityError> {
        let secret = StaticSecret::from(*take::<32>(reader)?);
        let until = Day::new(u32::from_be_bytes(*take::<4>(reader)?));
        Ok(Self { secret, until })
    }
}

/// Takes the first `N` bytes off, into memory that is wiped.
fn take<const N: usize>(reader: &mut &[u8]) -> Result<Zeroizing<[u8; N]>, IdentityError> {
    let (head, rest) = reader
        .split_first_chunk::<N>()
        .ok_or(IdentityError::Malformed)?;
    *reader = rest;
    Ok(Zeroizing::new(*head))
}

/// How long a replaced ring key still opens rings: an engine that was switched off for a weekend rings with
/// the phone book of before.
pub const KEEP_DAYS: u32 = 7;

const STORED_VERSION: u8 = 1;
const STORED_LEN: usize = 1 + 32 + 36 + 1 + 36;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([5; 32])
    }

    #[test]
    fn what_is_stored_comes_back_with_and_without_a_previous_key() {
        let mut identity = Identity::generate(Day::new(100), &mut rng());
        let stored = identity.to_bytes();
        assert_eq!(stored.len(), STORED_LEN);
        let again = Identity::from_bytes(&stored).expect("own bytes");
        assert_eq!(again.listing(), identity.listing());
        assert!(again.previous.is_none());
        identity.renew(Day::new(130), Day::new(99), &mut rng());
        let again = Identity::from_bytes(&identity.to_bytes()).expect("own bytes");
        assert_eq!(again.to_bytes(), identity.to_bytes());
        assert_eq!(again.opening_secrets(Day::new(99)).count(), 2);
    }

    #[test]
    fn a_replaced_ring_key_opens_for_seven_days_and_is_then_forgotten() {
        let mut identity = Identity::generate(Day::new(100), &mut rng());
        let old = identity.listing();
        identity.renew(Day::new(130), Day::new(99), &mut rng());
        assert_ne!(identity.listing().ring_key(), old.ring_key());
        assert_eq!(identity.listing().identity(), old.identity());
        assert_eq!(identity.opening_secrets(Day::new(106)).count(), 2);
        assert!(!identity.forget_old_keys(Day::new(106)));
        assert_eq!(identity.opening_secrets(Day::new(107)).count(), 1);
        assert!(identity.forget_old_keys(Day::new(107)));
        assert!(identity.previous.is_none());
    }

    #[test]
    fn foreign_versions_and_flags_are_refused() {
        let mut bytes = Identity::generate(Day::new(1), &mut rng()).to_bytes();
        bytes[0] = 2;
        assert_eq!(
            Identity::from_bytes(&bytes).err(),
            Some(IdentityError::Version)
        );
        bytes[0] = 1;
        bytes[1 + 32 + 36] = 2;
        assert_eq!(
            Identity::from_bytes(&bytes).err(),
            Some(IdentityError::Malformed)
        );
    }

    #[test]
    fn debug_shows_nothing() {
        let identity = Identity::generate(Day::new(1), &mut rng());
        assert_eq!(format!("{identity:?}"), "Identity(..)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Identity::from_bytes(&bytes);
        }
    }
}
