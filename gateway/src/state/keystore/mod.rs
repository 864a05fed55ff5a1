//! The lines of this engine at rest: keys and SIP accounts, one file per line.
//!
//! ```text
//! STATE/                  mode 0700
//!   lock                  held while an engine runs
//!   salt                  what keys and names are derived with, once there is a passphrase; see `vault`
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
//!   phones-ca.json        the authority of the certificate that phones see, with its key
//!   phones-ca.pem         the authority's certificate, for phones; public, also under a passphrase
//!   book/                 the copy of the phone book ([`crate::net::book`])
//! ```
//! With a passphrase every file but `salt`, `phones-ca.pem` and the locks, which are empty, is encrypted (Argon2id, ChaCha20-Poly1305), and
//! the names in `lines`, `pending`, `evidence` and `book` are keyed. Times and sizes of files stay visible.

mod contacts;
pub(in crate::state) mod damaged;
mod earlier;
mod error;
pub(in crate::state) mod evidence;
pub(in crate::state) mod file;
mod line;
pub(in crate::state) mod restart_state;
mod saved_state;
mod stored;
pub(in crate::state) mod turn_memory;
pub(in crate::state) mod vault;

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use contacts::ContactsFile;
pub(crate) use contacts::FileIdentity;
pub use damaged::{DamagedFile, damaged_files};
pub use error::KeystoreError;
pub use evidence::{Evidence, EvidenceFile, EvidenceFolder};
use file::FolderLock;
pub(crate) use file::{make_folder, make_folder_of, read_private, write_private};
pub use line::{LineFile, SipAccount};
pub use restart_state::RestartFile;
pub use saved_state::SavedStateFile;
pub use turn_memory::TurnMemoryFile;
use vault::Vault;

use crate::blocking::aside;
use crate::state::folder::StateFolder;
use crate::state::secret::Secret;

/// The file of the running engine's page and its key.
pub(crate) const PAGE_KEY: &str = "page-token";

/// Lines of one engine: as many as a small office has phones, few enough that trying each of them on a ring stays cheap.
pub const MOST_LINES: usize = 256;

/// What phones trust and know of this engine, beside passwords: the authority, its certificate, the path of desk phones.
const PHONES_SECRETS: [&str; 3] = ["phones-ca.json", "phones-ca.pem", "provisioning-path"];

/// The file that marks a restored state.
pub(in crate::state) const RESTORED: &str = "restored";

/// The open key store. While it lives, no other engine can open it.
#[derive(Debug)]
pub struct Keystore {
    state: StateFolder,
    _lock: FolderLock,
}

impl Keystore {
    /// Opens the store in `folder`, making the folder when there is none, and locks it. `passphrase` encrypts new lines and opens
    /// old ones.
    ///
    /// # Errors
    /// [`KeystoreError`]: another engine has it, others can read it, the disk refuses.
    pub fn open(folder: &Path, passphrase: Option<Secret>) -> Result<Self, KeystoreError> {
        Self::of(StateFolder::open(folder, passphrase))
    }

    /// As [`Self::open`], of a folder that has its passphrase.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of(state: StateFolder) -> Result<Self, KeystoreError> {
        file::make_state_folder(&state)?;
        let lock = file::lock(&state)?;
        make_folder(&state.join("lines"))?;
        make_folder(&state.join("pending"))?;
        Ok(Self { state, _lock: lock })
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &StateFolder {
        &self.state
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
        once(folder, read_lines(&StateFolder::open(folder, passphrase))?)
    }

    /// The contacts beside these lines, under the same passphrase.
    #[must_use]
    pub fn contacts(&self) -> ContactsFile {
        ContactsFile::new(&self.state, self.vault().clone())
    }

    /// The saved state beside these lines, under the same passphrase.
    #[must_use]
    pub fn saved_state(&self) -> SavedStateFile {
        SavedStateFile::new(&self.state, self.vault().clone())
    }

    /// What a restart must know, beside these lines, under the same passphrase.
    #[must_use]
    pub fn restart(&self) -> RestartFile {
        RestartFile::new(&self.state, self.vault().clone())
    }

