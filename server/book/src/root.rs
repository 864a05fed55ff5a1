//! A root: what the book says of itself once per epoch, signed and chained, 257 bytes of one size. An epoch's number is the time of
//! its closing, counted in periods since the book began: two people who were shown different books hold roots that can be compared.
//!
//! ```text
//!   0   1  version = 2
//!   1   4  epoch: (closed - genesis) / period + 1; numbers may be skipped
//!   5   8  genesis: when epoch 1 was closed, Unix seconds; the same in all roots of a book
//!  13   8  when this one was closed, Unix seconds
//!  21   4  seconds from one epoch to the next; the same in all roots of a book
//!  25   4  first number of the plan
//!  29   2  tiles of the plan
//!  31   2  records that a delta changes
//!  33  32  hash of the root before, whatever its number; zero in epoch 1
//!  65  32  boundary: hash of the newest root that was closed before this one's day (UTC); zero if there is none
//!  97  32  hash over all tiles, see [`TilesHash`]
//! 129  32  hash of the delta that leads here from the root before, see [`crate::delta::Delta::hash`]; zero: none does, take the tiles
//! 161  32  SHA-256 of the network settings, as they are served
//! 193  64  Ed25519 signature of the book over "ringfence/2 book-root\0" and the 193 bytes before
//! ```
//! All integers are big-endian. The chain is in the style of signed tree heads (RFC 6962 section 3.5), without a tree: who uses
//! the book has all of it.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::bounds::MAX_PERIOD;
use crate::day::Day;
use crate::keys::BookKey;
use crate::number::{NumberError, NumberPlan};
use crate::tile::Tile;

/// Bytes of a root.
pub const ROOT_BYTES: usize = 257;

/// What a root says of a delta where none leads to it: in epoch 1, and where a book goes on after a loss.
pub const NO_DELTA: [u8; 32] = [0; 32];

const SIGNED_BYTES: usize = 193;
const VERSION: u8 = 2;
const DOMAIN: &[u8; 22] = b"ringfence/2 book-root\0";
const HASH_DOMAIN: &[u8; 27] = b"ringfence/2 book-root-hash\0";
const TILES_DOMAIN: &[u8; 23] = b"ringfence/2 book-tiles\0";

/// The name of a root: a hash of its 193 signed bytes.
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
    /// Counted from 1, by the clock: see [`Self::epoch_at`].
    pub epoch: u32,
    /// When epoch 1 was closed, Unix seconds.
    pub genesis: u64,
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
    /// The newest root that was closed before the day of this one.
    pub boundary: RootHash,
    /// All tiles.
    pub tiles: TilesHash,
    /// The delta from the root before, or [`NO_DELTA`].
    pub delta: [u8; 32],
    /// SHA-256 of the network settings, byte for byte as they are served.
    pub network: [u8; 32],
}

impl Statement {
    /// The number of an epoch that is closed at this time, Unix seconds; 0 before the book began.
    #[must_use]
    pub fn epoch_at(&self, time: u64) -> u32 {
        let periods = time
            .checked_sub(self.genesis)
            .map(|since| since / u64::from(self.period.max(1)) + 1);
        periods.map_or(0, |epoch| u32::try_from(epoch).unwrap_or(u32::MAX))
    }

    /// When the next epoch may be closed, Unix seconds.
    #[must_use]
    pub fn due(&self) -> u64 {
        let passed = u64::from(self.period).saturating_mul(u64::from(self.epoch));
        self.genesis.saturating_add(passed)
    }

    fn counts_like(&self, other: &Self) -> bool {
        (self.genesis, self.period) == (other.genesis, other.period)
    }

    /// The day (UTC) on which the epoch was closed.
    #[must_use]
    pub fn day(&self) -> Day {
        Day::of_unix(self.closed)
    }
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
    /// Not 257 bytes.
    #[error("a root has {ROOT_BYTES} bytes")]
    Length,
    /// A version of a later time.
    #[error("a root of version {0}, which this program does not know")]
    Version(u8),
    /// A number that is not the time of the closing.
    #[error("the number of the epoch is not that of the time at which it was closed")]
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

