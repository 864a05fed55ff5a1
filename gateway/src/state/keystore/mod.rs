//! The lines of this engine at rest: keys, bindings and SIP accounts, one file per line.
//!
//! ```text
//! STATE/                  mode 0700
//!   lock                  held while an engine runs
//!   lines/20417.json      mode 0600 from its first byte; see `vault` for the format
//!   pending/3f..a1.json   keys of an activation whose answer has not come
//!   pending/3f..a1.done   the number that an activation brought, in case it is repeated
//!   contacts.json         the key of each known number; see `contacts`
//!   contacts.lock         held for the moment of a change
//!   ledger.json           waiting texts, past calls; see `saved_state`
//!   restart.json          phones, and the ends of calls, for the next process; see `restart_state`
//!   turn.json             TURN logins of the phone book, the order of TURN servers; see `turn_memory`
//!   page-token            the running engine's page and its key; see `page::key`
//!   provisioning-path     the secret path at which desk phones find their settings, once there are any
//!   restored              exists after a restore, until the ring keys are renewed; see [`crate::state::backup`]
//!   evidence/*.json       proof against the phone book, if there is any; see `evidence`
//!   *.1.damaged           a file that could not be read and was set aside; see `damaged`
//! ```
//! With a passphrase the files are encrypted (Argon2id, ChaCha20-Poly1305); the number stays visible in the file's name. A copy
//! of the phone book is in the same folder and is no secret ([`crate::net::book`]).

mod contacts;
pub(in crate::state) mod damaged;
mod evidence;
pub(in crate::state) mod file;
mod line;
pub(in crate::state) mod restart_state;
mod saved_state;
mod stored;
pub(in crate::state) mod turn_memory;
pub(in crate::state) mod vault;

use std::fs::File;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use contacts::ContactsFile;
pub(crate) use contacts::FileIdentity;
pub use damaged::{DamagedFile, damaged_files};
pub use evidence::{Evidence, EvidenceFile, EvidenceFolder};
pub(crate) use file::{make_folder, read_private, write_private};
pub use line::{LineFile, SipAccount};
pub use restart_state::RestartFile;
pub use saved_state::SavedStateFile;
pub use turn_memory::TurnMemoryFile;
use vault::Vault;

use crate::state::secret::Secret;

/// Lines of one engine: as many as a small office has phones, few enough that trying each of them on a ring stays cheap.
pub const MOST_LINES: usize = 256;

/// The file that marks a restored state.
pub(in crate::state) const RESTORED: &str = "restored";

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
            Self::WrongPassphrase { .. } => "check RINGFENCE_PASSPHRASE; it is the one that was given to `ringfence activate`".to_owned(),
            Self::NotEncrypted { .. } => "unset RINGFENCE_PASSPHRASE; lines with and without a passphrase cannot share a folder".to_owned(),
            Self::TooManyLines { .. } => "spread the lines over several engines, each with its own --state".to_owned(),
        }
    }
}

/// The open key store. While it lives, no other engine can open it.
#[derive(Debug)]
pub struct Keystore {
    folder: PathBuf,
    vault: Vault,
    _lock: File,
}

impl Keystore {
    /// Opens the store in `folder`, making the folder when there is none, and locks it. `passphrase` encrypts new lines and opens
    /// old ones.
    ///
    /// # Errors
    /// [`KeystoreError`]: another engine has it, others can read it, the disk refuses.
    pub fn open(folder: &Path, passphrase: Option<Secret>) -> Result<Self, KeystoreError> {
        Self::open_with(folder, Vault::new(passphrase))
    }

    fn open_with(folder: &Path, vault: Vault) -> Result<Self, KeystoreError> {
        file::make_state_folder(folder)?;
        let lock = file::lock(folder)?;
        make_folder(&folder.join("lines"))?;
        make_folder(&folder.join("pending"))?;
        Ok(Self {
            folder: folder.to_owned(),
            vault,
            _lock: lock,
        })
    }

