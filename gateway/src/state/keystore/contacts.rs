//! The contacts at rest: one file, sealed like a line's, with JSON in it.
//!
//! A running engine and commands share the file without exchanging messages: a writer holds a lock while it reads, changes and
//! replaces the file in one step; a reader finds a complete file at any time. The engine looks
//! every few seconds whether the file has been replaced. There is no socket and no protocol that another program could use, and the
//! commands work alike whether or not an engine runs.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_book::{Day, IdentityKey, Number};
use ringfence_engine::trust::contacts::{Contact, Contacts, OtherKey, ShownBy};
use serde::{Deserialize, Serialize};

use super::damaged::{DamagedFile, ReplaceableFile, damaged_files, or_set_aside};
use super::stored::{self, Versioned, read_stored, write_stored};
use super::vault::Vault;
use super::{KeystoreError, file};
use crate::state::secret::Secret;

/// Largest file: 4,096 contacts with the longest names, twice in base64, have 3 MB.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    contacts: Vec<StoredContact>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredContact {
    number: u32,
    identity: String,
    since: Day,
    verified: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other: Option<StoredKey>,
    /// Own lines whose presence the contact sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sees: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    identity: String,
    since: Day,
    shown_by: StoredPlace,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredPlace {
    Book,
    Ring,
}

impl Versioned for Stored {
    fn version(&self) -> u32 {
        self.version
    }
}

/// Tells a file from the one that replaced it: that has another inode, or at least another time or length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    inode: u64,
    modified: (i64, i64),
    length: u64,
}

/// The file of the contacts.
#[derive(Debug)]
pub struct ContactsFile {
    path: PathBuf,
    vault: Vault,
}

impl ContactsFile {
    /// The contacts in this state folder.
    #[must_use]
    pub fn open(state: &Path, passphrase: Option<Secret>) -> Self {
        Self::new(state, Vault::new(state, passphrase))
    }

    pub(super) fn new(state: &Path, vault: Vault) -> Self {
        Self {
            path: state.join(ReplaceableFile::Contacts.name()),
            vault,
        }
    }

    /// The contacts on the disk; none without a file.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn read(&mut self) -> Result<Contacts, KeystoreError> {
        if !self.path.exists() {
            return Ok(Contacts::default());
        }
        let stored: Stored = read_stored(&self.path, MOST_BYTES, &self.vault)?;
        let malformed = || KeystoreError::Malformed {
            path: self.path.clone(),
        };
        let mut contacts = Contacts::default();
        for stored in stored.contacts {
            let room = stored
                .read()
                .is_some_and(|contact| contacts.insert(contact));
            if !room {
                return Err(malformed());
            }
        }
        Ok(contacts)
    }

    /// As [`Self::read`], for the start of an engine: a damaged file is set aside, and the contacts are empty.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub(in crate::state) fn read_or_set_aside(&mut self) -> Result<Contacts, KeystoreError> {
        let read = self.read();
        or_set_aside(&self.path, ReplaceableFile::Contacts, read)
    }

    /// Reads the contacts, applies `change`, and writes them if they differ. Waits while another program does the same.
    ///
    /// # Errors
    /// [`KeystoreError`]; the file is as it was.
    pub fn edit<T>(
        &mut self,
        change: impl FnOnce(&mut Contacts) -> T,
    ) -> Result<(Contacts, T), KeystoreError> {
        self.edit_from(None, change)
    }

    /// As [`Self::edit`], by an engine that knows the contacts: they replace a damaged file, so that nothing is lost.
    ///
    /// # Errors
    /// [`KeystoreError`]; the file is as it was.
    pub(in crate::state) fn edit_from<T>(
        &mut self,
        known: Option<&Contacts>,
        change: impl FnOnce(&mut Contacts) -> T,
    ) -> Result<(Contacts, T), KeystoreError> {
        let _lock: File = file::wait_for_lock(&self.path.with_extension("lock"))?;
        let (mut contacts, on_disk) = match (self.read(), known) {
            (Err(KeystoreError::Malformed { .. }), Some(known)) => (known.clone(), None),
            (read, _) => {
                let contacts = read?;
                (contacts.clone(), Some(contacts))
            }
        };
        if on_disk.is_none() {
            tracing::warn!(
                "the file of the contacts was damaged, and is written anew: nothing is lost. To do: check the disk"
            );
        }
        let outcome = change(&mut contacts);
        if on_disk.is_none_or(|on_disk| on_disk != contacts) {
            self.write(&contacts)?;
        }
        Ok((contacts, outcome))
    }

    /// The damaged files beside this one, the first one of each kind.
    pub(in crate::state) fn damaged_beside(&self) -> Vec<DamagedFile> {
        let mut files = damaged_files(file::folder_of(&self.path));
        files.dedup_by_key(|file| file.is_grave);
        files
    }

    /// Which file is on the disk now.
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some(FileIdentity {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            length: metadata.len(),
        })
    }

    fn write(&mut self, contacts: &Contacts) -> Result<(), KeystoreError> {
        let stored = Stored {
            version: stored::VERSION,
            contacts: contacts.iter().map(StoredContact::of).collect(),
        };
        write_stored(&self.path, stored, &self.vault)
    }
}