    /// Reads the 257 bytes and verifies that this book signed them.
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
            genesis: u64::from_be_bytes(take(&mut rest)?),
            closed: u64::from_be_bytes(take(&mut rest)?),
            period: u32::from_be_bytes(take(&mut rest)?),
            plan: NumberPlan::new(
                u32::from_be_bytes(take(&mut rest)?),
                u16::from_be_bytes(take(&mut rest)?),
            )?,
            changes: u16::from_be_bytes(take(&mut rest)?),
            previous: RootHash(take(&mut rest)?),
            boundary: RootHash(take(&mut rest)?),
            tiles: TilesHash(take(&mut rest)?),
            delta: take(&mut rest)?,
            network: take(&mut rest)?,
        };
        if !(1..=MAX_PERIOD).contains(&states.period) {
            return Err(RootError::Period(states.period));
        }
        if states.epoch == 0 || states.epoch != states.epoch_at(states.closed) {
            return Err(RootError::Epoch);
        }
        let signature = take(&mut rest)?;
        if !book.signed(&[DOMAIN, head(bytes)].concat(), &signature) {
            return Err(RootError::Signature);
        }
        Ok(Self { states, signature })
    }

    /// The 257 bytes.
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

    /// Whether this is the root after `before`: a later epoch of the same count, chained to it, of a plan that only grew.
    #[must_use]
    pub fn follows(&self, before: &Self) -> bool {
        let (now, then) = (&self.states, &before.states);
        let boundary = if now.day() == then.day() {
            then.boundary
        } else {
            before.hash()
        };
        now.epoch > then.epoch
            && now.counts_like(then)
            && now.previous == before.hash()
            && now.boundary == boundary
            && now.plan.first() == then.plan.first()
            && now.plan.tiles() >= then.plan.tiles()
    }

    /// Whether the book said two different things: of one epoch, of the boundary before one day, or of how it counts. With both roots
    /// in hand this is proof, by whichever side each came.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        let (one, two) = (&self.states, &other.states);
        let same_day = one.day() == two.day();
        one != two
            && (one.epoch == two.epoch
                || !one.counts_like(two)
                || (same_day && one.boundary != two.boundary))
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
        .chain(states.genesis.to_be_bytes())
        .chain(states.closed.to_be_bytes())
        .chain(states.period.to_be_bytes())
        .chain(states.plan.first().value().to_be_bytes())
        .chain(states.plan.tiles().to_be_bytes())
        .chain(states.changes.to_be_bytes())
        .chain(states.previous.0)
        .chain(states.boundary.0)
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
            genesis: 1_800_000_000 - 6 * 60,
            closed: 1_800_000_000,
            period: 60,
            plan: NumberPlan::new(20_000, 40).unwrap(),
            changes: 16,
            previous: RootHash([2; 32]),
            boundary: RootHash([6; 32]),
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
                epoch: 1,
                genesis: statement().closed,
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

    /// The root that an honest book closes so many seconds later.
    fn later(before: &Root, seconds: u64) -> Statement {
        let then = *before.states();
        let closed = then.closed + seconds;
        let same_day = Day::of_unix(closed) == then.day();
        Statement {
            epoch: then.epoch_at(closed),
            closed,
            previous: before.hash(),
            boundary: if same_day {
                then.boundary
            } else {
                before.hash()
            },
            ..then
        }
    }

    #[test]
    fn the_number_of_an_epoch_is_the_time_of_its_closing() {
        let read = |states| Root::decode(&Root::sign(&book(), states).encode(), &(&book()).into());
        let own = statement();
        for closed in [own.closed, own.closed + 59] {
            assert!(read(Statement { closed, ..own }).is_ok(), "{closed}");
        }
        for states in [
            Statement { epoch: 8, ..own },
            Statement { epoch: 6, ..own },
            Statement { epoch: 0, ..own },
            Statement {
                closed: own.closed - 1,
                ..own
            },
            Statement {
                closed: own.closed + 60,
                ..own
            },
            Statement {
                genesis: own.closed + 1,
                ..own
            },
            Statement { genesis: 0, ..own },
        ] {
            assert_eq!(read(states), Err(RootError::Epoch));
        }
        assert_eq!((own.due(), own.epoch_at(own.due())), (own.closed + 60, 8));
    }

    #[test]
    fn a_root_follows_the_one_that_it_names() {
        let before = Root::sign(&book(), statement());
        let next = later(&before, 60);
        let follows = |states| Root::sign(&book(), states).follows(&before);
        assert!(follows(next));
        let skipped = later(&before, 600);
        assert_eq!(skipped.epoch, 17);
        assert!(follows(skipped), "numbers may be skipped");
        let smaller = NumberPlan::new(20_000, 39).unwrap();
        for states in [
            Statement { epoch: 7, ..next },
            Statement {
                previous: RootHash::NONE,
                ..next
            },
            Statement {
                boundary: before.hash(),
                ..next
            },
            Statement {
                genesis: next.genesis - 1,
                ..next
            },
            Statement { period: 61, ..next },
            Statement {
                plan: smaller,
                ..next
            },
        ] {
            assert!(!follows(states), "{states:?}");
        }
    }

    #[test]
    fn the_first_root_of_a_day_names_the_last_of_the_day_before() {
        let before = Root::sign(&book(), statement());
        let tomorrow = later(&before, 86_400);
        assert_eq!(tomorrow.boundary, before.hash());
        assert!(Root::sign(&book(), tomorrow).follows(&before));
        let forgot = Statement {
            boundary: statement().boundary,
            ..tomorrow
        };
        assert!(!Root::sign(&book(), forgot).follows(&before));
    }

    #[test]
    fn roots_that_cannot_both_be_true_contradict_each_other() {
        let root = |states| Root::sign(&book(), states);
        let ours = root(statement());
        let (next, tomorrow) = (later(&ours, 60), later(&ours, 86_400));
        for states in [statement(), next, tomorrow] {
            assert!(!ours.contradicts(&root(states)));
            assert!(!root(states).contradicts(&ours));
        }
        let elsewhere = RootHash([9; 32]);
        for states in [
            Statement {
                tiles: TilesHash([8; 32]),
                ..statement()
            },
            Statement {
                boundary: elsewhere,
                ..next
            },
            Statement {
                genesis: 0,
                ..tomorrow
            },
            Statement {
                period: 61,
                ..tomorrow
            },
        ] {
            assert!(ours.contradicts(&root(states)), "{states:?}");
            assert!(root(states).contradicts(&ours), "{states:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Root::decode(&bytes, &BookKey::from(&book())).is_err());
        }
    }
}
