//! Damaged files. A disk, a crash of the machine or a hand with an editor can leave a file that no engine has written.
//!
//! The engine starts without its contacts or its saved state rather than not at all: phones work, and what is lost is said in the log,
//! in the status and by the doctor, for as long as the damaged file lies beside under a name of its own. A damaged line is not set
//! aside: an engine that serves fewer lines than it has would look like calls that never come.
//!
//! What this opens to an attacker: a program that can damage `contacts.json` makes the engine forget pinned keys. Removing the file does the
//! same, without a warning; both need the right to write to the state folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{KeystoreError, file};

/// Damaged files of one name that are kept. The first ones tell most; when there are so many, a further one is removed.
const MOST_KEPT: u32 = 4;

/// How their names end. Backups leave them out.
pub(in crate::state) const ENDING: &str = "damaged";

/// A file without which the engine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum ReplaceableFile {
    /// The contacts with their pinned keys.
    Contacts,
    /// Texts, calls and the settings of lines.
    SavedState,
}

/// A damaged file that lies beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the loss lets a forged key pass.
    pub is_grave: bool,
    /// What is lost.
    pub what: &'static str,
    /// What to do.
    pub remedy: String,
}

impl ReplaceableFile {
    const ALL: [Self; 2] = [Self::Contacts, Self::SavedState];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Contacts => "contacts.json",
            Self::SavedState => "ledger.json",
        }
    }

    pub(super) const fn loss(self) -> &'static str {
        match self {
            Self::Contacts => {
                "The file of the contacts (contacts.json) was damaged: their names and pinned keys are lost, and the next answered call with a number pins whatever key the phone book lists."
            }
            Self::SavedState => {
                "The file of calls and texts (ledger.json) was damaged: the call history, waiting texts, blocked numbers and do-not-disturb are lost, and texts of the last seven days may be shown once more."
            }
        }
    }

    /// What to do, without a path.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Contacts => {
                "Restore a backup (ringfence restore FILE --replace). Without one, compare safety numbers again before you rely on a number"
            }
            Self::SavedState => {
                "Restore a backup (ringfence restore FILE --replace). Without one, block numbers again"
            }
        }
    }
}

/// The damaged files of a state folder, in the order in which they were set aside.
#[must_use]
pub fn damaged_files(state: &Path) -> Vec<DamagedFile> {
    let kept = ReplaceableFile::ALL.into_iter().flat_map(|file| {
        let path = state.join(file.name());
        (1..=MOST_KEPT).map(move |count| (file, aside(&path, count)))
    });
    kept.filter(|(_, path)| path.exists())
        .map(|(file, path)| DamagedFile {
            is_grave: file == ReplaceableFile::Contacts,
            what: file.loss(),
            remedy: format!(
                "{}; then delete {} in the state folder.",
                file.remedy(),
                path.file_name().unwrap_or_default().display()
            ),
            path,
        })
        .collect()
}

/// What to do about a damaged file that is not set aside.
pub(super) fn remedy(path: &Path) -> &'static str {
    let folder = path.parent().and_then(Path::file_name);
    let is_in = |name: &str| folder.is_some_and(|folder| folder == name);
    if ReplaceableFile::ALL
        .iter()
        .any(|file| path.ends_with(file.name()))
    {
        "restore a backup (ringfence restore FILE --replace), or start the engine: it sets the file aside and says what is lost"
    } else if is_in("lines") {
        "restore a backup (ringfence restore FILE --replace); only without one is the line lost: then move the file away and ask the phone book's operator for a new activation code"
    } else {
        "move the file away and try again"
    }
}

/// What was read; in place of a damaged file, which is set aside, the content of an engine that is new.
pub(super) fn or_set_aside<T: Default>(
    path: &Path,
    file: ReplaceableFile,
    read: Result<T, KeystoreError>,
) -> Result<T, KeystoreError> {
    match read {
        Err(KeystoreError::Malformed { .. }) => {
            set_aside(path)?;
            tracing::error!("{} To do: {}.", file.loss(), file.remedy());
            Ok(T::default())
        }
        read => read,
    }
}

/// Gives a file a name under which nothing is overwritten. The caller holds the state folder's lock.
fn set_aside(path: &Path) -> Result<(), KeystoreError> {
    let mut names = (1..=MOST_KEPT).map(|count| aside(path, count));
    match names.find(|name| !name.exists()) {
        Some(name) => file::rename(path, &name),
        None => file::remove(path),
    }
}

