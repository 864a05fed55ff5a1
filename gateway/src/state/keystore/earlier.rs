//! What earlier versions left readable in a folder with a passphrase: sealed when an engine or an activation opens the folder, once.
//!
//! It is the phone book's copy, evidence, the secret path of desk phones, and names made of numbers and codes. The key of the page ends
//! with its engine, and the authority of earlier versions was good for every name in the world: both are removed. What is removed
//! may still lie on the disk where it was; only a new identity and new codes take its worth away.

use std::path::{Path, PathBuf};

use super::vault::is_container;
use super::{KeystoreError, PAGE_KEY, file};
use crate::state::folder::StateFolder;

/// Files of one folder that are looked at; a folder with more is sealed in several starts.
const MOST_FILES: usize = 8_192;
/// Largest file of an earlier version: the roots of a phone book.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Hexadecimal digits of a keyed name.
const KEYED: usize = 32;

/// Seals it.
///
/// # Errors
/// [`KeystoreError`]; what is not sealed yet is at the next start.
pub(super) fn seal(state: &StateFolder) -> Result<(), KeystoreError> {
    for name in [PAGE_KEY, "phones-ca.key"] {
        let path = state.join(name);
        if path.exists() && !is_sealed(&path)? {
            file::remove(&path)?;
        }
    }
    let path = Path::new("provisioning-path");
    reseal(state, path, path)?;
    for path in unkeyed(state, "evidence")? {
        let name = state.name("evidence", stem(&path))?;
        reseal(
            state,
            &path,
            &Path::new("evidence").join(format!("{name}.json")),
        )?;
    }
    for path in unkeyed(state, "pending")? {
        let name = state.name("pending", stem(&path))?;
        let named = Path::new("pending").join(name);
        let named = named.with_extension(path.extension().unwrap_or_default());
        let (from, to) = (state.join(&path), state.join(named));
        let body = state.vault().open(&from, &file::read_private(&from)?)?;
        file::write_private(&to, &state.vault().seal(&to, &body)?)?;
        file::remove(&from)?;
    }
    for book in unkeyed(state, "book")? {
        let named = Path::new("book").join(state.name("book", stem(&book))?);
        file::make_folder(&state.join(&named))?;
        for path in entries(state, &book)? {
            let name = path.file_name().unwrap_or_default();
            reseal(state, &path, &named.join(name))?;
        }
        let folder = state.join(book);
        std::fs::remove_dir(&folder).map_err(file::disk("remove", &folder))?;
    }
    Ok(())
}

/// Writes a file that is in the clear under another name, sealed, and removes the old one.
fn reseal(state: &StateFolder, from: &Path, to: &Path) -> Result<(), KeystoreError> {
    let path = state.join(from);
    if !path.exists() || is_sealed(&path)? {
        return Ok(());
    }
    let bytes = file::read_private_up_to(&path, MOST_BYTES)?;
    state.write(to, &bytes)?;
    if from == to {
        return Ok(());
    }
    file::remove(&path)
}

fn is_sealed(path: &Path) -> Result<bool, KeystoreError> {
    Ok(is_container(&file::read_private_up_to(path, MOST_BYTES)?))
}

/// What has another name in a folder than this version gives; paths below the state folder.
fn unkeyed(state: &StateFolder, folder: &str) -> Result<Vec<PathBuf>, KeystoreError> {
    let mut found = entries(state, Path::new(folder))?;
    found.retain(|path| {
        let stem = stem(path);
        stem.len() != KEYED || !stem.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    Ok(found)
}

/// What a folder holds, without what a killed process left half-written.
fn entries(state: &StateFolder, folder: &Path) -> Result<Vec<PathBuf>, KeystoreError> {
    let full = state.join(folder);
    file::remove_all_leftovers(&full);
    let Ok(found) = std::fs::read_dir(&full) else {
        return Ok(Vec::new());
    };
    let names = found
        .take(MOST_FILES)
        .flatten()
        .map(|entry| folder.join(entry.file_name()));
    Ok(names.collect())
}

fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default()
}
