//! The answers of a setup that is not finished, in a file beside the settings that only its owner may read. An interrupted setup offers them
//! again; a finished one removes the file.
//!
//! It holds what was typed, but for passphrases: also the activation code, with which a reader of the file takes the number until it is
//! redeemed, and the secret of TURN servers, which is in the settings afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::state::keystore::{KeystoreError, make_folder_of, write_private};

/// What was answered, by the option that it stands for.
#[derive(Debug)]
pub(super) struct Answers {
    file: PathBuf,
    known: BTreeMap<String, String>,
}

impl Answers {
    /// Those of an earlier setup with these settings, if one was interrupted.
    pub(super) fn of(settings: &Path) -> Self {
        let mut file = settings.as_os_str().to_owned();
        file.push(".answers");
        let file = PathBuf::from(file);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Self {
            known: toml::from_str(&text).unwrap_or_default(),
            file,
        }
    }

    pub(super) fn get(&self, option: &str) -> Option<String> {
        self.known.get(option).cloned()
    }

    /// Keeps an answer.
    pub(super) fn keep(&mut self, option: &str, answer: &str) -> Result<(), KeystoreError> {
        self.known.insert(option.to_owned(), answer.to_owned());
        make_folder_of(&self.file)?;
        let table: toml::Table = self
            .known
            .iter()
            .map(|(option, answer)| (option.clone(), answer.clone().into()))
            .collect();
        write_private(&self.file, table.to_string().as_bytes())
    }

    /// Takes one back that was of no use.
    pub(super) fn forget(&mut self, option: &str) {
        self.known.remove(option);
    }

    /// The setup is finished.
    pub(super) fn remove(&mut self) {
        self.known.clear();
        std::fs::remove_file(&self.file).ok();
    }
}
