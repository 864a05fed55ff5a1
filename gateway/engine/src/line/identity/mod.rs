//! The SIM card: an Ed25519 identity key and the X25519 ring keys that it signs.
//!
//! The identity key is kept for good. A ring key is renewed at times; the ones before it open
//! rings for [`KEEP_DAYS`] more, because other engines hold a phone book of yesterday, and are then wiped:
//! what was rung before that can no longer be read, even with everything that is on the disk.
//!
//! Not done here: encryption at rest (the shell's keystore), asking the book for a number, and when a ring
//! key is renewed (`ringfence_book::rotation`).

mod stored;

use std::fmt;

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use ringfence_book::challenge::sign_deactivation;
use ringfence_book::listing::first_serial;
use ringfence_book::{
    BookKey, Challenge, CodeDigest, Day, IdentityKey, Listing, Number, Possession, RingKey,
};
use sha2::{Digest, Sha256};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

pub use stored::IdentityError;

/// The secret half of a line. Wiped when dropped; never cloned.
pub struct Identity {
    signing: SigningKey,
    current: OwnRingKey,
    /// The newest first, at most [`MAX_PREVIOUS`].
    previous: Vec<RetiredKey>,
    /// Drawn and kept, and perhaps already known to the phone book: its answer has not come.
    next: Option<OwnRingKey>,
}

/// A ring key and the serial of its listing.
struct OwnRingKey {
    secret: StaticSecret,
    serial: u32,
}

/// A ring key that was replaced, and the last day on which it still opens rings.
struct RetiredKey {
    secret: StaticSecret,
    until: Day,
}