    /// The state folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether any line is encrypted, so that a passphrase must be asked for.
    ///
    /// # Errors
    /// [`KeystoreError`] when a file cannot be read.
    pub fn is_encrypted(folder: &Path) -> Result<bool, KeystoreError> {
        for path in file::list(&folder.join("lines"))? {
            if vault::is_encrypted(&path, &read_private(&path)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All lines of a folder whose store another engine may have open: every file is replaced in one step, so that what is read is
    /// whole. Nothing can be changed in this way.
    ///
    /// # Errors
    /// As [`Self::lines`].
    pub fn look(folder: &Path, passphrase: Option<Secret>) -> Result<Vec<LineFile>, KeystoreError> {
        read_lines(folder, &mut Vault::new(passphrase))
    }

    /// The contacts beside these lines, under the same passphrase.
    #[must_use]
    pub fn contacts(&self) -> ContactsFile {
        ContactsFile::new(&self.folder, self.vault.again())
    }

    /// The saved state beside these lines, under the same passphrase.
    #[must_use]
    pub fn saved_state(&self) -> SavedStateFile {
        SavedStateFile::new(&self.folder, self.vault.again())
    }

    /// What a restart must know, beside these lines, under the same passphrase.
    #[must_use]
    pub fn restart(&self) -> RestartFile {
        RestartFile::new(&self.folder, self.vault.again())
    }

    /// What is remembered of TURN servers, beside these lines, under the same passphrase.
    #[must_use]
    pub fn turn_memory(&self) -> TurnMemoryFile {
        TurnMemoryFile::new(&self.folder, self.vault.again())
    }

    /// All lines, by number. With a passphrase the first one takes a moment (Argon2id), the others share its key.
    ///
    /// # Errors
    /// [`KeystoreError`] naming the first file that cannot be used: an engine that silently serves fewer lines than it has would
    /// look like calls that never come.
    pub fn lines(&mut self) -> Result<Vec<LineFile>, KeystoreError> {
        read_lines(&self.folder, &mut self.vault)
    }

    /// Whether this state came out of a backup and its ring keys may be older than those that the phone book lists.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.folder.join(RESTORED).exists()
    }

    /// The ring keys were renewed after a restore.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn settle_restored(&mut self) -> Result<(), KeystoreError> {
        file::remove(&self.folder.join(RESTORED))
    }

    /// Writes a line, replacing an older state of it. Either the old or the new file is there, whatever happens meanwhile.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn save(&mut self, line: &LineFile) -> Result<(), KeystoreError> {
        let path = self.line_path(line.number);
        write_private(&path, &self.vault.seal(&path, &line.to_json())?)
    }

    /// Removes a line whose number was given up. Its keys are gone then.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn remove(&mut self, number: u32) -> Result<(), KeystoreError> {
        let path = self.line_path(number);
        file::remove(&path)
    }

    /// Keeps the identity of an activation before it is sent, so that the keys are not lost when the answer is. `name` tells
    /// activations apart; it becomes a file name in hexadecimal.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn keep_pending(&mut self, name: &[u8], identity: &[u8]) -> Result<(), KeystoreError> {
        let path = self.pending_path(name);
        write_private(&path, &self.vault.seal(&path, identity)?)
    }

    /// The identity of an earlier attempt at the same activation.
    ///
    /// # Errors
    /// [`KeystoreError`] when there is one and it cannot be read.
    pub fn pending(&mut self, name: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, KeystoreError> {
        let path = self.pending_path(name);
        if !path.exists() {
            return Ok(None);
        }
        self.vault.open(&path, &read_private(&path)?).map(Some)
    }

    /// Forgets a pending identity, once its line is saved.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn forget_pending(&mut self, name: &[u8]) -> Result<(), KeystoreError> {
        file::remove(&self.pending_path(name))
    }

    /// Remembers which number an activation brought.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn mark_redeemed(&mut self, name: &[u8], number: u32) -> Result<(), KeystoreError> {
        let path = self.pending_path(name).with_extension("done");
        write_private(&path, &self.vault.seal(&path, &number.to_be_bytes())?)
    }

    /// The number that the same activation brought earlier.
    ///
    /// # Errors
    /// [`KeystoreError`] when it was remembered and cannot be read.
    pub fn redeemed(&mut self, name: &[u8]) -> Result<Option<u32>, KeystoreError> {
        let path = self.pending_path(name).with_extension("done");
        if !path.exists() {
            return Ok(None);
        }
        let body = self.vault.open(&path, &read_private(&path)?)?;
        let number = body.as_slice().try_into().map(u32::from_be_bytes);
        number
            .map(Some)
            .map_err(|_| KeystoreError::Malformed { path })
    }

    fn line_path(&self, number: u32) -> PathBuf {
        line_path(&self.folder, number)
    }

    fn pending_path(&self, name: &[u8]) -> PathBuf {
        self.folder
            .join("pending")
            .join(format!("{}.json", hex::encode(name)))
    }
}

fn line_path(state: &Path, number: u32) -> PathBuf {
    state.join("lines").join(format!("{number}.json"))
}

