//! The downloaded phone book: number to callee keys, with no look-up on any wire.
//!
//! Tiles arrive whole, ahead of calls. A number that is not assigned is looked up, verified and rung exactly like
//! an assigned one; this engine itself does not know the difference. A record is verified when it is
//! asked for, one at a time: verifying ten thousand at every start would cost a second.
//!
//! Not done here: downloading, verifying tiles against a root (`ringfence_book::copy`), and pinning ([`crate::trust::contacts`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ringfence_book::listing::LISTING_BYTES;
use ringfence_book::{
    IdentityKey, Listing, Number, NumberPlan, ReplacedListings, RingKey, Root, Tile, VerifiedBook,
};

use super::contacts::PeerIdentity;
use crate::time::UnixTime;

/// Whom to ring: keys that the callee's identity signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalleeKeys {
    /// The number that was looked up.
    pub number: Number,
    /// The callee's identity.
    pub identity: IdentityKey,
    /// The callee's current ring key.
    pub ring_key: RingKey,
}

impl CalleeKeys {
    pub(crate) const fn peer(&self) -> PeerIdentity {
        PeerIdentity {
            number: self.number,
            identity: self.identity,
        }
    }
}

/// Why a number cannot be rung. A caller hears the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Outside the number plan: no such number can exist.
    #[error("not a number of this plan")]
    NotInPlan,
    /// The tile of this number has not been downloaded.
    #[error("this part of the phone book has not been downloaded")]
    NoTile,
    /// The record is malformed, or its own signature is false: the book published rubbish.
    #[error("the phone book's record is not genuine")]
    Listing,
}

/// All tiles of one phone book that were downloaded.
pub struct Directory {
    plan: NumberPlan,
    tiles: BTreeMap<u16, Arc<Tile>>,
    roots: Vec<Arc<Root>>,
    closed: Option<UnixTime>,
    replaced: Arc<ReplacedListings>,
}

impl Directory {
    /// An empty directory of one plan. It can hold no tile outside the plan.
    #[must_use]
    pub fn new(plan: NumberPlan) -> Self {
        Self {
            plan,
            tiles: BTreeMap::new(),
            roots: Vec::new(),
            closed: None,
            replaced: Arc::default(),
        }
    }

    /// The directory with the verified roots that led to it, the oldest first. The last one is what this engine shows to others; a
    /// newer directory need not bring those again that an earlier one brought.
    #[must_use]
    pub fn with_roots(mut self, roots: impl IntoIterator<Item: Into<Arc<Root>>>) -> Self {
        self.roots = roots.into_iter().map(Into::into).collect();
        self.closed = self.roots.last().map(|root| closed(root));
        self
    }

    pub(crate) fn take_roots(&mut self) -> Vec<Arc<Root>> {
        std::mem::take(&mut self.roots)
    }

    /// The directory of a verified copy of the book, with the roots that led to it; see [`Self::with_roots`].
    #[must_use]
    pub fn of(copy: &VerifiedBook, roots: impl IntoIterator<Item: Into<Arc<Root>>>) -> Self {
        let mut directory = Self::new(copy.root().states().plan).with_roots(roots);
        directory.closed = Some(closed(copy.root()));
        directory.replaced = Arc::clone(copy.replaced());
        for (index, tile) in (0..).zip(copy.tiles()) {
            directory.insert(index, Arc::clone(tile));
        }
        directory
    }

    /// Puts or replaces one tile; false when the plan has no such tile.
    pub fn insert(&mut self, index: u16, tile: impl Into<Arc<Tile>>) -> bool {
        let in_plan = index < self.plan.tiles();
        if in_plan {
            self.tiles.insert(index, tile.into());
        }
        in_plan
    }

    /// The plan whose numbers this directory knows.
    #[must_use]
    pub fn plan(&self) -> NumberPlan {
        self.plan
    }

