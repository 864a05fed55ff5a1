//! The end of an epoch: what waited is published with as many other records as a delta always has ([`super::changes`]), and a root signs
//! what came of it.
//! Several processes may try; the store lets one of them, and the others take over what it published.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringfence_book::copy::check_next;
use ringfence_book::day::Day;
use ringfence_book::delta::{Change, Delta};
use ringfence_book::number::{Number, NumberPlan};
use ringfence_book::root::{NO_DELTA, Root, RootHash, Statement};
use sha2::{Digest, Sha256};

use super::changes::changes;
use super::{Book, ResumeError, opening};
use crate::book::published::Published;
use crate::book::recent_files::RecentFiles;
use crate::store::{Closing, Edition, Revision, Store, StoreError};

/// Epochs whose deltas are kept: 8 days at the default period.
pub const KEPT_DELTAS: u32 = 11_520;

/// How often the plan may grow in other processes' hands while it is read.
const MAX_GROWTHS: usize = 8;

impl Book {
    /// Whether it is time to end an epoch: there is no root yet, or the clock shows a later epoch than the last root's.
    #[must_use]
    pub fn due(&self, now: u64) -> bool {
        let root = self.published.root();
        root.is_none_or(|root| root.states().epoch_at(now) > root.states().epoch)
    }

    /// When the next epoch may be ended, Unix seconds; `None` before the first.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.published.root().map(|root| root.states().due())
    }

    /// Ends the epoch that the clock shows, with the network settings that are to be served. The first epoch begins a book: nothing
    /// changes in it. `now` in Unix seconds. `None`: it is not time yet, or another process ended it, and that is published now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn close_epoch(&mut self, now: u64, network: &[u8]) -> Result<Option<Root>, StoreError> {
        self.refresh()?;
        if !self.due(now) {
            return Ok(None);
        }
        let before = self.published.root().copied();
        let mut listed = BTreeSet::new();
        let grown = self.grown(&mut listed)?;
        let revisions = match before {
            Some(_) => self.revisions(&grown, now)?,
            None => Vec::new(),
        };
        let next = grown.with(revisions.iter().map(|new| (new.number, &new.record)));
        let epoch = before.map_or(1, |root| root.states().epoch_at(now));
        let delta = before.map(|_| delta(epoch, &revisions));
        let root = self.root_of(&next, before.as_ref(), now, delta.as_ref(), network);
        if !self.store_root(&root, before.as_ref(), &revisions, delta.as_ref(), network)? {
            self.refresh()?;
            return Ok(None);
        }
        let network: Arc<[u8]> = network.into();
        let recent = match self.published.recent() {
            Some(recent) => recent.next(root, network, delta.as_ref()),
            None => RecentFiles::first(root, network),
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

    /// Goes on after roots that this book published and has lost since, as engines have them, the oldest first. What they published is
    /// lost: no delta leads to the root that this signs, and engines take all tiles. `now` in Unix seconds.
    ///
    /// # Errors
    /// [`ResumeError`]. After one of the store a part of the roots may be written, and the backup is to be restored anew; after any other
    /// nothing has changed.
    pub fn resume(&mut self, roots: &[Root], now: u64) -> Result<Root, ResumeError> {
        let files = self.published.recent().ok_or(ResumeError::Order)?;
        let (known, network) = (*files.root(), Arc::clone(files.network()));
        let newer = |root: &&Root| root.states().epoch > known.states().epoch;
        let lost: Vec<Root> = roots.iter().filter(newer).copied().collect();
        if lost.is_empty() {
            return Err(ResumeError::NothingLost);
        }
        let mut last = known;
        for root in &lost {
            check_next(&last, root).map_err(|_| ResumeError::Order)?;
            last = *root;
        }
        if last.states().epoch_at(now) <= last.states().epoch {
            return Err(ResumeError::Early);
        }
        let root = self.root_of(&self.published, Some(&last), now, None, &network);
        check_next(&last, &root).map_err(|_| ResumeError::Order)?;
        let mut before = known;
        for next in lost.iter().chain([&root]) {
            if !self.store_root(next, Some(&before), &[], None, &network)? {
                return Err(ResumeError::Order);
            }
            before = *next;
        }
        self.refresh()?;
        Ok(root)
    }

    fn store_root(
        &mut self,
        root: &Root,
        before: Option<&Root>,
        revisions: &[Revision],
        delta: Option<&Delta>,
        network: &[u8],
    ) -> Result<bool, StoreError> {
        let epoch = root.states().epoch;
        self.store.close(&Closing {
            epoch,
            after: before.map_or(0, |root| root.states().epoch),
            root: &root.encode(),
            network,
            revisions,
            delta: delta.map(Delta::encode).as_deref(),
            keep_from: epoch.saturating_sub(KEPT_DELTAS - 1),
        })
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
        before: Option<&Root>,
        now: u64,
        delta: Option<&Delta>,
        network: &[u8],
    ) -> Root {
        let then = before.map(Root::states);
        let boundary = match then {
            Some(then) if then.day() == Day::of_unix(now) => then.boundary,
            _ => before.map_or(RootHash::NONE, Root::hash),
        };
        let states = Statement {
            epoch: then.map_or(1, |then| then.epoch_at(now)),
            genesis: then.map_or(now, |then| then.genesis),
            closed: now,
            period: self.terms.period,
            plan: next.plan(),
            changes: changes(self.terms.changes, next.plan()),
            previous: before.map_or(RootHash::NONE, Root::hash),
            boundary,
            tiles: next.tiles_hash(),
            delta: delta.map_or(NO_DELTA, Delta::hash),
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
    let delta = edition.block.last().and_then(|step| step.delta.as_ref());
    let named = match delta.map(|delta| Delta::decode(delta)) {
        Some(delta) => delta.is_ok_and(|delta| delta.hash() == states.delta),
        None => states.delta == NO_DELTA,
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