fn read_lines(state: &Path, vault: &mut Vault) -> Result<Vec<LineFile>, KeystoreError> {
    let folder = state.join("lines");
    let paths = file::list(&folder)?;
    if paths.len() > MOST_LINES {
        return Err(KeystoreError::TooManyLines { path: folder });
    }
    let mut lines = Vec::with_capacity(paths.len());
    for path in paths {
        let body = vault.open(&path, &read_private(&path)?)?;
        let line = LineFile::from_json(&body)
            .ok_or_else(|| KeystoreError::Malformed { path: path.clone() })?;
        if path != line_path(state, line.number) {
            return Err(KeystoreError::Malformed { path });
        }
        lines.push(line);
    }
    lines.sort_by_key(|line| line.number);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store(folder: &Path, passphrase: Option<&str>) -> Result<Keystore, KeystoreError> {
        Keystore::open_with(
            folder,
            Vault::quick(passphrase.map(|text| Secret::new(text.to_owned()))),
        )
    }

    fn line(number: u32) -> LineFile {
        LineFile {
            number,
            identity: Zeroizing::new(vec![7; 80]),
            binding: vec![8; 104],
            book_url: "https://book.example.org".to_owned(),
            book_key: [9; 32],
            account: SipAccount {
                user: number.to_string(),
                password: Secret::new("swordfish".to_owned()),
            },
            name: Some("Desk".to_owned()),
            ring_key_due: None,
            members: Some(Secret::new("token".to_owned())),
        }
    }

    fn saved(folder: &Path, passphrase: Option<&str>) {
        let mut store = store(folder, passphrase).unwrap();
        store.save(&line(20_002)).unwrap();
        store.save(&line(20_001)).unwrap();
    }

    fn every_file(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(every_file(&path))
            } else {
                found.push(path)
            }
        }
        found
    }

    #[test]
    fn lines_come_back_in_order_with_and_without_a_passphrase() {
        for passphrase in [None, Some("correct horse")] {
            let folder = tempfile::tempdir().unwrap();
            saved(folder.path(), passphrase);
            let lines = store(folder.path(), passphrase).unwrap().lines().unwrap();
            assert_eq!(
                lines.iter().map(|line| line.number).collect::<Vec<_>>(),
                [20_001, 20_002]
            );
            assert_eq!(lines[0], line(20_001));
        }
    }

    #[test]
    fn no_file_is_readable_by_other_users() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        saved(&state, None);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        for path in every_file(&state) {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }

    #[test]
    fn with_a_passphrase_nothing_but_the_number_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path(), Some("correct horse"));
        for path in every_file(folder.path()) {
            let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
            for word in ["swordfish", "book.example", "Desk", "20001"] {
                assert!(!text.contains(word), "{word} in {}", path.display());
            }
        }
    }

    #[test]
    fn a_wrong_missing_or_needless_passphrase_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path(), Some("correct horse"));
        let path = folder.path().join("lines/20001.json");
        assert!(Keystore::is_encrypted(folder.path()).unwrap());
        let lines = |passphrase| {
            store(folder.path(), passphrase)
                .unwrap()
                .lines()
                .unwrap_err()
        };
        assert_eq!(
            lines(Some("battery")),
            KeystoreError::WrongPassphrase { path: path.clone() }
        );
        assert_eq!(lines(None), KeystoreError::PassphraseNeeded { path });

        let plain = tempfile::tempdir().unwrap();
        saved(plain.path(), None);
        let fault = store(plain.path(), Some("correct horse"))
            .unwrap()
            .lines()
            .unwrap_err();
        assert_eq!(
            fault,
            KeystoreError::NotEncrypted {
                path: plain.path().join("lines/20001.json")
            }
        );
    }

    #[test]
    fn a_second_engine_is_kept_out_until_the_first_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path(), None).unwrap();
        let fault = store(folder.path(), None).unwrap_err();
        assert_eq!(
            fault,
            KeystoreError::InUse {
                path: folder.path().to_owned()
            }
        );
        drop(first);
        assert!(store(folder.path(), None).is_ok());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path(), None);
        let path = folder.path().join("lines/20001.json");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let fault = store(folder.path(), None).unwrap().lines().unwrap_err();
        assert_eq!(fault, KeystoreError::TooOpen { path });
    }

    #[test]
    fn a_line_under_another_number_and_a_cut_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path(), None);
        let path = folder.path().join("lines/20001.json");
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        let malformed = Err(KeystoreError::Malformed { path: path.clone() });
        assert_eq!(store(folder.path(), None).unwrap().lines(), malformed);
        std::fs::copy(folder.path().join("lines/20002.json"), &path).unwrap();
        assert_eq!(store(folder.path(), None).unwrap().lines(), malformed);
    }

    #[test]
    fn a_leftover_of_an_interrupted_write_is_no_line() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path(), None);
        std::fs::write(folder.path().join("lines/20003.json.0a1b.new"), "half").unwrap();
        assert_eq!(
            store(folder.path(), None).unwrap().lines().unwrap().len(),
            2
        );
    }

    #[test]
    fn a_pending_identity_survives_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(folder.path(), Some("x")).unwrap();
        assert_eq!(store.pending(&[1, 2]), Ok(None));
        store.keep_pending(&[1, 2], b"keys").unwrap();
        assert_eq!(store.pending(&[1, 2]).unwrap().unwrap().as_slice(), b"keys");
        store.forget_pending(&[1, 2]).unwrap();
        assert_eq!(store.pending(&[1, 2]), Ok(None));
        assert_eq!(store.redeemed(&[1, 2]), Ok(None));
        store.mark_redeemed(&[1, 2], 20_001).unwrap();
        assert_eq!(store.redeemed(&[1, 2]), Ok(Some(20_001)));
    }
}
