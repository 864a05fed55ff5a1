//! What the book needs kept, as a trait. Each method is one transaction: it happens whole or not at all, even if the process is killed.
//! No decision is taken here beyond the conditions that must hold inside a transaction. [`MemoryStore`] forgets with the process;
//! the databases come with the feature `sql`.

mod memory;
#[cfg(feature = "sql")]
pub mod sql;

use std::error::Error;
use std::fmt;

use ringfence_book::code::CodeDigest;
use ringfence_book::keys::KEY_BYTES;
use ringfence_book::listing::LISTING_BYTES;
use ringfence_book::number::Number;
use ringfence_book::root::ROOT_BYTES;
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use crate::book::admin_token::TokenDigest;

pub use self::memory::MemoryStore;

/// How long a number that was given up stays out of use, so that a call for its last owner does not reach the next. Seconds.
pub const REST: u64 = 365 * 24 * 60 * 60;

/// An encoded listing or decoy.
pub type Record = [u8; LISTING_BYTES];

/// The bytes of a root.
pub type RootBytes = [u8; ROOT_BYTES];

/// What a book is born with and never changes.
#[derive(Clone)]
pub struct BookSeed {
    /// From which the book's keys are derived.
    pub seed: Zeroizing<[u8; 32]>,
    /// What the operator's token hashes to.
    pub admin: TokenDigest,
}

impl fmt::Debug for BookSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BookSeed(..)")
    }
}

/// A number's record, assigned or not, as it was last published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number.
    pub number: Number,
    /// What the book says of it.
    pub record: Record,
    /// The epoch whose delta brought it: 0 at birth.
    pub epoch: u32,
    /// Whether it is an owner's listing and no decoy.
    pub listed: bool,
    /// What a decoy comes to next. An owner leaves it as it is.
    pub next: NextKey,
}

/// The next ring key of a decoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextKey {
    /// Under which identity of the number's own, counted from 0: the one that it has, or the next.
    pub generation: u32,
    /// When, in Unix seconds.
    pub due: u64,
}

/// A record that waits for the end of an epoch, or that an epoch ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The number.
    pub number: Number,
    /// What the book is to say of it.
    pub record: Record,
    /// Whether that is an owner's listing and no decoy.
    pub listed: bool,
    /// What the decoy comes to next; `None`: as it was.
    pub next: Option<NextKey>,
}

/// The end of an epoch, as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Closing<'a> {
    /// The epoch.
    pub epoch: u32,
    /// The epoch before, which must be the last that is stored; 0: none is.
    pub after: u32,
    /// Its root.
    pub root: &'a RootBytes,
    /// The network settings that the root names.
    pub network: &'a [u8],
    /// What changes. What waits for the same number in another version goes on waiting.
    pub revisions: &'a [Revision],
    /// The same as others download it; none in epoch 1.
    pub delta: Option<&'a [u8]>,
    /// Deltas of earlier epochs are forgotten.
    pub keep_from: u32,
}

/// A root and the delta that leads to it, as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStep {
    /// The epoch.
    pub epoch: u32,
    /// Its root.
    pub root: RootBytes,
    /// Its delta, if there is one and it is kept.
    pub delta: Option<Vec<u8>>,
}

/// What was published since an epoch: a view of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The last root.
    pub root: RootBytes,
    /// The network settings of its epoch.
    pub network: Vec<u8>,
    /// The rows that changed.
    pub rows: Vec<Row>,
    /// The steps of the last root's block of roots, oldest first; the last is that of the root.
    pub block: Vec<StoredStep>,
}

/// What is known of a number that cannot be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberState {
    /// It waits for its code to be used.
    Waiting {
        /// When the code ends, Unix seconds.
        until: u64,
    },
    /// It has an owner.
    Active,
    /// It had an owner; see [`REST`].
    Retired {
        /// When it was given up or revoked, Unix seconds.
        since: u64,
    },
}

/// How many numbers are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberCounts {
    /// Numbers that can be issued.
    pub free: u64,
    /// See [`NumberState::Waiting`].
    pub waiting: u64,
    /// See [`NumberState::Active`].
    pub active: u64,
    /// See [`NumberState::Retired`].
    pub retired: u64,
    /// Changes that wait for an epoch.
    pub queued: u64,
}