    /// What is remembered of TURN servers, beside these lines, under the same passphrase.
    #[must_use]
    pub fn turn_memory(&self) -> TurnMemoryFile {
        TurnMemoryFile::new(&self.state, self.vault().clone())
    }

    /// All lines, by number. With a passphrase the first one takes a moment (Argon2id), the others share its key; and what an earlier
    /// version left readable is sealed then.
    ///
    /// # Errors
    /// [`KeystoreError`] naming the first file that cannot be used: an engine that silently serves fewer lines than it has would
    /// look like calls that never come.
    pub fn lines(&mut self) -> Result<Vec<LineFile>, KeystoreError> {
        let found = read_lines(&self.state)?;
        if self.state.is_sealed() && !found.is_empty() {
            for (path, line) in &found {
                let own = line_path(&self.state, line.number)?;
                if *path != own {
                    self.save(line)?;
                    file::remove(path)?;
                }
            }
            earlier::seal(&self.state)?;
        }
        once(&self.state, found)
    }

    /// Whether this state came out of a backup and its ring keys may be older than those that the phone book lists.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.state.join(RESTORED).exists()
    }

    /// Has the engine renew the ring keys at its next start, as after a restore.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn mark_restored(&mut self) -> Result<(), KeystoreError> {
        write_private(&self.state.join(RESTORED), b"")
    }

    /// Removes the phones' authority and the secret path of desk phones; the engine makes new ones at its next start.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn forget_phones_secrets(&mut self) -> Result<(), KeystoreError> {
        let paths = PHONES_SECRETS.map(|name| self.state.join(name)).into_iter();
        paths
            .filter(|path| path.exists())
            .try_for_each(|path| file::remove(&path))
    }

    /// The ring keys were renewed after a restore.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn settle_restored(&mut self) -> Result<(), KeystoreError> {
        file::remove(&self.state.join(RESTORED))
    }

    /// Writes a line, replacing an older state of it. Either the old or the new file is there, whatever happens meanwhile.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn save(&mut self, line: &LineFile) -> Result<(), KeystoreError> {
        let (path, sealed) = self.sealed(line)?;
        write_private(&path, &sealed)
    }

    /// The same in a thread that may wait for a disk, for a running engine: calls do not.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub(crate) async fn save_aside(&self, line: &LineFile) -> Result<(), KeystoreError> {
        let (path, sealed) = self.sealed(line)?;
        aside(move || write_private(&path, &sealed)).await
    }

    /// A line's file and what is to be in it.
    fn sealed(&self, line: &LineFile) -> Result<(PathBuf, Zeroizing<Vec<u8>>), KeystoreError> {
        let path = line_path(&self.state, line.number)?;
        let sealed = self.vault().seal(&path, &line.to_json())?;
        Ok((path, sealed))
    }

    /// Removes a line whose number was given up. Its keys are gone then.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn remove(&mut self, number: u32) -> Result<(), KeystoreError> {
        file::remove(&line_path(&self.state, number)?)
    }

    /// Keeps the identity of an activation before it is sent, so that the keys are not lost when the answer is. `name` tells
    /// activations apart; it becomes a file name in hexadecimal.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn keep_pending(&mut self, name: &[u8], identity: &[u8]) -> Result<(), KeystoreError> {
        let path = self.pending_path(name)?;
        write_private(&path, &self.vault().seal(&path, identity)?)
    }

    /// The identity of an earlier attempt at the same activation.
    ///
    /// # Errors
    /// [`KeystoreError`] when there is one and it cannot be read.
    pub fn pending(&mut self, name: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, KeystoreError> {
        let path = self.pending_path(name)?;
        if !path.exists() {
            return Ok(None);
        }
        self.vault().open(&path, &read_private(&path)?).map(Some)
    }

    /// Forgets a pending identity, once its line is saved.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn forget_pending(&mut self, name: &[u8]) -> Result<(), KeystoreError> {
        file::remove(&self.pending_path(name)?)
    }

    /// Remembers which number an activation brought.
    ///
    /// # Errors
    /// [`KeystoreError`] when the disk refuses.
    pub fn mark_redeemed(&mut self, name: &[u8], number: u32) -> Result<(), KeystoreError> {
        let path = self.pending_path(name)?.with_extension("done");
        write_private(&path, &self.vault().seal(&path, &number.to_be_bytes())?)
    }

    /// The number that the same activation brought earlier.
    ///
    /// # Errors
    /// [`KeystoreError`] when it was remembered and cannot be read.
    pub fn redeemed(&mut self, name: &[u8]) -> Result<Option<u32>, KeystoreError> {
        let path = self.pending_path(name)?.with_extension("done");
        if !path.exists() {
            return Ok(None);
        }
        let body = self.vault().open(&path, &read_private(&path)?)?;
        let number = body.as_slice().try_into().map(u32::from_be_bytes);
        number
            .map(Some)
            .map_err(|_| KeystoreError::Malformed { path })
    }

    fn vault(&self) -> &Vault {
        self.state.vault()
    }

    fn pending_path(&self, name: &[u8]) -> Result<PathBuf, KeystoreError> {
        let name = self.state.name("pending", &hex::encode(name))?;
        Ok(self.state.join("pending").join(format!("{name}.json")))
    }
}

