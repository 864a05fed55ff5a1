//! The end of an epoch: what waited is published with as many other records as a delta always has ([`super::changes`]), and a root signs
//! what came of it.
//! Several processes may try; the store lets one of them, and the others take over what it published.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringfence_book::delta::{Change, Delta};
use ringfence_book::number::{Number, NumberPlan};
use ringfence_book::root::{Root, RootHash, Statement};
use sha2::{Digest, Sha256};

use super::changes::changes;
use super::{Book, opening};
use crate::book::published::Published;
use crate::book::recent_files::RecentFiles;
use crate::store::{Closing, Edition, Revision, Store, StoreError};

/// Deltas that are kept: 8 days at the default period.
pub const KEPT_DELTAS: u32 = 2_304;

/// How often the plan may grow in other processes' hands while it is read.
const MAX_GROWTHS: usize = 8;

impl Book {
    /// Whether it is time to end the epoch: there is no root yet, its period is over, or a larger plan is to be published.
    #[must_use]
    pub fn due(&self, now: u64) -> bool {
        self.published.root().is_none_or(|root| {
            let states = root.states();
            now >= states.closed.saturating_add(u64::from(self.terms.period))
                || self.terms.plan.tiles() > states.plan.tiles()
        })
    }

    /// Ends the epoch, due or not, with the network settings that are to be served. The first epoch begins a book: nothing changes
    /// in it. `now` in Unix seconds. `None`: another process ended it, and that is published now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn close_epoch(&mut self, now: u64, network: &[u8]) -> Result<Option<Root>, StoreError> {
        self.refresh()?;
        let before = self.published.root().copied();
        let epoch = before
            .map_or(0, |root| root.states().epoch)
            .saturating_add(1);
        let mut listed = BTreeSet::new();
        let grown = self.grown(&mut listed)?;
        let revisions = match before {
            Some(_) => self.revisions(&grown, now)?,
            None => Vec::new(),
        };
        let next = grown.with(revisions.iter().map(|new| (new.number, &new.record)));
        let delta = before.map(|_| delta(epoch, &revisions));
        let root = self.root_of(&next, epoch, now, delta.as_ref(), network);
        let bytes = delta.as_ref().map(Delta::encode);
        let closing = Closing {
            epoch,
            root: &root.encode(),
            network,
            revisions: &revisions,
            delta: bytes.as_deref(),
            keep_from: epoch.saturating_sub(KEPT_DELTAS - 1),
        };
        if !self.store.close(&closing)? {
            self.refresh()?;
            return Ok(None);
        }
        let network: Arc<[u8]> = network.into();
        let recent = match (self.published.recent(), &delta) {
            (Some(recent), Some(delta)) => recent.next(root, network, delta),
            _ => RecentFiles::first(root, network),
        };
        self.listed.append(&mut listed);
        for new in &revisions {
            if new.listed {
                self.listed.insert(new.number);
            } else {
                self.listed.remove(&new.number);
            }
        }
        self.published = Arc::new(next.with_recent(recent));
        Ok(Some(root))
    }

    /// Publishes what other processes have published. True if anything was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refresh(&mut self) -> Result<bool, StoreError> {
        let known = self.published.root().map_or(0, |root| root.states().epoch);
        self.take_over(known)
    }

    /// Publishes what the store has published after this epoch, whose rows are known.
    pub(super) fn take_over(&mut self, after: u32) -> Result<bool, StoreError> {
        let Some(mut edition) = self.store.edition(after)? else {
            return Ok(false);
        };
        let (mut next, mut listed) = ((*self.published).clone(), self.listed.clone());
        for _ in 0..MAX_GROWTHS {
            let root = Root::decode(&edition.root, &self.key())
                .map_err(|_| StoreError::Corrupt("root of this book"))?;
            if root.states().plan == next.plan() {
                self.published = Arc::new(checked(&next, root, &edition, &mut listed)?);
                self.listed = listed;
                return Ok(true);
            }
            next = grow(&mut *self.store, &next, root.states().plan, &mut listed)?;
            // What was loaded may be newer than the view before.
            let again = self.store.edition(after)?;
            edition = again.ok_or(StoreError::Corrupt("chain that only grows"))?;
        }
        Err(StoreError::Corrupt("plan that comes to rest"))
    }

    /// The published book, with the records of numbers that the plan has grown by.
    fn grown(&mut self, listed: &mut BTreeSet<Number>) -> Result<Published, StoreError> {
        let (old, new) = (self.published.plan(), self.terms.plan);
        if new.tiles() > old.tiles() {
            grow(&mut *self.store, &self.published, new, listed)
        } else {
            Ok((*self.published).clone())
        }
    }

    fn root_of(
        &self,
        next: &Published,
        epoch: u32,
        now: u64,
        delta: Option<&Delta>,
        network: &[u8],
    ) -> Root {
        let before = self.published.root();
        let states = Statement {
            epoch,
            // A clock that was set back makes no epoch end before it began.
            closed: before.map_or(now, |root| root.states().closed.max(now)),
            period: self.terms.period,
            plan: next.plan(),
            changes: changes(self.terms.changes, next.plan()),
            previous: before.map_or(RootHash::NONE, Root::hash),
            tiles: next.tiles_hash(),
            delta: delta.map_or([0; 32], Delta::hash),
            network: Sha256::digest(network).0,
        };
        Root::sign(&self.signing, states)
    }
}

/// The book that the store's view shows, if it is the one that the root signs.
fn checked(
    published: &Published,
    root: Root,
    edition: &Edition,
    listed: &mut BTreeSet<Number>,
) -> Result<Published, StoreError> {
    let states = root.states();
    let next = opening::take_over(published, &edition.rows, listed);
    if next.tiles_hash() != states.tiles {
        return Err(StoreError::Corrupt(
            "book: its records are not those that its root names",
        ));
    }
    if Sha256::digest(&edition.network).0 != states.network {
        return Err(StoreError::Corrupt("network settings that the root names"));
    }
    let delta = edition.deltas.last().map(|delta| Delta::decode(delta));
    let named = match delta {
        Some(delta) => delta.is_ok_and(|delta| delta.hash() == states.delta),
        None => states.delta == [0; 32],
    };
    if !named {
        return Err(StoreError::Corrupt("delta that the root names"));
    }
    Ok(next.with_recent(RecentFiles::of(root, edition)))
}

fn grow(
    store: &mut dyn Store,
    published: &Published,
    plan: NumberPlan,
    listed: &mut BTreeSet<Number>,
) -> Result<Published, StoreError> {
    let old = published.plan();
    if plan.first() != old.first() || plan.tiles() < old.tiles() {
        return Err(StoreError::Corrupt("plan that grew from the one before"));
    }
    let more: Vec<Number> = plan.numbers().skip(old.count() as usize).collect();
    opening::load(store, published.grown(plan), &more, listed)
}

fn delta(epoch: u32, revisions: &[Revision]) -> Delta {
    let changes = revisions.iter().map(|new| Change {
        number: new.number,
        record: new.record,
    });
    Delta::new(epoch, changes.collect()).expect("no more than a delta takes were chosen")
}