impl Identity {
    /// Draws a new identity with one ring key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        let signing = SigningKey::from_bytes(&seed);
        Self {
            signing,
            current: OwnRingKey {
                secret: StaticSecret::random_from_rng(rng),
                serial: first_serial(rng),
            },
            previous: Vec::new(),
            next: None,
        }
    }

    /// The public identity.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        IdentityKey::from(&self.signing)
    }

    /// The self-signed record for the phone book, with the current ring key.
    #[must_use]
    pub fn listing(&self) -> Listing {
        self.current.listing(&self.signing)
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

    /// The listing with the next ring key, and the proof to a phone book that this engine holds both keys of it, in answer to a
    /// challenge; `None` when no next one waits.
    #[must_use]
    pub fn prove_rotation(
        &self,
        number: Number,
        challenge: &Challenge,
        proof_key: &RingKey,
    ) -> Option<(Listing, Possession)> {
        let next = self.next.as_ref()?;
        let listing = next.listing(&self.signing);
        let proof = Possession::prove_rotation(
            &self.signing,
            &next.secret,
            number,
            &listing,
            challenge,
            proof_key,
        );
        Some((listing, proof))
    }

    /// The owner's signature that the number is given up, in answer to a challenge.
    #[must_use]
    pub fn sign_deactivation(&self, number: Number, challenge: &Challenge) -> [u8; 64] {
        sign_deactivation(&self.signing, number, challenge)
    }

    /// Answers a challenge of the phone book.
    #[must_use]
    pub fn answer_challenge(&self, challenge: &Challenge) -> [u8; 64] {
        challenge.answer(&self.signing)
    }

    /// Whether this is the current ring key, one before it that still opens rings, or the next.
    #[must_use]
    pub fn has_ring_key(&self, key: &RingKey) -> bool {
        let previous = self.previous.iter().map(|own| &own.secret);
        let own = [&self.current].into_iter().chain(&self.next);
        let mut own = own.map(|own| &own.secret).chain(previous);
        own.any(|own| RingKey::from(own) == *key)
    }

    /// Draws the next ring key, unless one waits already. It opens rings from now on, because the phone book may publish it before its
    /// answer comes; to be stored before the book is asked. Its serial is one more than that of the current one, or than that of
    /// `listed`, the number's listing in the book: with the keys of a backup, the book's is the later one.
    pub fn prepare(&mut self, listed: Option<&Listing>, rng: &mut impl CryptoRng) {
        let next = self.next.get_or_insert_with(|| OwnRingKey {
            secret: StaticSecret::random_from_rng(rng),
            serial: self.current.serial.saturating_add(1),
        });
        let own = (
            IdentityKey::from(&self.signing),
            RingKey::from(&next.secret),
        );
        let is_ours = |listed: &&Listing| (*listed.identity(), *listed.ring_key()) == own;
        let other = listed.filter(|listed| *listed.identity() == own.0 && !is_ours(listed));
        if let Some(other) = other {
            next.serial = next.serial.max(other.serial().saturating_add(1));
        }
    }

    /// Whether a next ring key waits for the phone book's answer.
    #[must_use]
    pub fn is_preparing(&self) -> bool {
        self.next.is_some()
    }

    /// The phone book has taken the next ring key: it is the current one, and the one before opens rings for [`KEEP_DAYS`] more, unless
    /// `MAX_PREVIOUS` more are replaced within that time. False when there is no next one.
    pub fn promote(&mut self, today: Day) -> bool {
        let Some(next) = self.next.take() else {
            return false;
        };
        let replaced = std::mem::replace(&mut self.current, next);
        self.previous.truncate(MAX_PREVIOUS - 1);
        let until = today.plus(KEEP_DAYS);
        self.previous.insert(
            0,
            RetiredKey {
                secret: replaced.secret,
                until,
            },
        );
        true
    }

    /// Draws a new ring key and goes on with it at once.
    pub fn renew(&mut self, today: Day, rng: &mut impl CryptoRng) {
        self.prepare(None, rng);
        self.promote(today);
    }

    /// Wipes previous ring keys whose time is over; true if something changed and must be stored.
    pub fn forget_old_keys(&mut self, today: Day) -> bool {
        let before = self.previous.len();
        self.previous.retain(|key| today <= key.until);
        self.previous.len() < before
    }

    /// A bucket of 16 bits for a free place of the presence rounds: the same for the life of the identity, and
    /// known to this engine alone.
    pub(crate) fn cover_bucket(&self, place: usize) -> u16 {
        let digest = Sha256::new()
            .chain_update(COVER_DOMAIN)
            .chain_update(self.signing.as_bytes())
            .chain_update([u8::try_from(place).unwrap_or(u8::MAX)])
            .finalize();
        u16::from_be_bytes([digest[0], digest[1]])
    }

    /// The secret that seals this line's rings.
    pub(crate) fn ring_secret(&self) -> &StaticSecret {
        &self.current.secret
    }

    /// The secrets that may open a ring today, the likelier first.
    pub(crate) fn opening_secrets(&self, today: Day) -> impl Iterator<Item = &StaticSecret> {
        let previous = self.previous.iter().filter(move |key| today <= key.until);
        std::iter::once(&self.current.secret)
            .chain(previous.map(|key| &key.secret))
            .chain(self.next.as_ref().map(|key| &key.secret))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl OwnRingKey {
    fn listing(&self, identity: &SigningKey) -> Listing {
        Listing::sign(identity, RingKey::from(&self.secret), self.serial)
    }
}

/// How long a replaced ring key still opens rings: an engine that was switched off for a weekend rings with
/// the phone book of before.
pub const KEEP_DAYS: u32 = 7;

/// ReplacedListings ring keys that are kept. Renewals have no memory: more than so many in [`KEEP_DAYS`] come once in some thousand years.
const MAX_PREVIOUS: usize = 4;

const COVER_DOMAIN: &[u8] = b"ringfence/2 cover bucket\0";

#[cfg(test)]
mod tests {
    use super::stored::{STORED_LEN, STORED_VERSION};
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([5; 32])
    }

    #[test]
    fn what_is_stored_comes_back_with_and_without_a_previous_key() {
        let mut identity = Identity::generate(&mut rng());
        let stored = identity.to_bytes();
        assert_eq!(stored.len(), STORED_LEN);
        let again = Identity::from_bytes(&stored).expect("own bytes");
        assert_eq!(again.listing(), identity.listing());
        assert!(again.previous.is_empty());
        identity.renew(Day::new(99), &mut rng());
        let again = Identity::from_bytes(&identity.to_bytes()).expect("own bytes");
        assert_eq!(again.to_bytes(), identity.to_bytes());
        assert_eq!(again.opening_secrets(Day::new(99)).count(), 2);
    }

    #[test]
    fn a_replaced_ring_key_opens_for_seven_days_and_is_then_forgotten() {
        let mut identity = Identity::generate(&mut rng());
        let old = identity.listing();
        identity.renew(Day::new(99), &mut rng());
        assert_ne!(identity.listing().ring_key(), old.ring_key());
        assert_eq!(identity.listing().identity(), old.identity());
        assert_eq!(identity.opening_secrets(Day::new(106)).count(), 2);
        assert!(!identity.forget_old_keys(Day::new(106)));
        assert_eq!(identity.opening_secrets(Day::new(107)).count(), 1);
        assert!(identity.forget_old_keys(Day::new(107)));
        assert!(identity.previous.is_empty());
    }

    #[test]
    fn several_replaced_ring_keys_open_rings_each_for_its_own_seven_days() {
        let mut rng = rng();
        let mut identity = Identity::generate(&mut rng);
        let mut replaced = Vec::new();
        for day in 10..16 {
            replaced.push(*identity.listing().ring_key());
            identity.renew(Day::new(day), &mut rng);
        }
        let mut identity = Identity::from_bytes(&identity.to_bytes()).expect("own bytes");
        let open = |identity: &Identity| {
            let known = replaced.iter().map(|key| identity.has_ring_key(key));
            known.collect::<Vec<bool>>()
        };
        assert_eq!(open(&identity), [false, false, true, true, true, true]);
        assert_eq!(identity.opening_secrets(Day::new(20)).count(), 4);
        assert!(identity.forget_old_keys(Day::new(21)));
        assert_eq!(open(&identity), [false, false, false, false, true, true]);
    }

    #[test]
    fn each_renewal_has_the_next_serial_and_one_after_a_backup_the_one_after_the_books() {
        let (today, mut rng) = (Day::new(50), rng());
        let mut identity = Identity::generate(&mut rng);
        let backup = identity.to_bytes();
        let serial = identity.listing().serial();
        for renewal in 1..4 {
            identity.renew(today, &mut rng);
            assert_eq!(identity.listing().serial(), serial + renewal);
        }
        let listed = identity.listing();
        let mut restored = Identity::from_bytes(&backup).expect("own bytes");
        let stranger = Identity::generate(&mut rng).listing();
        restored.prepare(Some(&stranger), &mut rng);
        restored.prepare(Some(&listed), &mut rng);
        assert!(restored.promote(today));
        assert_eq!(restored.listing().serial(), listed.serial() + 1);
    }

    #[test]
    fn a_next_key_that_the_book_lists_already_keeps_its_serial() {
        let (today, mut rng) = (Day::new(50), rng());
        let mut identity = Identity::generate(&mut rng);
        identity.prepare(None, &mut rng);
        let mut answered = Identity::from_bytes(&identity.to_bytes()).expect("own bytes");
        answered.promote(today);
        identity.prepare(Some(&answered.listing()), &mut rng);
        identity.promote(today);
        assert_eq!(identity.listing(), answered.listing());
    }

    #[test]
    fn the_next_key_is_kept_and_opens_rings_before_the_book_has_answered() {
        let (today, mut rng) = (Day::new(50), rng());
        let mut identity = Identity::generate(&mut rng);
        assert!(!identity.promote(today), "there is none");
        let first = identity.listing();
        identity.prepare(None, &mut rng);
        let stored = identity.to_bytes();
        identity.prepare(None, &mut rng);
        assert_eq!(identity.to_bytes(), stored, "one waits already");
        let mut identity = Identity::from_bytes(&stored).expect("own bytes");
        assert_eq!(identity.opening_secrets(today).count(), 2);
        assert_eq!(identity.listing(), first);
        assert!(identity.promote(today));
        assert_ne!(identity.listing().ring_key(), first.ring_key());
        assert!(identity.has_ring_key(first.ring_key()));
        assert_eq!(identity.opening_secrets(today.plus(7)).count(), 2);
        assert!(identity.forget_old_keys(today.plus(8)));
        assert!(!identity.has_ring_key(first.ring_key()));
    }

    #[test]
    fn foreign_versions_and_flags_are_refused() {
        let mut bytes = Identity::generate(&mut rng()).to_bytes();
        bytes[0] = 3;
        assert_eq!(
            Identity::from_bytes(&bytes).err(),
            Some(IdentityError::Version)
        );
        bytes[0] = STORED_VERSION;
        bytes[1 + 32 + 36] = 2;
        assert_eq!(
            Identity::from_bytes(&bytes).err(),
            Some(IdentityError::Malformed)
        );
    }

    #[test]
    fn debug_shows_nothing() {
        let identity = Identity::generate(&mut rng());
        assert_eq!(format!("{identity:?}"), "Identity(..)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Identity::from_bytes(&bytes);
        }
    }
}