/// The file of a line.
pub(crate) fn line_path(state: &StateFolder, number: u32) -> Result<PathBuf, KeystoreError> {
    let name = state.name("lines", &number.to_string())?;
    Ok(state.join("lines").join(format!("{name}.json")))
}

/// The lines and their files, by number. Under a passphrase the container is bound to the file's name, so that any name is right: an
/// earlier version named files by their numbers. A line whose file was being renamed is there twice, with the same content.
fn read_lines(state: &StateFolder) -> Result<Vec<(PathBuf, LineFile)>, KeystoreError> {
    let folder = state.join("lines");
    let paths = file::list(&folder)?;
    if paths.len() > 2 * MOST_LINES {
        return Err(KeystoreError::TooManyLines { path: folder });
    }
    let mut lines = Vec::with_capacity(paths.len());
    for path in paths {
        let body = state.vault().open(&path, &read_private(&path)?)?;
        let line = LineFile::from_json(&body)
            .ok_or_else(|| KeystoreError::Malformed { path: path.clone() })?;
        if !state.is_sealed() && path != line_path(state, line.number)? {
            return Err(KeystoreError::Malformed { path });
        }
        lines.push((path, line));
    }
    lines.sort_by_key(|(_, line)| line.number);
    Ok(lines)
}

/// The lines without their files, each once.
fn once(state: &Path, found: Vec<(PathBuf, LineFile)>) -> Result<Vec<LineFile>, KeystoreError> {
    let mut lines: Vec<LineFile> = found.into_iter().map(|(_, line)| line).collect();
    lines.dedup_by_key(|line| line.number);
    if lines.len() > MOST_LINES {
        return Err(KeystoreError::TooManyLines {
            path: state.join("lines"),
        });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store(folder: &Path, passphrase: Option<&str>) -> Result<Keystore, KeystoreError> {
        let passphrase = passphrase.map(|text| Secret::new(text.to_owned()));
        Keystore::of(StateFolder::with(folder, Vault::quick(folder, passphrase)))
    }

    fn line(number: u32) -> LineFile {
        LineFile {
            number,
            identity: Zeroizing::new(vec![7; 80]),
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
    fn with_a_passphrase_neither_content_nor_name_of_a_lines_file_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path(), Some("correct horse"));
        for path in every_file(folder.path()) {
            let bytes = std::fs::read(&path).unwrap();
            let name = path.strip_prefix(folder.path()).unwrap();
            let text = format!("{} {}", String::from_utf8_lossy(&bytes), name.display());
            for word in ["swordfish", "book.example", "Desk", "20001"] {
                assert!(!text.contains(word), "{word} in {}", path.display());
            }
        }
    }

    #[test]
    fn a_wrong_missing_or_needless_passphrase_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path(), Some("correct horse"));
        let path = file::list(&folder.path().join("lines")).unwrap().remove(0);
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
