//! The book itself: who gets which number, on what proof, and what is published then. It is told the time and its randomness, and
//! keeps what must last in a [`Store`]; HTTP is not known here. Looking a number up is not known here either: that is
//! [`Published`], which no store stands behind.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::Sha256;
use thiserror::Error;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::activation::{Activation, Refusal};
use crate::admin::{AdminToken, TokenDigest};
use crate::binding::Binding;
use crate::code::ActivationCode;
use crate::day::Day;
use crate::decoy::Decoys;
use crate::keys::{BookKey, RingKey};
use crate::number::{Number, NumberPlan};
use crate::published::Published;
use crate::reception::{BINDING_DAYS, Reception};
use crate::store::{Charter, Store, StoreError};

/// How long an activation code is good.
pub const CODE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The last day that every listing states. Keys cannot be renewed over the wire yet, so none has an end; and since all say the
/// same, the field tells no assigned number from a decoy.
pub const LISTING_VALID_UNTIL: Day = Day::LAST;

/// How often another process may snatch the number just drawn before the book gives up. With any number free at all, losing
/// this often means that the store is broken.
const MAX_DRAWS: usize = 64;

/// A number and the code that activates it.
#[derive(Debug)]
pub struct Issue {
    /// The number, waiting for its code.
    pub number: Number,
    /// The code.
    pub code: ActivationCode,
}

/// Why a book does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds numbers that the plan lacks.
    #[error(
        "the database holds numbers outside the configured number plan; a plan keeps its first number and only grows"
    )]
    PlanShrunk,
}

/// Why no number is issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Every number is assigned or waiting.
    #[error("no number is free; give the number plan more tiles")]
    Full,
}

/// Why a number is not activated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ActivateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sender's fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// An open book.
pub struct Book<S> {
    store: S,
    signing: SigningKey,
    proof_secret: StaticSecret,
    admin: TokenDigest,
    published: Arc<Published>,
    last_change: u64,
    rng: ChaCha20Rng,
}

impl<S: Store> Book<S> {
    /// Opens the book that the store holds, or starts one; in that case the operator's token comes with it, once.
    /// A plan with more tiles than before gets decoys for the new numbers.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        mut store: S,
        plan: NumberPlan,
        seed: [u8; 32],
    ) -> Result<(Self, Option<AdminToken>), OpenError> {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let token = AdminToken::draw(&mut rng);
        let charter = store.charter(&Charter {
            seed: draw_key(&mut rng),
            admin: token.digest(),
        })?;
        let first_time = charter.admin == token.digest();
        fill_with_decoys(&mut store, plan, &draw_key(&mut rng))?;
        let rows = store.rows(None)?;
        let last_change = rows.iter().map(|row| row.change).max().unwrap_or(0);
        let outside = Decoys::new(&derive(&charter.seed, b"ringfence/1 book outside\0"));
        let book = Self {
            store,
            signing: SigningKey::from_bytes(&derive(&charter.seed, b"ringfence/1 book signing\0")),
            proof_secret: StaticSecret::from(*derive(
                &charter.seed,
                b"ringfence/1 book proof-key\0",
            )),
            admin: charter.admin,
            published: Arc::new(Published::new(plan, outside, &rows)),
            last_change,
            rng,
        };
        Ok((book, first_time.then_some(token)))
    }

    /// The key that signs bindings.
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

    /// The book as it stands.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// A reception desk for this book.
    pub fn reception(&mut self) -> Reception {
        Reception::new(self.signing.clone(), *draw_key(&mut self.rng))
    }

    /// Draws a free number, any with the same chance, and a code for it. `now` in Unix seconds.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(&mut self, now: u64) -> Result<Issue, IssueError> {
        let code = ActivationCode::draw(&mut self.rng);
        let expires = now.saturating_add(CODE_LIFE.as_secs());
        for _ in 0..MAX_DRAWS {
            let mut free = self.store.free(now)?;
            let plan = self.published.plan();
            free.retain(|number| plan.contains(*number));
            let number = pick(&free, &mut self.rng).ok_or(IssueError::Full)?;
            if self.store.issue(number, &code.digest(), now, expires)? {
                return Ok(Issue { number, code });
            }
        }
        Err(IssueError::Full)
    }

    /// Activates the code's number with the sender's keys. `now` in Unix seconds. Asked again with the same form, it answers the same.
    ///
    /// # Errors
    /// [`ActivateError`].
    pub fn activate(&mut self, form: &Activation, now: u64) -> Result<Binding, ActivateError> {
        if form.listing.valid_until() != LISTING_VALID_UNTIL {
            return Err(Refusal::ValidUntil.into());
        }
        if !form
            .proof
            .holds(&form.listing, &form.code, &self.key(), &self.proof_secret)
        {
            return Err(Refusal::Possession.into());
        }
        let number = self
            .store
            .redeem(&form.code, &form.listing.encode(), now)?
            .ok_or(Refusal::UnknownCode)?;
        self.refresh()?;
        let expires = Day::of_unix(now).plus(BINDING_DAYS);
        Ok(Binding::sign(
            &self.signing,
            number,
            *form.listing.identity(),
            expires,
        ))
    }

    /// Publishes what changed in the store, by this process or another. True if anything did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refresh(&mut self) -> Result<bool, StoreError> {
        let rows = self.store.rows(Some(self.last_change))?;
        let Some(last_change) = rows.iter().map(|row| row.change).max() else {
            return Ok(false);
        };
        self.published = Arc::new(self.published.with(&rows));
        self.last_change = last_change;
        Ok(true)
    }
}

impl<S> fmt::Debug for Book<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

/// Gives every number of the plan a record, before anybody is told about it.
fn fill_with_decoys(
    store: &mut impl Store,
    plan: NumberPlan,
    key: &[u8; 32],
) -> Result<(), OpenError> {
    let known: BTreeSet<Number> = store.rows(None)?.iter().map(|row| row.number).collect();
    if known.iter().any(|number| !plan.contains(*number)) {
        return Err(OpenError::PlanShrunk);
    }
    let decoys = Decoys::new(key);
    let records: Vec<_> = plan
        .numbers()
        .filter(|number| !known.contains(number))
        .map(|number| {
            (
                number,
                decoys
                    .listing(&number.to_string(), LISTING_VALID_UNTIL)
                    .encode(),
            )
        })
        .collect();
    if !records.is_empty() {
        store.fill(&records)?;
    }
    Ok(())
}

/// The bias of the remainder is below 2^-32 for any plan.
fn pick(free: &[Number], rng: &mut ChaCha20Rng) -> Option<Number> {
    let count = u64::try_from(free.len()).ok()?;
    let index = rng.next_u64().checked_rem(count)?;
    free.get(usize::try_from(index).ok()?).copied()
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
