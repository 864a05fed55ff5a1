//! What the engine remembers of TURN servers at rest: the phone book's logins, so that an engine that restarts while the book is
//! away can still call, and the order of the servers. One file, sealed like a line's, with JSON in it.
//!
//! Only a running engine writes it: after a delivery, and when a login is used for the first time on a network and day. A file that
//! cannot be read is no reason not to start: the phone book gives new logins. No backup takes it: another machine has logins of
//! its own.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::saved_state::{read_text, write_text};
use super::stored::{self, Versioned, read_stored, write_stored};
use super::vault::Vault;
use super::{KeystoreError, file};
use crate::state::secret::Secret;
use crate::turn::credentials::{KeptLogin, MOST_SERVERS, TurnMemory};

/// The file's name in the state folder.
pub(in crate::state) const FILE: &str = "turn.json";

/// Largest file: the most logins of the most servers, some 200 bytes each.
const MOST_BYTES: u64 = 1024 * 1024;

/// Logins of one server, some more than an engine keeps.
const MOST_LOGINS: usize = 128 * MOST_SERVERS;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    order: Vec<String>,
    logins: Vec<StoredLogin>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLogin {
    server: String,
    user: String,
    #[serde(serialize_with = "write_text", deserialize_with = "read_text")]
    password: Zeroizing<String>,
    expires: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<(u64, IpAddr)>,
}

impl Versioned for Stored {
    fn version(&self) -> u32 {
        self.version
    }
}

/// The file of what is remembered of TURN servers.
#[derive(Debug)]
pub struct TurnMemoryFile {
    path: PathBuf,
    vault: Vault,
}

impl TurnMemoryFile {
    pub(super) fn new(state: &Path, vault: Vault) -> Self {
        Self {
            path: state.join(FILE),
            vault,
        }
    }

    /// What the process before this one remembered; nothing when there is no file, or a damaged one, which the next change replaces.
    pub(crate) fn read(&mut self) -> TurnMemory {
        file::remove_leftovers(&self.path);
        if !self.path.exists() {
            return TurnMemory::default();
        }
        let stored = read_stored(&self.path, MOST_BYTES, &self.vault);
        match stored.map(Stored::read) {
            Ok(Some(memory)) => return memory,
            Ok(None) => tracing::warn!("the file of TURN logins holds too many, and is replaced"),
            Err(error) => tracing::warn!(
                "the file of TURN logins cannot be read and is replaced, so that new ones are fetched: {}",
                error.unnamed()
            ),
        }
        TurnMemory::default()
    }

    /// Replaces what was saved.
    ///
    /// # Errors
    /// [`KeystoreError`]; the file is as it was.
    pub(crate) fn write(&mut self, memory: &TurnMemory) -> Result<(), KeystoreError> {
        let logins = memory.logins.iter().map(|login| StoredLogin {
            server: login.server.clone(),
            user: login.user.clone(),
            password: Zeroizing::new(login.password.expose().to_owned()),
            expires: login.expires,
            used: login.used,
        });
        let stored = Stored {
            version: stored::VERSION,
            order: memory.order.clone(),
            logins: logins.collect(),
        };
        write_stored(&self.path, stored, &self.vault)
    }
}

impl Stored {
    /// `None` when there is more than an engine writes.
    fn read(self) -> Option<TurnMemory> {
        if self.logins.len() > MOST_LOGINS {
            return None;
        }
        let logins = self.logins.into_iter().map(|login| KeptLogin {
            server: login.server,
            user: login.user,
            password: Secret::new(login.password.to_string()),
            expires: login.expires,
            used: login.used,
        });
        Some(TurnMemory {
            order: self.order,
            logins: logins.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> TurnMemory {
        let login = |user: &str, used| KeptLogin {
            server: "turn.example.org".to_owned(),
            user: user.to_owned(),
            password: Secret::new("swordfish".to_owned()),
            expires: 1_800_000_000,
            used,
        };
        TurnMemory {
            order: vec!["turn.example.org".to_owned(), "192.0.2.7".to_owned()],
            logins: vec![
                login(
                    "1800000000:1",
                    Some((20_785, "192.168.1.5".parse().unwrap())),
                ),
                login("1800000000:2", None),
            ],
        }
    }

    #[test]
    fn what_is_remembered_comes_back_and_is_sealed_under_a_passphrase() {
        for passphrase in [None, Some(Secret::new("open sesame".to_owned()))] {
            let folder = tempfile::tempdir().unwrap();
            let file = || {
                TurnMemoryFile::new(
                    folder.path(),
                    Vault::quick(folder.path(), passphrase.clone()),
                )
            };
            assert_eq!(file().read(), TurnMemory::default());
            file().write(&memory()).unwrap();
            assert_eq!(file().read(), memory());
            let bytes = std::fs::read(folder.path().join(FILE)).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for word in ["swordfish", "example.org", "192.168", "18000"] {
                assert!(!text.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn a_damaged_file_is_no_reason_not_to_start_and_the_next_change_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut file = TurnMemoryFile::new(folder.path(), Vault::quick(folder.path(), None));
        file.write(&memory()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(file.read(), TurnMemory::default(), "cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            std::fs::write(&path, &flipped).unwrap();
            drop(file.read());
        }
        file.write(&memory()).unwrap();
        assert_eq!(file.read(), memory());
    }
}