/// The store failed; nothing happened.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum StoreError {
    /// The database did not do what it was asked.
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// What the database holds was not written by this program.
    #[error("the database holds something that is no {0}")]
    Corrupt(&'static str),
}

/// Where a book keeps what must outlive the process. Times are Unix seconds. All methods fail with [`StoreError`].
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
pub trait Store: Send {
    /// Keeps the proposal if there is no seed yet, and answers the seed that holds.
    fn seed_of_book(&mut self, proposal: &BookSeed) -> Result<BookSeed, StoreError>;

    /// The lowest and the highest number that has a record.
    fn span(&mut self) -> Result<Option<(Number, Number)>, StoreError>;

    /// The rows from the first number to the last, ascending.
    fn rows(&mut self, first: Number, last: Number) -> Result<Vec<Row>, StoreError>;

    /// Adds these rows; a number that has one already keeps it.
    fn fill(&mut self, rows: &[Row]) -> Result<(), StoreError>;

    /// Decoys whose next ring key is due, those that have waited longest first.
    fn due(&mut self, now: u64, limit: u16) -> Result<Vec<Row>, StoreError>;

    /// The numbers that can be issued, ascending.
    fn free(&mut self, now: u64) -> Result<Vec<Number>, StoreError>;

    /// Lets the number wait for this code, good before `expires`. False: the number is not free (any more), or another waits for
    /// the code.
    fn issue(
        &mut self,
        number: Number,
        code: &CodeDigest,
        now: u64,
        expires: u64,
    ) -> Result<bool, StoreError>;

    /// Uses the code up: its number becomes active, and this record of its owner is queued. `None`: no such code (any more).
    /// The same code with the same record once more answers the same number and changes nothing, so that an answer lost on its
    /// way can be asked for again.
    fn redeem(
        &mut self,
        code: &CodeDigest,
        record: &Record,
        now: u64,
    ) -> Result<Option<Number>, StoreError>;

    /// The record that the number's owner gave last, published or not; `None`: it has no owner.
    fn listing(&mut self, number: Number) -> Result<Option<Record>, StoreError>;

    /// Queues another record of the same owner: what already waits for the number is replaced and keeps its place. Answers how
    /// many changes wait up to this one; `None`: the record's owner does not have the number.
    fn rotate(&mut self, number: Number, record: &Record) -> Result<Option<u64>, StoreError>;

    /// Takes the decoy's number out of use and queues the decoy: at the word of its owner, or of the operator (`None`), who also withdraws
    /// a code that is still waited for. False: the number is not this owner's, or has none.
    fn retire(
        &mut self,
        owner: Option<&[u8; KEY_BYTES]>,
        decoy: &Revision,
        now: u64,
    ) -> Result<bool, StoreError>;

    /// What waits for an epoch, oldest first: a change for each number at most.
    fn queue(&mut self, limit: u16) -> Result<Vec<Revision>, StoreError>;

    /// Ends an epoch. False: another process has ended it already, and nothing happened.
    fn close(&mut self, closing: &Closing<'_>) -> Result<bool, StoreError>;

    /// The root of the last epoch.
    fn last_root(&mut self) -> Result<Option<RootBytes>, StoreError>;

    /// What was published after this epoch; `None` if nothing was.
    fn edition(&mut self, after: u32) -> Result<Option<Edition>, StoreError>;

    /// How many numbers are in which state.
    fn number_counts(&mut self, now: u64) -> Result<NumberCounts, StoreError>;

    /// The states of the numbers from this one on that are not free, ascending, at most `limit`.
    fn states(
        &mut self,
        from: Number,
        limit: u32,
        now: u64,
    ) -> Result<Vec<(Number, NumberState)>, StoreError>;

    /// A reader of what was published, which waits for no writer.
    fn archive(&mut self) -> Result<Box<dyn Archive>, StoreError>;
}

/// Reads what was published. All methods fail with [`StoreError`].
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
pub trait Archive: Send {
    /// The roots from the first epoch to the last.
    fn roots(&mut self, first: u32, last: u32) -> Result<Vec<RootBytes>, StoreError>;

    /// The steps from the first epoch to the last.
    fn steps(&mut self, first: u32, last: u32) -> Result<Vec<StoredStep>, StoreError>;
}