    /// Whether every tile of the plan is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.tiles.len() == usize::from(self.plan.tiles())
    }

    /// The record of a number as it is, unverified.
    #[must_use]
    pub fn record(&self, number: Number) -> Option<&[u8; LISTING_BYTES]> {
        let (tile, slot) = self.plan.place(number)?;
        self.tiles.get(&tile)?.record(slot)
    }

    pub(crate) fn tile_of(&self, number: Number) -> Option<Arc<Tile>> {
        let (tile, _) = self.plan.place(number)?;
        self.tiles.get(&tile).cloned()
    }

    /// The SHA-256 of each tile, in order.
    pub(crate) fn hashes(&self) -> Vec<[u8; 32]> {
        self.tiles.values().map(|tile| tile.hash()).collect()
    }

    /// The listing of a number, verified.
    pub(crate) fn listing(&self, number: Number) -> Result<Listing, LookupError> {
        let (tile, slot) = self.plan.place(number).ok_or(LookupError::NotInPlan)?;
        let tile = self.tiles.get(&tile).ok_or(LookupError::NoTile)?;
        tile.listing(slot).map_err(|_| LookupError::Listing)
    }

    /// Listings of a number that were replaced in the last days and were current at `time`, Unix seconds; the newest first.
    pub(crate) fn replaced(&self, number: Number, time: u64) -> impl Iterator<Item = Listing> {
        self.replaced.current_at(number, time)
    }

    /// Whether the newest epoch was closed longer ago than that, or never.
    pub(crate) fn is_older_than(&self, age: Duration, now: UnixTime) -> bool {
        self.closed.is_none_or(|closed| now.since(closed) > age)
    }

    /// The keys of a number: local, and the same work for a number that is not assigned.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn look_up(&self, number: Number) -> Result<CalleeKeys, LookupError> {
        let listing = self.listing(number)?;
        Ok(CalleeKeys {
            number,
            identity: *listing.identity(),
            ring_key: *listing.ring_key(),
        })
    }
}

fn closed(root: &Root) -> UnixTime {
    UnixTime::from_seconds(root.states().closed)
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Directory({} of {} tiles)",
            self.tiles.len(),
            self.plan.tiles()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::identity::Identity;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn directory() -> (Directory, Vec<Listing>) {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut listings = [Identity::generate(&mut rng).listing(); 256];
        listings[3] = Identity::generate(&mut rng).listing();
        let plan = NumberPlan::new(20_000, 2).expect("a small plan");
        let mut directory = Directory::new(plan);
        assert!(directory.insert(0, Tile::of(&listings)));
        (directory, listings.to_vec())
    }

    #[test]
    fn a_number_is_found_with_the_keys_of_its_record() {
        let (directory, listings) = directory();
        let keys = directory.look_up(Number::new(20_003)).expect("listed");
        assert_eq!(&keys.ring_key, listings[3].ring_key());
        assert_eq!(&keys.identity, listings[3].identity());
    }

    #[test]
    fn what_cannot_be_rung_says_why() {
        let (mut directory, listings) = directory();
        let look_up = |directory: &Directory, n| directory.look_up(Number::new(n));
        assert_eq!(look_up(&directory, 19_999), Err(LookupError::NotInPlan));
        assert_eq!(look_up(&directory, 20_512), Err(LookupError::NotInPlan));
        assert_eq!(look_up(&directory, 20_256), Err(LookupError::NoTile));
        let mut spoilt: Vec<u8> = listings.iter().flat_map(Listing::encode).collect();
        spoilt[192 * 7 + 130] ^= 1;
        assert!(directory.insert(0, Tile::decode(&spoilt).expect("right length")));
        assert_eq!(look_up(&directory, 20_007), Err(LookupError::Listing));
        assert!(look_up(&directory, 20_008).is_ok());
    }

    #[test]
    fn a_tile_outside_the_plan_is_not_kept() {
        let (mut directory, listings) = directory();
        let tile: [Listing; 256] = listings.try_into().expect("256");
        assert!(!directory.insert(2, Tile::of(&tile)));
        assert!(!directory.is_complete());
        assert!(directory.insert(1, Tile::of(&tile)));
        assert!(directory.is_complete());
    }
}
