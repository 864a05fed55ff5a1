//! A backup: everything of a state folder that cannot be recovered otherwise, and the settings, in one file under a passphrase.
//!
//! ```text
//! line 1   the container of `sealed`, format ringfence-backup-1, always under a passphrase; its body is the JSON below
//! line 2   SHA-256 of line 1 in hexadecimal, so that a damaged file is told from a wrong passphrase
//!
//! { "version": 1, "made": Unix seconds, "settings": "TOML" or null, "lines": [20001],
//!   "files": [{ "path": "lines/20001.json", "body": "base64" }] }
//! ```
//! Files are taken as they are: lines under a passphrase stay under it. They are replaced in one step each, so that a backup made while an
//! engine runs holds whole files. The phone book's copy is left out, except its last root: what is downloaded after a restore must
//! follow from it.

mod error;
mod restore;

use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::state::keystore::damaged::ENDING;
use crate::state::keystore::vault::{Vault, is_container};
use crate::state::keystore::{KeystoreError, PAGE_KEY, file, restart_state, turn_memory};
use crate::state::secret::Secret;
pub use error::BackupError;
pub use restore::{PreviousState, restore};

const VERSION: u32 = 1;
/// Files of one state: 256 lines, pending activations, proof.
const MOST_FILES: usize = 2_048;
/// Bytes of all of them: the saved state has 16 MB at most, the contacts 4.
const MOST_BYTES: u64 = 48 * 1024 * 1024;
/// Bytes of a backup: all of that twice in base64.
const MOST_SEALED: u64 = 128 * 1024 * 1024;
/// The name to which a backup is bound, whatever its file is called.
const NAME: &str = "ringfence-backup";
/// Files that mean something only while an engine runs.
const PASSING: [&str; 4] = ["lock", PAGE_KEY, restart_state::FILE, turn_memory::FILE];
const FOLDERS: [&str; 3] = ["lines", "pending", "evidence"];
/// The last root of a book's copy, at the end of its file.
const ROOT: usize = ringfence_book::root::ROOT_BYTES;

/// What a backup holds.
#[derive(Debug)]
pub struct Backup {
    /// When it was made, Unix seconds.
    pub made: u64,
    /// The file of settings, as it was.
    pub settings: Option<String>,
    /// The numbers of the lines in it: the names of their files may be keyed.
    pub numbers: Vec<u32>,
    files: Vec<NamedBytes>,
}

/// A file by its path below the state folder.
type NamedBytes = (PathBuf, Zeroizing<Vec<u8>>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    made: u64,
    settings: Option<String>,
    lines: Vec<u32>,
    files: Vec<StoredFile>,
}

/// Its text is wiped when dropped.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct StoredFile {
    #[zeroize(skip)]
    path: PathBuf,
    body: String,
}

