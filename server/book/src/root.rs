//! A root: what the book says of itself once per epoch, signed and chained, 217 bytes of one size. Two people who were shown different
//! books hold two roots of one epoch that the same key signed: a proof that anyone can keep.
//!
//! ```text
//!   0   1  version = 2
//!   1   4  epoch, counted from 1
//!   5   8  when it was closed, Unix seconds
//!  13   4  seconds from one epoch to the next
//!  17   4  first number of the plan
//!  21   2  tiles of the plan
//!  23   2  records that a delta changes
//!  25  32  hash of the root before; zero in epoch 1
//!  57  32  hash over all tiles, see [`TilesHash`]
//!  89  32  hash of the delta that leads here from the epoch before, see [`crate::delta::Delta::hash`]; zero in epoch 1
//! 121  32  SHA-256 of the network settings, as they are served
//! 153  64  Ed25519 signature of the book over "ringfence/2 book-root\0" and the 153 bytes before
//! ```
//! All integers are big-endian. The chain is in the style of signed tree heads (RFC 6962 section 3.5), without a tree: who uses
//! the book has all of it.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::bounds::MAX_PERIOD;
use crate::keys::BookKey;
use crate::number::{NumberError, NumberPlan};
use crate::tile::Tile;

/// Bytes of a root.
pub const ROOT_BYTES: usize = 217;

const SIGNED_BYTES: usize = 153;
const VERSION: u8 = 2;
const DOMAIN: &[u8; 22] = b"ringfence/2 book-root\0";
const HASH_DOMAIN: &[u8; 27] = b"ringfence/2 book-root-hash\0";
const TILES_DOMAIN: &[u8; 23] = b"ringfence/2 book-tiles\0";

/// The name of a root: a hash of its 153 signed bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RootHash(pub [u8; 32]);

impl RootHash {
    /// What the first root says of the one before it.
    pub const NONE: Self = Self([0; 32]);
}

/// The hash over all tiles: SHA-256 of "ringfence/2 book-tiles\0", first number 4, tiles 2, and each tile's SHA-256 in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TilesHash(pub [u8; 32]);

impl TilesHash {
    /// The hash over these tiles' own hashes, in order.
    pub fn of_hashes<'a>(plan: NumberPlan, hashes: impl Iterator<Item = &'a [u8; 32]>) -> Self {
        let mut hash = Sha256::new()
            .chain_update(TILES_DOMAIN)
            .chain_update(plan.first().value().to_be_bytes())
            .chain_update(plan.tiles().to_be_bytes());
        for tile in hashes {
            hash.update(tile);
        }
        Self(hash.finalize().0)
    }

    /// The hash over these tiles.
    #[must_use]
    pub fn of_tiles(plan: NumberPlan, tiles: &[Tile]) -> Self {
        let hashes: Vec<[u8; 32]> = tiles.iter().map(Tile::hash).collect();
        Self::of_hashes(plan, hashes.iter())
    }
}

/// What a root states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Counted from 1.
    pub epoch: u32,
    /// When the epoch was closed, Unix seconds.
    pub closed: u64,
    /// Seconds until the next root is due.
    pub period: u32,
    /// The numbers of the book.
    pub plan: NumberPlan,
    /// Records that each delta changes.
    pub changes: u16,
    /// The root before.
    pub previous: RootHash,
    /// All tiles.
    pub tiles: TilesHash,
    /// The delta from the epoch before.
    pub delta: [u8; 32],
    /// SHA-256 of the network settings, byte for byte as they are served.
    pub network: [u8; 32],
}

/// A root whose signature was verified, or that this program signed: there is no other way to come by one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Root {
    states: Statement,
    signature: [u8; 64],
}

/// Why bytes are no root of this book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RootError {
    /// Not 217 bytes.
    #[error("a root has {ROOT_BYTES} bytes")]
    Length,
    /// A version of a later time.
    #[error("a root of version {0}, which this program does not know")]
    Version(u8),
    /// Epochs are counted from 1.
    #[error("no epoch has the number 0")]
    Epoch,
    /// A period outside of its bounds: engines would look all the time, or never.
    #[error("a period of {0} s, and 1 to {MAX_PERIOD} are accepted")]
    Period(u32),
    /// A plan that cannot be.
    #[error("number plan: {0}")]
    Plan(#[from] NumberError),
    /// This book did not sign it.
    #[error("the signature is not the phone book's")]
    Signature,
}

impl Root {
    /// The book's word.
    #[must_use]
    pub fn sign(book: &SigningKey, states: Statement) -> Self {
        let signature = book.sign(&signed_bytes(&states)).to_bytes();
        Self { states, signature }
    }

