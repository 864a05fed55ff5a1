//! A file that holds JSON of one version, sealed like a line's: what the contacts and the saved state have in common.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::vault::Vault;
use super::{KeystoreError, file};

/// The version of the JSON that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;

/// JSON that says its version.
pub(super) trait Versioned {
    fn version(&self) -> u32;
}

/// Reads what [`write_stored`] wrote, from a file of at most `most` bytes.
pub(super) fn read_stored<T: DeserializeOwned + Versioned>(
    path: &Path,
    most: u64,
    vault: &Vault,
) -> Result<T, KeystoreError> {
    let sealed = file::read_private_up_to(path, most)?;
    let json = vault.open(path, &sealed)?;
    let stored: T = serde_json::from_slice(&json).map_err(|_| KeystoreError::Malformed {
        path: path.to_owned(),
    })?;
    if stored.version() != VERSION {
        return Err(KeystoreError::NewerFormat {
            path: path.to_owned(),
        });
    }
    Ok(stored)
}

/// Replaces the file in one step.
pub(super) fn write_stored(
    path: &Path,
    stored: impl Serialize,
    vault: &Vault,
) -> Result<(), KeystoreError> {
    let json = serde_json::to_vec(&stored).expect("texts and numbers always become JSON");
    // With many calls each of these is large.
    drop(stored);
    file::write_private(path, &vault.seal(path, &Zeroizing::new(json))?)
}
