//! Whether the phone book lists this engine's own numbers with this engine's own keys. All engines see the same book, so a false
//! record of an own number is the one that all its callers use; only its owner can tell that it is false.
//!
//! A record that the line's own identity key signed, with a ring key that this engine never had, is no fault of the book: another
//! machine holds the line's keys (a copied state folder, a backup restored elsewhere, a thief). While two machines hold the same ring
//! key, neither can tell: the book and the relays look the same to both.
//!
//! Not done here: the evidence (the shell keeps it) and asking the book to publish a record.

use std::collections::VecDeque;
use std::sync::Arc;

use ringfence_book::listing::LISTING_BYTES;
use ringfence_book::{Listing, Number, RingKey, Root, Tile};

use crate::line::identity::Identity;
use crate::trust::directory::Directory;

/// Seconds of the book's time that the record of a new line may take until it is published. One that was published before has no
/// such time.
const GRACE: u64 = 3_600;

/// Own ring keys that are remembered after they were listed, newest last. A ring key lives for weeks, so these outlast most runs.
const REMEMBERED: usize = 64;

/// The book says something else about a line than its owner did.
#[derive(Clone, PartialEq, Eq)]
pub struct FalseRecord {
    /// The line's number.
    pub number: Number,
    /// The tile that has the number's record.
    pub tile: Arc<Tile>,
    /// The SHA-256 of every tile, in order: the root names a hash over them, so that the evidence is of this book.
    pub hashes: Vec<[u8; 32]>,
    /// The root that covers it.
    pub root: Root,
}

impl std::fmt::Debug for FalseRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FalseRecord({:?})", self.root)
    }
}

/// What is known of one line's record.
#[derive(Debug, Default)]
pub(crate) struct OwnRecordWatch {
    seen: bool,
    told: bool,
    /// When the first epoch was closed in which the record was another.
    since: Option<u64>,
    /// Ring keys of this engine that the book listed during this run: if one of them comes back after it was destroyed, the book
    /// lists an old record.
    listed: VecDeque<RingKey>,
    is_elsewhere: bool,
}

impl OwnRecordWatch {
    /// Looks the line's own record up in a book of this root. An alarm is raised once, and again after the record was right.
    pub(crate) fn look(
        &mut self,
        (number, identity): (Number, &Identity),
        directory: &Directory,
        root: &Root,
    ) -> Option<FalseRecord> {
        let record = directory.record(number)?;
        let signed = signed_ring_key(identity, record);
        if let Some(own) = signed.filter(|key| identity.has_ring_key(key)) {
            (self.seen, self.told, self.is_elsewhere) = (true, false, false);
            self.remember(own);
            return None;
        }
        let closed = root.states().closed;
        let since = *self.since.get_or_insert(closed);
        if !self.seen && closed.saturating_sub(since) <= GRACE {
            return None;
        }
        self.is_elsewhere = signed.is_some_and(|key| !self.listed.contains(&key));
        if self.is_elsewhere || self.told {
            return None;
        }
        self.told = true;
        Some(FalseRecord {
            number,
            tile: directory.tile_of(number)?,
            hashes: directory.hashes(),
            root: *root,
        })
    }

    /// Whether another machine holds the keys of the line and has renewed its ring key.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    fn remember(&mut self, own: RingKey) {
        if self.listed.back() == Some(&own) {
            return;
        }
        if self.listed.len() >= REMEMBERED {
            self.listed.pop_front();
        }
        self.listed.push_back(own);
    }
}

/// The ring key of a record that the line's identity key signed. No reader of the book needs to know which of the line's keys it is.
fn signed_ring_key(identity: &Identity, record: &[u8; LISTING_BYTES]) -> Option<RingKey> {
    let listing = Listing::decode(record).ok()?;
    (*listing.identity() == identity.key()).then(|| *listing.ring_key())
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use ringfence_book::root::{RootHash, Statement, TilesHash};
    use ringfence_book::{Day, NumberPlan};

    use super::*;

    const NUMBER: Number = Number::new(20_000);

    struct Scene {
        rng: ChaCha20Rng,
        identity: Identity,
        watch: OwnRecordWatch,
        epoch: u32,
    }

    impl Scene {
        fn new() -> Self {
            let mut rng = ChaCha20Rng::from_seed([1; 32]);
            let identity = Identity::generate(&mut rng);
            Self {
                rng,
                identity,
                watch: OwnRecordWatch::default(),
                epoch: 0,
            }
        }

        /// An epoch in which the book lists these keys.
        fn epoch(&mut self, listing: Listing) -> bool {
            self.epoch += 1;
            let plan = NumberPlan::new(NUMBER.value(), 1).unwrap();
            let states = Statement {
                epoch: self.epoch,
                genesis: 0,
                closed: 60 * u64::from(self.epoch - 1),
                period: 60,
                plan,
                changes: 16,
                previous: RootHash::NONE,
                boundary: RootHash::NONE,
                tiles: TilesHash([0; 32]),
                delta: [0; 32],
                network: [0; 32],
            };
            let root = Root::sign(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]), states);
            let mut directory = Directory::new(plan);
            directory.insert(0, Tile::of(&[listing; 256]));
            let own = (NUMBER, &self.identity);
            self.watch.look(own, &directory, &root).is_some()
        }

        fn decoy(&mut self) -> Listing {
            Identity::generate(&mut self.rng).listing()
        }
    }

    #[test]
    fn a_record_that_was_right_may_not_become_another() {
        let mut scene = Scene::new();
        let (own, foreign) = (scene.identity.listing(), scene.decoy());
        assert!(!scene.epoch(own));
        assert!(scene.epoch(foreign));
        assert!(!scene.epoch(foreign), "told once");
        assert!(!scene.epoch(own));
        assert!(scene.epoch(foreign), "and again");
    }

    #[test]
    fn a_new_line_has_an_hour_to_appear() {
        let mut scene = Scene::new();
        let decoy = scene.decoy();
        for _ in 0..=GRACE / 60 {
            assert!(!scene.epoch(decoy));
        }
        assert!(scene.epoch(decoy));
    }

    #[test]
    fn a_rotated_ring_key_may_be_published_late_but_no_key_of_long_ago() {
        let mut scene = Scene::new();
        let first = scene.identity.listing();
        assert!(!scene.epoch(first));
        let (today, mut rng) = (Day::new(1), scene.rng.clone());
        scene.identity.renew(today, &mut rng);
        assert!(!scene.epoch(first));
        assert!(!scene.epoch(scene.identity.listing()));
        assert!(scene.identity.forget_old_keys(today.plus(8)));
        assert!(scene.epoch(first));
    }

    #[test]
    fn a_ring_key_that_the_own_identity_signed_elsewhere_accuses_no_phone_book() {
        let mut scene = Scene::new();
        let mut copy = Identity::from_bytes(&scene.identity.to_bytes()).unwrap();
        let own = scene.identity.listing();
        assert!(!scene.epoch(own) && !scene.watch.is_elsewhere());
        copy.renew(Day::new(1), &mut scene.rng.clone());
        assert!(!scene.epoch(copy.listing()), "no evidence against the book");
        assert!(scene.watch.is_elsewhere());
        let foreign = scene.decoy();
        assert!(scene.epoch(foreign), "another identity is the book's doing");
        assert!(!scene.watch.is_elsewhere());
        assert!(!scene.epoch(copy.listing()) && scene.watch.is_elsewhere());
        assert!(!scene.epoch(own) && !scene.watch.is_elsewhere());
    }
}
