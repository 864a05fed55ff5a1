//! Why a download gives no book.

use thiserror::Error;

use crate::copy::{CopyError, Lie};
use crate::root::{Root, RootError};
use crate::step::StepError;

/// Why what was downloaded is no book.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A root that is none, or that another book signed.
    #[error("a root of the phone book cannot be used: {0}")]
    Root(#[from] RootError),
    /// The parts do not fit together.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The settings are not those that the root names. They may have changed in this moment.
    #[error("the network settings are not those that the phone book signed")]
    Network,
    /// A state of the book before the one that this machine has seen: a mirror that is behind, a book that was set back, or one that
    /// hides what is new.
    #[error("the phone book shows an older state than this machine has seen")]
    Older,
    /// A root from the future.
    #[error("the phone book is dated more than a day ahead of this machine's clock")]
    Ahead,
    /// A tile or a delta that is none.
    #[error("a part of the phone book is damaged")]
    Damaged,
}

impl From<StepError> for FetchError {
    fn from(fault: StepError) -> Self {
        match fault {
            StepError::Root(fault) => Self::Root(fault),
            StepError::Delta(_) => Self::Damaged,
        }
    }
}

pub(super) fn lie(known: Root, shown: Root) -> FetchError {
    CopyError::Lie(Box::new(Lie { known, shown })).into()
}
