//! Why the key store cannot be used, and what a person can do.

use std::path::PathBuf;

use super::{MOST_LINES, damaged};

/// Why the key store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// A file or folder could not be read or written.
    #[error("cannot {act} {}: {kind}", path.display())]
    Disk {
        /// What was tried.
        act: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// Other users of this machine can read or replace keys.
    #[error("{} is open to other users of this machine", path.display())]
    TooOpen {
        /// The file or folder.
        path: PathBuf,
    },
    /// Another engine runs on the same state.
    #[error("another ringfence is using {}", path.display())]
    InUse {
        /// The state folder.
        path: PathBuf,
    },
    /// Not a file of ours, or damaged.
    #[error("{} is damaged", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error("{} has a format that this version does not know", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file is encrypted and no passphrase was given.
    #[error("{} is encrypted and no passphrase was given", path.display())]
    PassphraseNeeded {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase does not open the file (or the file was altered on purpose).
    #[error("the passphrase does not open {}", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// A passphrase was given but there are lines without one.
    #[error("{} is not encrypted although a passphrase was given", path.display())]
    NotEncrypted {
        /// The file.
        path: PathBuf,
    },
    /// The file names another key derivation than this program's.
    #[error("{} asks for a key derivation that is not this program's", path.display())]
    OtherDerivation {
        /// The file.
        path: PathBuf,
    },
    /// More lines than an engine serves.
    #[error("{} holds more than {MOST_LINES} lines", path.display())]
    TooManyLines {
        /// The folder.
        path: PathBuf,
    },
}

impl KeystoreError {
    /// What failed and why without naming a file, which may show a number or a user: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::Disk { act, kind, .. } => format!("cannot {act} the state folder: {kind}"),
            Self::Malformed { .. } => "a file of the state folder is damaged".to_owned(),
            _ => "the state folder cannot be used".to_owned(),
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Disk { .. } => "check that the folder exists, belongs to this user and has room, or choose another with --state".to_owned(),
            Self::TooOpen { .. } => "take the rights of others from it: chmod go-rwx".to_owned(),
            Self::InUse { .. } => "stop it first, or choose another folder with --state".to_owned(),
            Self::Malformed { path } => damaged::remedy(path).to_owned(),
            Self::NewerFormat { .. } => "update ringfence".to_owned(),
            Self::PassphraseNeeded { .. } => "set RINGFENCE_PASSPHRASE, or start from a terminal to be asked".to_owned(),
            Self::WrongPassphrase { .. } => "check RINGFENCE_PASSPHRASE; it is the one that was given to `ringfence setup`".to_owned(),
            Self::NotEncrypted { .. } => "unset RINGFENCE_PASSPHRASE; lines with and without a passphrase cannot share a folder".to_owned(),
            Self::OtherDerivation { .. } => "do not type the passphrase for it: a later version wrote it, or it was altered on purpose; restore a backup (ringfence restore FILE --replace)".to_owned(),
            Self::TooManyLines { .. } => "spread the lines over several engines, each with its own --state".to_owned(),
        }
    }
}
