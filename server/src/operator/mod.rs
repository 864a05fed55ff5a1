//! What an operator does to a book from the command line, while servers serve it or not: issue, list, revoke, and
//! the copies of [`backup`] and [`export`]. Nothing here shows a key.

pub mod backup;
pub mod export;

use std::io;
use std::path::PathBuf;

use ringfence_book::keys::BookKey;
use ringfence_book::number::{Number, NumberError, NumberPlan};
use ringfence_daemon::clock::unix_now;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::book::admin_token::AdminToken;
use crate::book::{Book, BookOpenError, Issue, IssueError, ResumeError, Schedule};
use crate::config::{Config, Database};
use crate::service::{StartError, draw_seed, open_store};
use crate::store::{NumberCounts, NumberState, Store, StoreError};

/// States that are read at a time.
const PAGE: u32 = 1_000;

/// Why an operator's command fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The book does not open.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no book.
    #[error(
        "there is no phone book in {0}: is --database or --config right? Only `serve` and `issue --new-book` make one"
    )]
    NoBook(String),
    /// The number cannot be.
    #[error("{text} is no number of this phone book: {cause}")]
    Number {
        /// What was given.
        text: String,
        /// Why not.
        cause: NumberError,
    },
    /// The number has no owner.
    #[error("the number {0} has no owner, and it waits for no code: there is nothing to revoke")]
    NotAssigned(Number),
    /// Nothing was published yet.
    #[error("nothing was published yet: start the server once")]
    Unpublished,
    /// A book in memory ends with its process.
    #[error("a book that is kept in memory cannot be copied")]
    InMemory,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file that is no backup.
    #[error("{} holds no phone book that can be restored: {cause}", path.display())]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: BookOpenError,
    },
    /// The book does not go on after these roots.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// A file that would be overwritten.
    #[error("{} exists already and is not overwritten; choose another name or move it away", .0.display())]
    Exists(PathBuf),
    /// A database that would be overwritten.
    #[error(
        "the database holds a phone book already, which is not overwritten; restore into an empty one"
    )]
    Occupied,
    /// The task that did it died.
    #[error("the command was interrupted; try again")]
    Interrupted,
}

/// Numbers that were issued.
#[derive(Debug)]
pub struct IssueOutcome {
    /// The numbers and their codes.
    pub issues: Vec<Issue>,
    /// The book's key.
    pub key: BookKey,
    /// The operator's token, if this made the book.
    pub token: Option<AdminToken>,
    /// Why there are fewer than were asked for.
    pub stopped: Option<IssueError>,
}

/// What [`list`] finds.
#[derive(Debug)]
pub struct Listed {
    /// The book's key.
    pub key: BookKey,
    /// How many numbers are in each state.
    pub counts: NumberCounts,
    /// Every number that is not free with its state, ascending.
    pub states: Vec<(Number, NumberState)>,
}

/// What a revocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The number.
    pub number: Number,
    /// Whether it only waited for its code: then it is free again at once.
    pub was_waiting: bool,
}

/// Draws so many numbers with their codes, from a book that is there; `is_new` allows to make one.
///
/// # Errors
/// [`OperatorError`].
pub async fn issue(
    config: &Config,
    count: u32,
    is_new: bool,
) -> Result<IssueOutcome, OperatorError> {
    let config = config.clone();
    at_desk(move |runtime| {
        let store = if is_new {
            open_store(config.database.clone(), runtime)?
        } else {
            present(&config, runtime)?
        };
        let (mut book, token) = open(store, &config)?;
        let key = book.key();
        let (mut issues, mut stopped) = (Vec::new(), None);
        for _ in 0..count {
            match book.issue(unix_now()) {
                Ok(issue) => issues.push(issue),
                Err(cause) => {
                    stopped = Some(cause);
                    break;
                }
            }
        }
        Ok(IssueOutcome {
            issues,
            key,
            token,
            stopped,
        })
    })
    .await
}

/// The book's key, the counts, and every number that is not free.
///
/// # Errors
/// [`OperatorError`].
pub async fn list(config: &Config) -> Result<Listed, OperatorError> {
    with_book(config, |book| {
        let now = unix_now();
        let mut states: Vec<(Number, NumberState)> = Vec::new();
        let mut from = Some(Number::new(0));
        while let Some(first) = from {
            let page = book.states(first, PAGE, now)?;
            let last = page.last().map(|(last, _)| last.value());
            from = last.and_then(|last| last.checked_add(1)).map(Number::new);
            states.extend(page);
        }
        Ok(Listed {
            key: book.key(),
            counts: book.number_counts(now)?,
            states,
        })
    })
    .await
}

/// Takes a number out of use, or withdraws the code that it waits for.
///
/// # Errors
/// [`OperatorError`].
pub async fn revoke(config: &Config, text: &str) -> Result<Revoked, OperatorError> {
    let text = text.to_owned();
    with_book(config, move |book| {
        let number = book
            .plan()
            .read(&text)
            .map_err(|cause| OperatorError::Number { text, cause })?;
        let now = unix_now();
        let state = book.states(number, 1, now)?.first().copied();
        let was_waiting =
            matches!(state, Some((first, NumberState::Waiting { .. })) if first == number);
        if book.revoke(number, now)? {
            Ok(Revoked {
                number,
                was_waiting,
            })
        } else {
            Err(OperatorError::NotAssigned(number))
        }
    })
    .await
}

/// Works on a book that is there.
async fn with_book<T: Send + 'static>(
    config: &Config,
    work: impl FnOnce(&mut Book) -> Result<T, OperatorError> + Send + 'static,
) -> Result<T, OperatorError> {
    let config = config.clone();
    at_desk(move |runtime| {
        let store = present(&config, runtime)?;
        let (mut book, _) = open(store, &config)?;
        work(&mut book)
    })
    .await
}

/// The store of a book that is there. A database that is not there is not made: in another folder than the server's it would be a second
/// book, whose codes are good for nothing.
fn present(config: &Config, runtime: Handle) -> Result<Box<dyn Store>, OperatorError> {
    let none = || OperatorError::NoBook(config.database.place());
    if let Database::File(path) = &config.database
        && !path.exists()
    {
        return Err(none());
    }
    let mut store = open_store(config.database.clone(), runtime)?;
    if store.span()?.is_none() {
        return Err(none());
    }
    Ok(store)
}

/// Opens the book with the plan that it has: only a server makes it grow.
fn open(
    mut store: Box<dyn Store>,
    config: &Config,
) -> Result<(Book, Option<AdminToken>), OperatorError> {
    let terms = Schedule {
        plan: plan_of(&mut *store)?.unwrap_or(config.plan),
        ..config.terms()
    };
    Ok(Book::open(store, terms, draw_seed()?, unix_now()).map_err(StartError::Book)?)
}

/// The plan that a store's numbers fill.
fn plan_of(store: &mut dyn Store) -> Result<Option<NumberPlan>, StoreError> {
    let Some((first, last)) = store.span()? else {
        return Ok(None);
    };
    let tiles = u16::try_from((last.value() - first.value()) / 256 + 1);
    let plan = tiles
        .ok()
        .and_then(|tiles| NumberPlan::new(first.value(), tiles).ok());
    plan.map(Some).ok_or(StoreError::Corrupt("number plan"))
}

async fn at_desk<T: Send + 'static>(
    work: impl FnOnce(Handle) -> Result<T, OperatorError> + Send + 'static,
) -> Result<T, OperatorError> {
    let runtime = Handle::current();
    spawn_blocking(move || work(runtime))
        .await
        .map_err(|_| OperatorError::Interrupted)?
}
