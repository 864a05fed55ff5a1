//! The key of the user's page: 256 random bits, drawn at every start. `ringfence run` prints it as part of the page's URL to a terminal
//! and writes that to a file that only this user can read, sealed if there is a passphrase, from which other commands learn address and
//! key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::state::folder::StateFolder;
use crate::state::keystore::{KeystoreError, PAGE_KEY};
use crate::state::secret::Secret;

/// A URL with 64 digits, and room.
const MOST_BYTES: u64 = 1_024;

/// The address of a running engine's page, and the key that opens it.
#[derive(Clone, Debug)]
pub struct PageKey {
    /// The page.
    pub address: SocketAddr,
    /// Sent in the query of the first URL that a browser opens, or in `Authorization: Bearer`.
    pub token: Secret,
}

impl PageKey {
    /// Draws a key for a page.
    #[must_use]
    pub fn draw(address: SocketAddr) -> Self {
        Self {
            address,
            token: Secret::random(),
        }
    }

    /// The key of the engine that runs on this state folder; `None` if none runs, or its page is turned off.
    ///
    /// # Errors
    /// [`KeystoreError`]: the file is open to others, or the disk refuses.
    pub fn read(state: impl Into<StateFolder>) -> Result<Option<Self>, KeystoreError> {
        let state = state.into();
        let path = file(&state);
        let Some(text) = state.read(Path::new(PAGE_KEY), MOST_BYTES)? else {
            return Ok(None);
        };
        let found = str::from_utf8(&text).ok().and_then(Self::parse);
        found.map(Some).ok_or(KeystoreError::Malformed { path })
    }

    /// Writes the key to where [`Self::read`] finds it.
    pub(super) fn write(&self, state: &StateFolder) -> Result<(), KeystoreError> {
        let line = Secret::new(format!("{}\n", self.url().expose()));
        state.write(Path::new(PAGE_KEY), line.expose().as_bytes())
    }

    /// The URL that opens the page.
    #[must_use]
    pub fn url(&self) -> Secret {
        Secret::new(format!(
            "http://{}/?token={}",
            self.address,
            self.token.expose()
        ))
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, token) = text
            .trim_end()
            .strip_prefix("http://")?
            .split_once("/?token=")?;
        Some(Self {
            address: address.parse().ok()?,
            token: Secret::new(token.to_owned()),
        })
    }
}

/// The file of the key.
#[must_use]
pub fn file(state: &Path) -> PathBuf {
    state.join(PAGE_KEY)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_only_by_its_user() {
        let folder = tempfile::tempdir().unwrap();
        assert!(PageKey::read(folder.path()).unwrap().is_none());
        let key = PageKey::draw(([127, 0, 0, 1], 5080).into());
        key.write(&folder.path().into()).unwrap();
        let mode = std::fs::metadata(file(folder.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = PageKey::read(folder.path()).unwrap().unwrap();
        assert_eq!((read.address, &read.token), (key.address, &key.token));
        assert_eq!(read.token.expose().len(), 64);
        assert!(!format!("{read:?}").contains(read.token.expose()));
        std::fs::write(file(folder.path()), "http://evil").unwrap();
        assert!(matches!(
            PageKey::read(folder.path()),
            Err(KeystoreError::Malformed { .. })
        ));
    }
}
