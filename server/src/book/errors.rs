//! Why the book says no.

use ringfence_book::root::RootError;
use thiserror::Error;

use crate::book::activation::ActivationRefusal;
use crate::store::StoreError;

/// Why a book does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BookOpenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds numbers that the plan lacks.
    #[error(
        "the database holds numbers outside the configured number plan; a plan keeps its first number and only grows"
    )]
    PlanShrunk,
    /// The epochs of the store are counted in another period.
    #[error(
        "the epochs of this book are {0} s long (epoch_seconds); that cannot be changed: engines would take it for another book"
    )]
    Period(u32),
}

/// Why a book does not go on after the roots of an engine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They are none, or those of another book.
    #[error("the file holds no roots of this phone book: {0}")]
    Root(#[from] RootError),
    /// They do not follow the last root of the book, or the number plan is smaller than theirs.
    #[error(
        "the roots do not follow from those of this database: it is more than two days older, has a smaller number plan, or was served since it was restored"
    )]
    Order,
    /// The book has all of them.
    #[error("no epoch is missing: this database is as new as the file")]
    NothingLost,
    /// The next epoch has not begun.
    #[error(
        "the newest of these roots is of this minute, or of a clock that is ahead; try again later"
    )]
    Early,
}

/// Why no number is issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Every number is assigned, waiting, or was given up less than a year ago.
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
    Refused(#[from] ActivationRefusal),
}

/// Why a request of a supposed owner changes nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sender is not the owner, or did not prove it. The sender is not told which.
    #[error("the number's owner did not ask for this")]
    Refused,
}