fn aside(path: &Path, count: u32) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".{count}.{ENDING}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringfence_book::Number;
    use ringfence_engine::line::saved_state::{LineSettings, SavedState};
    use ringfence_engine::trust::contacts::Contacts;

    use super::*;
    use crate::state::keystore::vault::Vault;
    use crate::state::keystore::{ContactsFile, SavedStateFile, write_private};
    use crate::state::secret::Secret;

    fn vault(folder: &Path, passphrase: bool) -> Vault {
        Vault::quick(
            folder,
            passphrase.then(|| Secret::new("correct horse".to_owned())),
        )
    }

    fn saved() -> SavedState {
        let mut saved = SavedState::default();
        let settings = LineSettings {
            do_not_disturb: true,
            contacts_only: true,
            blocked: vec![Number::new(20_009)],
        };
        saved.settings.insert(Number::new(20_001), settings);
        saved
    }

    fn damage(path: &Path) -> Vec<u8> {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, &bytes).unwrap();
        bytes
    }

    #[test]
    fn a_damaged_file_is_kept_beside_under_a_name_of_its_own_and_said_with_a_remedy() {
        for passphrase in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut saved_state =
                SavedStateFile::new(folder.path(), vault(folder.path(), passphrase));
            let mut kept = Vec::new();
            for _ in 0..MOST_KEPT + 2 {
                saved_state.write(&saved()).unwrap();
                kept.push(damage(&folder.path().join("ledger.json")));
                assert!(saved_state.read().is_err());
                assert_eq!(
                    saved_state.read_or_set_aside().unwrap(),
                    SavedState::default()
                );
                assert_eq!(saved_state.read().unwrap(), SavedState::default());
            }
            let listed = damaged_files(folder.path());
            assert_eq!(listed.len(), 4);
            for (file, bytes) in listed.iter().zip(kept) {
                assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
                assert!(file.what.contains("blocked numbers") && !file.is_grave);
                assert!(file.remedy.contains("restore FILE"), "{}", file.remedy);
                assert!(!file.remedy.contains("activation code"));
            }
        }
    }

    #[test]
    fn without_its_contacts_an_engine_starts_with_a_grave_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contacts.json");
        write_private(&path, b"not what an engine writes").unwrap();
        let mut contacts = ContactsFile::new(folder.path(), vault(folder.path(), false));
        let error = contacts.read().unwrap_err();
        assert!(error.remedy().contains("start the engine"), "{error}");
        assert!(contacts.read_or_set_aside().unwrap() == Contacts::default());
        let listed = damaged_files(folder.path());
        assert!(listed[0].is_grave && listed[0].what.contains("pinned keys"));
        assert_eq!(
            listed[0].path,
            folder.path().join("contacts.json.1.damaged")
        );
    }

    #[test]
    fn a_wrong_passphrase_a_later_format_and_an_open_file_are_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let mut right = SavedStateFile::new(folder.path(), vault(folder.path(), true));
        right.write(&saved()).unwrap();
        let path = folder.path().join("ledger.json");
        let refused = |vault| SavedStateFile::new(folder.path(), vault).read_or_set_aside();
        let wrong = Vault::quick(folder.path(), Some(Secret::new("battery".to_owned())));
        let error = KeystoreError::WrongPassphrase { path: path.clone() };
        assert_eq!(refused(wrong), Err(error));
        let error = KeystoreError::PassphraseNeeded { path: path.clone() };
        assert_eq!(refused(vault(folder.path(), false)), Err(error));
        write_private(&path, br#"{"format":"ringfence-line-2","more":1}"#).unwrap();
        let error = KeystoreError::NewerFormat { path: path.clone() };
        assert_eq!(refused(vault(folder.path(), true)), Err(error));
        assert!(damaged_files(folder.path()).is_empty() && path.exists());
    }

    #[test]
    fn only_a_line_that_no_backup_has_needs_a_new_code() {
        let remedy = |path: &str| remedy(Path::new(path));
        let line = remedy("/s/lines/20001.json");
        assert!(line.starts_with("restore a backup"), "{line}");
        assert!(line.contains("activation code"), "{line}");
        for path in ["/s/contacts.json", "/s/ledger.json", "/s/page-token"] {
            assert!(!remedy(path).contains("activation code"), "{path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_in_the_file_the_engine_starts(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ledger.json");
            write_private(&path, &bytes).unwrap();
            let read = SavedStateFile::new(folder.path(), vault(folder.path(), false)).read_or_set_aside();
            prop_assert_eq!(read.unwrap(), SavedState::default());
            prop_assert_eq!(std::fs::read(folder.path().join("ledger.json.1.damaged")).unwrap(), bytes);
        }
    }
}
