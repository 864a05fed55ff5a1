//! The life of a line: activation by code, renewal of ring keys, and what follows from each download of the phone book.
//! How keys are stored is in [`crate::state::keystore`].

pub mod activate;
pub mod book_updates;
pub mod network_updates;
pub mod renew;
mod rotate;
pub mod stolen;
pub(crate) mod turn_logins;

use ringfence_book::rotation;

use crate::net::book::BookError;
use crate::state::keystore::KeystoreError;

/// Why a line was not activated, or its ring key not renewed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The phone book refused, or could not be reached.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The key store could not be read or written.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The state folder has lines of another phone book.
    #[error("the lines in this state folder belong to another phone book ({0})")]
    OtherBook(String),
    /// The activation code is of another book than the one that answers at this URL. It was not sent.
    #[error("this activation code is of another phone book than the one at {0}")]
    CodeOfOtherBook(String),
}

impl LineError {
    /// The error without the names of servers and files and without numbers: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::Book(error) => error.unnamed(),
            Self::Keystore(error) => error.unnamed(),
            Self::OtherBook(_) => "the lines belong to another phone book".to_owned(),
            Self::CodeOfOtherBook(_) => "the activation code is of another phone book".to_owned(),
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Book(error) => error.remedy(),
            Self::Keystore(error) => error.remedy(),
            Self::OtherBook(_) => {
                "choose another folder with --state: an engine serves one phone book".to_owned()
            }
            Self::CodeOfOtherBook(_) => "ask the one who gave you the code for the phone book's address; if this is it, another book answers there: do not use it. The code was not sent".to_owned(),
        }
    }
}

/// When a ring key that is drawn `now` is to be renewed. Both in Unix seconds.
pub(crate) fn next_renewal(now: u64) -> u64 {
    now.saturating_add(rotation::ring_key_life(&mut rand::rng()).as_secs())
}
