//! The state folder with its passphrase: every file that is not a line, the contacts or another container of its own is read and written
//! through here.
//!
//! Without a passphrase a file holds its bytes. With one it holds a container of [`super::keystore`] for each write, one a line, so that
//! what grows is appended to. A container says nothing but its size and that it is one; names that would say something are keyed.
//! What an earlier version left in the clear is not read here: the key store seals it when it is opened.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::keystore::KeystoreError;
use super::keystore::file;
use super::keystore::vault::Vault;
use super::secret::Secret;

/// A state folder, and what opens it. Clones share the derived key. It stands for its path wherever one is asked for.
#[derive(Clone)]
pub struct StateFolder {
    path: PathBuf,
    vault: Vault,
}

impl StateFolder {
    /// The folder under this passphrase, or none. Nothing is read yet.
    #[must_use]
    pub fn open(path: &Path, passphrase: Option<Secret>) -> Self {
        Self::with(path, Vault::new(path, passphrase))
    }

    pub(in crate::state) fn with(path: &Path, vault: Vault) -> Self {
        Self {
            path: path.to_owned(),
            vault,
        }
    }

    /// The same passphrase for a copy of the folder at another place.
    pub(crate) fn at(&self, path: &Path) -> Self {
        Self::with(path, self.vault.clone())
    }

    pub(in crate::state) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Whether what is written needs a passphrase to be read.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.vault.is_sealing()
    }

    /// The name of a file or folder that must not be readable: `name` without a passphrase, else 32 hexadecimal digits that tell
    /// nothing of it. `kind` separates what has names of its own.
    ///
    /// # Errors
    /// [`KeystoreError`] when the salt cannot be read or written.
    pub(crate) fn name(&self, kind: &str, name: &str) -> Result<String, KeystoreError> {
        if self.is_sealed() {
            self.vault.name(kind, name.as_bytes())
        } else {
            Ok(name.to_owned())
        }
    }

    /// The content of a file of at most `most` bytes; `None` if there is none.
    ///
    /// # Errors
    /// [`KeystoreError`]: the file is open to others, damaged, or of another passphrase.
    pub(crate) fn read(
        &self,
        name: &Path,
        most: u64,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeystoreError> {
        let path = self.path.join(name);
        // In base64, and around each of the parts what says how it is sealed.
        let room = if self.is_sealed() {
            most.saturating_mul(4)
        } else {
            most
        };
        let bytes = match file::read_private_up_to(&path, room) {
            Err(KeystoreError::Disk {
                kind: std::io::ErrorKind::NotFound,
                ..
            }) => return Ok(None),
            read => read?,
        };
        if !self.is_sealed() {
            return Ok(Some(bytes));
        }
        let mut content = Zeroizing::new(Vec::with_capacity(bytes.len()));
        // A crash may have cut the last part off; what was written before it stays.
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_whole = part.ends_with(b"\n");
            match self.vault.open(&path, part) {
                Ok(body) => content.extend_from_slice(&body),
                Err(KeystoreError::Malformed { .. }) if !is_whole && !content.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Some(content))
    }

    /// Replaces a file in one step.
    ///
    /// # Errors
    /// [`KeystoreError`]; the file is as it was.
    pub(crate) fn write(&self, name: &Path, bytes: &[u8]) -> Result<(), KeystoreError> {
        let path = self.path.join(name);
        match self.sealed(&path, bytes)? {
            Some(sealed) => file::write_private(&path, &sealed),
            None => file::write_private(&path, bytes),
        }
    }

    /// Appends to a file, and syncs it. A crash may leave the first part of it.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub(crate) fn append(&self, name: &Path, bytes: &[u8]) -> Result<(), KeystoreError> {
        let path = self.path.join(name);
        match self.sealed(&path, bytes)? {
            Some(sealed) => file::append_private(&path, &sealed),
            None => file::append_private(&path, bytes),
        }
    }

    /// One line; `None` without a passphrase.
    fn sealed(
        &self,
        path: &Path,
        bytes: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeystoreError> {
        if !self.is_sealed() {
            return Ok(None);
        }
        let pretty = self.vault.seal(path, bytes)?;
        let mut line: Vec<u8> = pretty
            .iter()
            .copied()
            .filter(|byte| *byte != b'\n')
            .collect();
        line.push(b'\n');
        Ok(Some(Zeroizing::new(line)))
    }
}

/// As its path prints.
impl fmt::Debug for StateFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.path, f)
    }
}

impl Deref for StateFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for StateFolder {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// A folder without a passphrase.
impl From<&Path> for StateFolder {
    fn from(path: &Path) -> Self {
        Self::open(path, None)
    }
}

/// A folder without a passphrase.
impl From<&PathBuf> for StateFolder {
    fn from(path: &PathBuf) -> Self {
        Self::open(path, None)
    }
}

impl From<&Self> for StateFolder {
    fn from(state: &Self) -> Self {
        state.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &Path, passphrase: Option<&str>) -> StateFolder {
        let passphrase = passphrase.map(|text| Secret::new(text.to_owned()));
        StateFolder::with(path, Vault::quick(path, passphrase))
    }

    const NAME: &str = "log";

    #[test]
    fn what_is_written_and_appended_comes_back_with_and_without_a_passphrase() {
        for passphrase in [None, Some("correct horse")] {
            let place = tempfile::tempdir().unwrap();
            let state = folder(place.path(), passphrase);
            let name = Path::new(NAME);
            assert!(state.read(name, 9).unwrap().is_none());
            state.append(name, b"20001").unwrap();
            state.write(name, b"20001").unwrap();
            state.append(name, b",20002").unwrap();
            let again = folder(place.path(), passphrase);
            assert_eq!(&**again.read(name, 4_096).unwrap().unwrap(), b"20001,20002");
            let bytes = std::fs::read(place.path().join(NAME)).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.contains("20001"), passphrase.is_none());
        }
    }

    #[test]
    fn a_part_that_a_crash_cut_off_costs_only_itself() {
        let place = tempfile::tempdir().unwrap();
        let state = folder(place.path(), Some("correct horse"));
        let name = Path::new(NAME);
        state.append(name, b"first").unwrap();
        let first = std::fs::read(place.path().join(NAME)).unwrap().len();
        state.append(name, b"second").unwrap();
        let whole = std::fs::read(place.path().join(NAME)).unwrap();
        for cut in first..whole.len() - 1 {
            std::fs::write(place.path().join(NAME), &whole[..cut]).unwrap();
            assert_eq!(&**state.read(name, 4_096).unwrap().unwrap(), b"first");
        }
    }

    #[test]
    fn a_file_that_was_put_there_in_the_clear_is_not_taken_for_a_sealed_one() {
        let place = tempfile::tempdir().unwrap();
        folder(place.path(), None)
            .write(Path::new(NAME), b"an attacker's")
            .unwrap();
        let sealed = folder(place.path(), Some("correct horse"));
        assert!(sealed.read(Path::new(NAME), 4_096).is_err());
    }
}