impl Backup {
    /// Reads everything in a state folder, whose lines have these numbers. An engine may be running.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn collect(
        state: &Path,
        settings: Option<String>,
        made: u64,
        numbers: Vec<u32>,
    ) -> Result<Self, BackupError> {
        let mut paths = names(state, Path::new(""))?;
        for folder in FOLDERS {
            paths.extend(names(state, Path::new(folder))?);
        }
        let (mut files, mut room) = (Vec::new(), MOST_BYTES);
        for path in paths {
            let full = state.join(&path);
            let bytes = match file::read_private_up_to(&full, room) {
                Ok(bytes) => bytes,
                // An activation that came to its end meanwhile.
                Err(KeystoreError::Disk {
                    kind: std::io::ErrorKind::NotFound,
                    ..
                }) => continue,
                Err(fault) => return Err(fault.into()),
            };
            room = room.saturating_sub(bytes.len() as u64);
            files.push((path, bytes));
        }
        files.extend(last_roots(state)?);
        if files.len() > MOST_FILES {
            return Err(BackupError::TooMuch);
        }
        Ok(Self {
            made,
            settings,
            numbers,
            files,
        })
    }

    /// The bytes of the backup.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn seal(&self, passphrase: Secret) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        self.seal_in(&Vault::of_backups(passphrase))
    }

    fn seal_in(&self, vault: &Vault) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        let files = self.files.iter().map(|(path, bytes)| StoredFile {
            path: path.clone(),
            body: STANDARD.encode(bytes),
        });
        let stored = Stored {
            version: VERSION,
            made: self.made,
            settings: self.settings.clone(),
            lines: self.numbers.clone(),
            files: files.collect(),
        };
        let json = serde_json::to_vec(&stored).expect("texts and numbers always become JSON");
        let json = Zeroizing::new(json);
        let sealed = vault.seal(Path::new(NAME), &json)?;
        let text = String::from_utf8_lossy(&sealed).replace('\n', "");
        let sum = hex::encode(Sha256::digest(text.as_bytes()));
        Ok(Zeroizing::new(format!("{text}\n{sum}\n").into_bytes()))
    }

    /// Reads a backup. Nothing on the disk changes.
    ///
    /// # Errors
    /// [`BackupError`] that tells a wrong passphrase from a damaged file.
    pub fn open(path: &Path, passphrase: Secret) -> Result<Self, BackupError> {
        Self::open_in(path, &Vault::of_backups(passphrase))
    }

    fn open_in(path: &Path, vault: &Vault) -> Result<Self, BackupError> {
        let damaged = || BackupError::Damaged(path.to_owned());
        let bytes = read(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
        let (container, sum) = text.split_once('\n').ok_or_else(damaged)?;
        if sum.trim_end() != hex::encode(Sha256::digest(container.as_bytes())) {
            return Err(damaged());
        }
        let body =
            vault
                .open(Path::new(NAME), container.as_bytes())
                .map_err(|fault| match fault {
                    KeystoreError::NewerFormat { .. } => BackupError::Newer(path.to_owned()),
                    KeystoreError::WrongPassphrase { .. } => {
                        BackupError::WrongPassphrase(path.to_owned())
                    }
                    _ => damaged(),
                })?;
        let stored: Stored = serde_json::from_slice(&body).map_err(|_| damaged())?;
        if stored.version != VERSION {
            return Err(BackupError::Newer(path.to_owned()));
        }
        if stored.files.len() > MOST_FILES || !stored.files.iter().all(|file| fits(&file.path)) {
            return Err(damaged());
        }
        let file = |file: &StoredFile| {
            let body = STANDARD.decode(&file.body).ok()?;
            Some((file.path.clone(), Zeroizing::new(body)))
        };
        let files: Option<Vec<_>> = stored.files.iter().map(file).collect();
        Ok(Self {
            made: stored.made,
            settings: stored.settings,
            numbers: stored.lines,
            files: files.ok_or_else(damaged)?,
        })
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let fault = |error: std::io::Error| BackupError::Unreadable {
        path: path.to_owned(),
        kind: error.kind(),
    };
    if std::fs::metadata(path).map_err(fault)?.len() > MOST_SEALED {
        return Err(BackupError::Damaged(path.to_owned()));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(fault)
}

/// The files of one folder that a backup takes: no locks, no half-written files, none that was damaged.
fn names(state: &Path, folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let full = state.join(folder);
    let fault = |error: std::io::Error| KeystoreError::Disk {
        act: "read",
        path: full.clone(),
        kind: error.kind(),
    };
    let entries = match std::fs::read_dir(&full) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fault(error).into()),
    };
    let mut found = Vec::new();
    for entry in entries.take(MOST_FILES + 1) {
        let entry = entry.map_err(fault)?;
        let path = folder.join(entry.file_name());
        let passing = ["lock", "new", ENDING];
        let ends = |end: &str| path.extension().is_some_and(|found| found == end);
        let is_file = entry.file_type().map_err(fault)?.is_file();
        let is_passing = PASSING.iter().any(|name| path == Path::new(name));
        if is_file && !is_passing && !passing.into_iter().any(ends) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The last root of each book's copy, as the only one of its file.
fn last_roots(state: &Path) -> Result<Vec<NamedBytes>, BackupError> {
    let Ok(books) = std::fs::read_dir(state.join("book")) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for book in books.take(MOST_FILES).flatten() {
        let path = Path::new("book").join(book.file_name()).join("roots");
        let Ok(roots) = std::fs::read(state.join(&path)) else {
            continue;
        };
        // Under a passphrase the file has sealed parts, one a line; the last one ends with the last root.
        let last = if is_container(&roots) {
            roots.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()
        } else {
            roots.chunks_exact(ROOT).next_back()
        };
        let line_break: &[u8] = if is_container(&roots) { b"\n" } else { b"" };
        let body = |last: &[u8]| Zeroizing::new([last, line_break].concat());
        found.extend(last.map(|last| (path, body(last))));
    }
    Ok(found)
}

/// Whether a path stays within a state folder, at a place where backups have files.
fn fits(path: &Path) -> bool {
    let parts: Vec<_> = path.components().collect();
    let plain = parts
        .iter()
        .all(|part| matches!(part, Component::Normal(_)));
    let first = parts.first().map(|part| part.as_os_str());
    let is_in = |folder: &str| first.is_some_and(|first| first == folder);
    plain
        && match parts.len() {
            1 => !PASSING.into_iter().any(is_in),
            2 => FOLDERS.into_iter().any(is_in),
            3 => is_in("book") && path.ends_with("roots"),
            _ => false,
        }
}

#[cfg(test)]
mod tests;