impl StoredContact {
    fn of(contact: &Contact) -> Self {
        Self {
            number: contact.number.value(),
            identity: STANDARD.encode(contact.identity.as_bytes()),
            since: contact.since,
            verified: contact.verified,
            name: contact.name.clone(),
            other: contact.other.map(|other| StoredKey {
                identity: STANDARD.encode(other.identity.as_bytes()),
                since: other.since,
                shown_by: match other.shown_by {
                    ShownBy::Book => StoredPlace::Book,
                    ShownBy::Ring => StoredPlace::Ring,
                },
            }),
            sees: contact.sees.iter().map(|line| line.value()).collect(),
        }
    }

    fn read(self) -> Option<Contact> {
        let other = match self.other {
            None => None,
            Some(other) => Some(OtherKey {
                identity: key(&other.identity)?,
                since: other.since,
                shown_by: match other.shown_by {
                    StoredPlace::Book => ShownBy::Book,
                    StoredPlace::Ring => ShownBy::Ring,
                },
            }),
        };
        Some(Contact {
            number: Number::new(self.number),
            identity: key(&self.identity)?,
            since: self.since,
            verified: self.verified,
            name: self.name,
            other,
            sees: self.sees.into_iter().map(Number::new).collect(),
        })
    }
}

fn key(text: &str) -> Option<IdentityKey> {
    let bytes = STANDARD.decode(text).ok()?;
    IdentityKey::from_bytes(bytes.as_slice().try_into().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use ringfence_engine::line::identity::Identity;
    use ringfence_engine::trust::contacts::ContactUpdate;

    use super::*;

    const NUMBER: Number = Number::new(20_001);

    fn key_of(seed: u8) -> IdentityKey {
        use rand_chacha::rand_core::SeedableRng;
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([seed; 32]);
        Identity::generate(&mut rng).key()
    }

    fn contacts(folder: &Path, passphrase: Option<&str>) -> ContactsFile {
        let passphrase = passphrase.map(|text| Secret::new(text.to_owned()));
        ContactsFile::new(folder, Vault::quick(folder, passphrase))
    }

    fn pin(contacts: &mut Contacts) {
        contacts.learn(&ContactUpdate::Pin {
            number: NUMBER,
            identity: key_of(1),
            day: Day::new(7),
        });
        contacts.learn(&ContactUpdate::Other {
            number: NUMBER,
            key: OtherKey {
                identity: key_of(2),
                since: Day::new(8),
                shown_by: ShownBy::Ring,
            },
        });
        contacts.name(NUMBER, "Bob").unwrap();
        contacts.share(NUMBER, Number::new(30_000)).unwrap();
    }

    #[test]
    fn contacts_come_back_with_and_without_a_passphrase() {
        for passphrase in [None, Some("correct horse")] {
            let folder = tempfile::tempdir().unwrap();
            let mut file = contacts(folder.path(), passphrase);
            assert_eq!(file.read().unwrap(), Contacts::default());
            let (saved, ()) = file.edit(pin).unwrap();
            assert_eq!(contacts(folder.path(), passphrase).read().unwrap(), saved);
            assert_eq!(saved.iter().count(), 1);
        }
    }

    #[test]
    fn with_a_passphrase_the_contacts_file_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        contacts(folder.path(), Some("correct horse"))
            .edit(pin)
            .unwrap();
        let text = std::fs::read_to_string(folder.path().join("contacts.json")).unwrap();
        for word in ["20001", "Bob"] {
            assert!(!text.contains(word) && !text.contains(&STANDARD.encode(word)));
        }
        let fault = contacts(folder.path(), Some("battery")).read().unwrap_err();
        assert!(matches!(fault, KeystoreError::WrongPassphrase { .. }));
        let fault = contacts(folder.path(), None).read().unwrap_err();
        assert!(matches!(fault, KeystoreError::PassphraseNeeded { .. }));
    }

    #[test]
    fn an_edit_that_changes_nothing_writes_nothing_and_every_other_is_another_identity() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = contacts(folder.path(), None);
        assert_eq!(file.identity(), None);
        file.edit(pin).unwrap();
        let first = file.identity();
        file.edit(|_| ()).unwrap();
        assert_eq!(file.identity(), first);
        file.edit(|contacts| contacts.verify(NUMBER).unwrap())
            .unwrap();
        assert_ne!(file.identity(), first);
    }

    #[test]
    fn two_who_edit_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::thread::scope(|scope| {
            for at in 0..4 {
                scope.spawn(move || {
                    for step in 0..10 {
                        let learnt = ContactUpdate::Pin {
                            number: Number::new(at * 100 + step),
                            identity: key_of(1),
                            day: Day::new(1),
                        };
                        contacts(path, None)
                            .edit(|contacts| contacts.learn(&learnt))
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(contacts(path, None).read().unwrap().iter().count(), 40);
    }

    #[test]
    fn a_later_version_is_told_from_a_damaged_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = contacts(folder.path(), None);
        let path = file.path.clone();
        let mut put = |json: &str| {
            let sealed = file.vault.seal(&path, json.as_bytes()).unwrap();
            file::write_private(&path, &sealed).unwrap();
            file.read().unwrap_err()
        };
        let later = put(r#"{"version":2,"contacts":[]}"#);
        assert_eq!(later, KeystoreError::NewerFormat { path: path.clone() });
        let malformed = KeystoreError::Malformed { path: path.clone() };
        for json in [
            "",
            "[]",
            r#"{"version":1,"contacts":[{"number":1,"identity":"AA==","since":1,"verified":false}]}"#,
        ] {
            assert_eq!(put(json), malformed);
        }
    }
}
