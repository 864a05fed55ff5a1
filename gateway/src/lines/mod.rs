//! Lines over the months: activation by code, renewal of bindings and ring keys, and what follows from each download of the phone
//! book. How keys are stored is in [`crate::state::keystore`].

pub mod activate;
pub mod book_updates;
pub mod renew;
mod rotate;
mod turn_logins;

use ringfence_book::rotation::{self, RING_KEY_LIFE};

use crate::net::book::BookError;
use crate::state::keystore::KeystoreError;

/// Why a line was not activated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The phone book's, or the way to it.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The disk's.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The state folder has lines of another phone book.
    #[error("the lines in this state folder belong to another phone book ({0})")]
    OtherBook(String),
}

impl LineError {
    /// What failed and why without naming a server, a file or a number: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::Book(fault) => fault.unnamed(),
            Self::Keystore(fault) => fault.unnamed(),
            Self::OtherBook(_) => "the lines belong to another phone book".to_owned(),
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Book(fault) => fault.remedy(),
            Self::Keystore(fault) => fault.remedy(),
            Self::OtherBook(_) => {
                "choose another folder with --state: an engine serves one phone book".to_owned()
            }
        }
    }
}

/// When a ring key that is drawn `now` is to be renewed. Both in Unix seconds.
pub(crate) fn next_renewal(now: u64) -> u64 {
    now.saturating_add(rotation::wait(RING_KEY_LIFE, &mut rand::rng()).as_secs())
}
