//! Why the book says no.

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
