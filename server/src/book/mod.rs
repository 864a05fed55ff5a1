//! The book itself: who gets which number, on what proof, and what is published at the end of each epoch. It is told the time and
//! its randomness, and keeps what must last in a [`Store`]; HTTP is not known here. Looking a number up is not known here either:
//! that is [`Published`], which no store stands behind.

pub mod activation;
pub mod admin_token;
pub mod challenge_store;
mod changes;
mod decoy;
mod epoch;
mod errors;
mod issuing;
mod opening;
mod owner;
pub mod owner_forms;
pub mod published;
pub mod recent_files;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::delta::MAX_CHANGES;
use ringfence_book::keys::{BookKey, RingKey};
use ringfence_book::membership::Membership;
use ringfence_book::number::{Number, NumberPlan};
use ringfence_book::root::Root;
use ringfence_book::rotation;
use sha2::Sha256;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::book::activation::{Activation, ActivationRefusal};
use crate::book::admin_token::{AdminToken, TokenDigest};
use crate::book::challenge_store::ChallengeStore;
use crate::book::decoy::{Decoys, UnlistedKeys};
use crate::book::published::Published;
use crate::store::{Archive, BookSeed, NumberCounts, NumberState, Store, StoreError};

pub use self::epoch::KEPT_DELTAS;
pub use self::errors::{ActivateError, BookOpenError, IssueError, OwnerError, ResumeError};
pub use self::issuing::{CODE_LIFE, Issue};

/// Changes of an epoch in a small book: a day of them is less than a megabyte.
const LEAST_CHANGES: u16 = 2;

/// What a book publishes, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The numbers.
    pub plan: NumberPlan,
    /// Seconds from one epoch to the next.
    pub period: u32,
    /// Records that each epoch changes, at most [`MAX_CHANGES`].
    pub changes: u16,
}

impl Schedule {
    /// A minute, and with two minutes at most from an activation to all engines' knowing it.
    #[must_use]
    pub fn of(plan: NumberPlan) -> Self {
        Self::every(60, plan)
    }

    /// An epoch of so many seconds, and changes for it: twice as many as are due by the law of [`rotation`], so that activations seldom
    /// wait and each number is also repeated as it is; at least two, and no more than a delta takes.
    #[must_use]
    pub fn every(period: u32, plan: NumberPlan) -> Self {
        let wanted = u16::try_from(2 * rotation::due(plan.count(), period)).unwrap_or(MAX_CHANGES);
        let changes = wanted.clamp(LEAST_CHANGES, MAX_CHANGES);
        Self {
            plan,
            period,
            changes,
        }
    }
}

/// An open book.
pub struct Book {
    store: Box<dyn Store>,
    terms: Schedule,
    signing: SigningKey,
    proof_secret: StaticSecret,
    membership: Membership,
    admin: TokenDigest,
    published: Arc<Published>,
    /// The numbers whose published record is an owner's listing.
    listed: BTreeSet<Number>,
    decoys: Decoys,
    rng: ChaCha20Rng,
}

impl Book {
    /// Opens the book that the store holds, or starts one; in that case the operator's token comes with it, once.
    /// A plan with more tiles than before gets decoys for the new numbers; they are published with the next epoch.
    /// `now` in Unix seconds.
    ///
    /// # Errors
    /// [`BookOpenError`].
    pub fn open(
        mut store: Box<dyn Store>,
        terms: Schedule,
        seed: [u8; 32],
        now: u64,
    ) -> Result<(Self, Option<AdminToken>), BookOpenError> {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let token = AdminToken::draw(&mut rng);
        let seed_of_book = store.seed_of_book(&BookSeed {
            seed: draw_key(&mut rng),
            admin: token.digest(),
        })?;
        let first_time = seed_of_book.admin == token.digest();
        opening::check_span(&mut *store, terms.plan)?;
        let signing =
            SigningKey::from_bytes(&derive(&seed_of_book.seed, b"ringfence/1 book signing\0"));
        let last = last_root(&mut *store, &BookKey::from(&signing))?;
        let period = last.map_or(terms.period, |root| root.states().period);
        if period != terms.period {
            return Err(BookOpenError::Period(period));
        }
        let plan = last.map_or(terms.plan, |root| root.states().plan);
        let outside = UnlistedKeys::new(&derive(&seed_of_book.seed, b"ringfence/1 book outside\0"));
        let mut published = Published::blank(plan, outside);
        let decoys = Decoys::new(&derive(&seed_of_book.seed, b"ringfence/1 book decoys\0"));
        let mut listed = BTreeSet::new();
        opening::fill(&mut *store, terms.plan, (&decoys, now), &mut rng, |rows| {
            published = opening::take_over(&published, rows, &mut listed);
        })?;
        let mut book = Self {
            store,
            terms,
            signing,
            proof_secret: StaticSecret::from(*derive(
                &seed_of_book.seed,
                b"ringfence/1 book proof-key\0",
            )),
            membership: Membership::of(&seed_of_book.seed),
            admin: seed_of_book.admin,
            published: Arc::new(published),
            listed,
            decoys,
            rng,
        };
        book.forget_randomness();
        if let Some(last) = last {
            book.take_over(last.states().epoch.saturating_sub(1))?;
        }
        Ok((book, first_time.then_some(token)))
    }

