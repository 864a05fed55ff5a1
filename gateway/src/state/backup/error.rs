//! What can be wrong with a backup, and what to do.

use std::path::PathBuf;

use crate::state::keystore::KeystoreError;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The state folder.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The backup cannot be read.
    #[error("cannot read the backup {}: {kind}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// Not a backup, or not whole.
    #[error("{} is damaged or no backup of an engine", .0.display())]
    Damaged(PathBuf),
    /// A backup of a later version.
    #[error("{} was made by a later version", .0.display())]
    Newer(PathBuf),
    /// It is whole, and another passphrase seals it.
    #[error("the passphrase does not open the backup {}", .0.display())]
    WrongPassphrase(PathBuf),
    /// A file is there already.
    #[error("{} is there already and was not touched", .0.display())]
    Exists(PathBuf),
    /// The state folder has lines.
    #[error("the state folder {} has lines, and nothing was restored", .0.display())]
    LinesThere(PathBuf),
    /// More than any engine has.
    #[error("the state folder has more files than an engine makes")]
    TooMuch,
    /// The new state cannot take the old one's place.
    #[error("the restored state cannot take the place of {}: {kind}", path.display())]
    Swap {
        /// The state folder.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
}

impl BackupError {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Keystore(fault) => fault.remedy(),
            Self::Unreadable { .. } => "check the path, and that this user may read the file".to_owned(),
            Self::Damaged(_) => "take another copy of the backup; nothing was changed".to_owned(),
            Self::Newer(_) => "update ringfence".to_owned(),
            Self::WrongPassphrase(_) => "check RINGFENCE_BACKUP_PASSPHRASE, or what was typed: it is the one that was given to `ringfence backup`; nothing was changed".to_owned(),
            Self::Exists(_) => "choose another name, or give --replace".to_owned(),
            Self::LinesThere(_) => "give --replace, which keeps the old folder beside the new one, or choose another with --state".to_owned(),
            Self::TooMuch => "move what is not the engine's out of the state folder".to_owned(),
            Self::Swap { .. } => "run it as a user who may rename that folder, or choose another with --state; nothing was changed".to_owned(),
        }
    }
}