    /// Reads the 217 bytes and verifies that this book signed them.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn decode(bytes: &[u8], book: &BookKey) -> Result<Self, RootError> {
        let bytes: &[u8; ROOT_BYTES] = bytes.try_into().map_err(|_| RootError::Length)?;
        let mut rest = bytes.as_slice();
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return Err(RootError::Version(version));
        }
        let states = Statement {
            epoch: u32::from_be_bytes(take(&mut rest)?),
            closed: u64::from_be_bytes(take(&mut rest)?),
            period: u32::from_be_bytes(take(&mut rest)?),
            plan: NumberPlan::new(
                u32::from_be_bytes(take(&mut rest)?),
                u16::from_be_bytes(take(&mut rest)?),
            )?,
            changes: u16::from_be_bytes(take(&mut rest)?),
            previous: RootHash(take(&mut rest)?),
            tiles: TilesHash(take(&mut rest)?),
            delta: take(&mut rest)?,
            network: take(&mut rest)?,
        };
        if states.epoch == 0 {
            return Err(RootError::Epoch);
        }
        if !(1..=MAX_PERIOD).contains(&states.period) {
            return Err(RootError::Period(states.period));
        }
        let signature = take(&mut rest)?;
        if !book.signed(&[DOMAIN, head(bytes)].concat(), &signature) {
            return Err(RootError::Signature);
        }
        Ok(Self { states, signature })
    }

    /// The 217 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; ROOT_BYTES] {
        let mut bytes = [0; ROOT_BYTES];
        let fields = statement_bytes(&self.states)
            .into_iter()
            .chain(self.signature);
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// What it states.
    #[must_use]
    pub fn states(&self) -> &Statement {
        &self.states
    }

    /// Its name.
    #[must_use]
    pub fn hash(&self) -> RootHash {
        let digest = Sha256::new()
            .chain_update(HASH_DOMAIN)
            .chain_update(statement_bytes(&self.states))
            .finalize();
        RootHash(digest.0)
    }

    /// Whether this is the root after `before`: the next epoch, chained to it, of a plan that only grew.
    #[must_use]
    pub fn follows(&self, before: &Self) -> bool {
        let (now, then) = (&self.states, &before.states);
        now.epoch == then.epoch.saturating_add(1)
            && now.previous == before.hash()
            && now.plan.first() == then.plan.first()
            && now.plan.tiles() >= then.plan.tiles()
    }

    /// Whether the book said two different things about one epoch. With both roots in hand this is proof.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        self.states.epoch == other.states.epoch && self.states != other.states
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root(epoch {})", self.states.epoch)
    }
}

fn statement_bytes(states: &Statement) -> [u8; SIGNED_BYTES] {
    let fields = [VERSION]
        .into_iter()
        .chain(states.epoch.to_be_bytes())
        .chain(states.closed.to_be_bytes())
        .chain(states.period.to_be_bytes())
        .chain(states.plan.first().value().to_be_bytes())
        .chain(states.plan.tiles().to_be_bytes())
        .chain(states.changes.to_be_bytes())
        .chain(states.previous.0)
        .chain(states.tiles.0)
        .chain(states.delta)
        .chain(states.network);
    let mut bytes = [0; SIGNED_BYTES];
    for (to, from) in bytes.iter_mut().zip(fields) {
        *to = from;
    }
    bytes
}

fn signed_bytes(states: &Statement) -> Vec<u8> {
    [DOMAIN.as_slice(), &statement_bytes(states)].concat()
}

fn head(bytes: &[u8; ROOT_BYTES]) -> &[u8] {
    bytes.split_at(SIGNED_BYTES).0
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RootError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(RootError::Length)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn book() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn statement() -> Statement {
        Statement {
            epoch: 7,
            closed: 1_800_000_000,
            period: 300,
            plan: NumberPlan::new(20_000, 40).unwrap(),
            changes: 16,
            previous: RootHash([2; 32]),
            tiles: TilesHash([3; 32]),
            delta: [4; 32],
            network: [5; 32],
        }
    }

    #[test]
    fn a_root_is_read_as_it_was_written_and_no_bit_of_it_can_be_changed() {
        let (root, key) = (Root::sign(&book(), statement()), BookKey::from(&book()));
        let bytes = root.encode();
        assert_eq!(Root::decode(&bytes, &key), Ok(root));
        for bit in 0..ROOT_BYTES * 8 {
            let mut spoilt = bytes;
            spoilt[bit / 8] ^= 1 << (bit % 8);
            assert!(Root::decode(&spoilt, &key).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_root_by_which_engines_would_look_all_the_time_or_never_is_refused() {
        let read = |period| {
            let states = Statement {
                period,
                ..statement()
            };
            let key = BookKey::from(&book());
            Root::decode(&Root::sign(&book(), states).encode(), &key).map(drop)
        };
        for period in [1, MAX_PERIOD] {
            assert_eq!(read(period), Ok(()));
        }
        for period in [0, MAX_PERIOD + 1, u32::MAX] {
            assert_eq!(read(period), Err(RootError::Period(period)));
        }
    }

    #[test]
    fn another_books_root_is_refused() {
        let bytes = Root::sign(&book(), statement()).encode();
        let other = BookKey::from(&SigningKey::from_bytes(&[9; 32]));
        assert_eq!(Root::decode(&bytes, &other), Err(RootError::Signature));
    }

    #[test]
    fn a_root_follows_the_one_that_it_names() {
        let before = Root::sign(&book(), statement());
        let next = Statement {
            epoch: 8,
            previous: before.hash(),
            ..statement()
        };
        let follows = |states| Root::sign(&book(), states).follows(&before);
        assert!(follows(next));
        assert!(!follows(Statement { epoch: 9, ..next }));
        assert!(!follows(Statement {
            previous: RootHash::NONE,
            ..next
        }));
        let smaller = NumberPlan::new(20_000, 39).unwrap();
        assert!(!follows(Statement {
            plan: smaller,
            ..next
        }));
    }

    #[test]
    fn two_different_roots_of_one_epoch_contradict_each_other() {
        let root = |states| Root::sign(&book(), states);
        let ours = root(statement());
        assert!(!ours.contradicts(&root(statement())));
        assert!(ours.contradicts(&root(Statement {
            tiles: TilesHash([8; 32]),
            ..statement()
        })));
        assert!(!ours.contradicts(&root(Statement {
            epoch: 8,
            ..statement()
        })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Root::decode(&bytes, &BookKey::from(&book())).is_err());
        }
    }
}
