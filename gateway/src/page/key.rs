//! The key of the user's page: 256 random bits, other ones at every start. `ringfence run` prints it within the page's address, and
//! puts that into a file that only this user can read, so that commands beside the engine find page and key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rand::Rng;

use crate::state::keystore::{KeystoreError, read_private, write_private};
use crate::state::secret::Secret;

/// Where a running engine's page is, and what opens it.
#[derive(Clone, Debug)]
pub struct Key {
    /// The page.
    pub address: SocketAddr,
    /// Goes into the query of the first address that a browser opens, or behind `Authorization: Bearer`.
    pub token: Secret,
}

impl Key {
    /// A new one for a page.
    #[must_use]
    pub fn draw(address: SocketAddr) -> Self {
        Self {
            address,
            token: draw(),
        }
    }

    /// The key of the engine that runs on this state folder; `None` if none runs, or its page is turned off.
    ///
    /// # Errors
    /// [`KeystoreError`]: the file is open to others, or the disk refuses.
    pub fn read(state: &Path) -> Result<Option<Self>, KeystoreError> {
        let path = file(state);
        if !path.exists() {
            return Ok(None);
        }
        let text = read_private(&path)?;
        let found = str::from_utf8(&text).ok().and_then(Self::parse);
        found.map(Some).ok_or(KeystoreError::Malformed { path })
    }

    /// Puts it where [`Self::read`] finds it.
    pub(super) fn write(&self, state: &Path) -> Result<(), KeystoreError> {
        write_private(
            &file(state),
            format!("{}\n", self.url().expose()).as_bytes(),
        )
    }

    /// The address that opens the page, once.
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

/// The secret part of the path below which desk phones find their settings: drawn once, since phones keep it.
pub(super) fn lasting(state: &Path) -> Result<Secret, KeystoreError> {
    let path = state.join("provisioning-path");
    if !path.exists() {
        let fresh = draw();
        write_private(&path, fresh.expose().as_bytes())?;
        return Ok(fresh);
    }
    let text = read_private(&path)?;
    let found = str::from_utf8(&text).ok().filter(|text| text.len() == 64);
    let found = found.map(|text| Secret::new(text.to_owned()));
    found.ok_or(KeystoreError::Malformed { path })
}

/// 256 random bits in hexadecimal.
pub(crate) fn draw() -> Secret {
    let mut bits = [0; 32];
    rand::rng().fill_bytes(&mut bits);
    Secret::new(hex::encode(bits))
}

/// The file of the key.
#[must_use]
pub fn file(state: &Path) -> PathBuf {
    state.join("page-token")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Key::read(folder.path()).unwrap().is_none());
        let key = Key::draw(([127, 0, 0, 1], 5080).into());
        key.write(folder.path()).unwrap();
        let mode = std::fs::metadata(file(folder.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Key::read(folder.path()).unwrap().unwrap();
        assert_eq!((read.address, &read.token), (key.address, &key.token));
        assert_eq!(read.token.expose().len(), 64);
        assert!(!format!("{read:?}").contains(read.token.expose()));
        std::fs::write(file(folder.path()), "http://evil").unwrap();
        assert!(matches!(
            Key::read(folder.path()),
            Err(KeystoreError::Malformed { .. })
        ));
    }
}