    /// Goes on with other randomness: what was drawn until now cannot be drawn again from this memory.
    fn forget_randomness(&mut self) {
        self.rng = ChaCha20Rng::from_seed(*draw_key(&mut self.rng));
    }

    /// The key that signs roots.
    #[must_use]
    pub fn key(&self) -> BookKey {
        BookKey::from(&self.signing)
    }

    /// The key against which possession of a ring key is proved.
    #[must_use]
    pub fn proof_key(&self) -> RingKey {
        RingKey::from(&self.proof_secret)
    }

    /// What the operator's token hashes to.
    #[must_use]
    pub fn admin(&self) -> TokenDigest {
        self.admin
    }

    /// The numbers that are issued.
    #[must_use]
    pub fn plan(&self) -> NumberPlan {
        self.terms.plan
    }

    /// The book as it stands at the end of the last epoch.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// The challenges of this book.
    pub fn challenges(&mut self) -> ChallengeStore {
        ChallengeStore::new(self.key(), *draw_key(&mut self.rng))
    }

    /// What the members' token is made with.
    #[must_use]
    pub fn membership(&self) -> Membership {
        self.membership.clone()
    }

    /// A reader of roots and deltas that waits for no writer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn archive(&mut self) -> Result<Box<dyn Archive>, StoreError> {
        self.store.archive()
    }

    /// How many numbers are in which state. `now` in Unix seconds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn number_counts(&mut self, now: u64) -> Result<NumberCounts, StoreError> {
        self.store.number_counts(now)
    }

    /// The states of the numbers from this one on that are not free, ascending, at most `limit`. `now` in Unix seconds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn states(
        &mut self,
        from: Number,
        limit: u32,
        now: u64,
    ) -> Result<Vec<(Number, NumberState)>, StoreError> {
        self.store.states(from, limit, now)
    }

    /// Activates the code's number with the sender's keys; engines have them after the end of an epoch. `now` in Unix seconds. Asked again with the same form, it answers the same.
    ///
    /// # Errors
    /// [`ActivateError`].
    pub fn activate(&mut self, form: &Activation, now: u64) -> Result<Number, ActivateError> {
        if !form
            .proof
            .holds(&form.listing, &form.code, &self.key(), &self.proof_secret)
        {
            return Err(ActivationRefusal::Possession.into());
        }
        let number = self.store.redeem(&form.code, &form.listing.encode(), now)?;
        Ok(number.ok_or(ActivationRefusal::UnknownCode)?)
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

/// The last root, for its plan: what is to be published goes as far as that.
fn last_root(store: &mut dyn Store, key: &BookKey) -> Result<Option<Root>, StoreError> {
    let Some(bytes) = store.last_root()? else {
        return Ok(None);
    };
    let root = Root::decode(&bytes, key).map_err(|_| StoreError::Corrupt("root of this book"))?;
    Ok(Some(root))
}

fn draw_key(rng: &mut ChaCha20Rng) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    rng.fill_bytes(key.as_mut_slice());
    key
}

fn derive(seed: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, seed)
        .expand(purpose, key.as_mut_slice())
        .expect("HKDF-SHA256 gives up to 8 160 bytes");
    key
}
