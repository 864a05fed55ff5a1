//! The TURN secret of a community box: drawn on the first start, kept in a file beside the database, read on every later one, so that
//! credentials outlive a restart.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rand::TryRng;
use rand::rngs::SysRng;
use ringfence_book::turn_credentials::TurnSecret;
use zeroize::Zeroizing;

/// Random bytes of a secret, written in hexadecimal.
const BYTES: usize = 32;

/// Draws a secret.
pub(crate) fn draw() -> io::Result<TurnSecret> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    SysRng
        .try_fill_bytes(&mut *bytes)
        .map_err(|_| io::Error::other("the system's random source failed"))?;
    Ok(TurnSecret::new(hex::encode(*bytes)))
}

/// Reads the secret, or draws and keeps one.
pub(crate) fn keep(file: &Path) -> io::Result<TurnSecret> {
    match fs::read_to_string(file) {
        Ok(text) => read(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let secret = draw()?;
            match private(file) {
                Ok(mut new) => {
                    new.write_all(secret.text().as_bytes())?;
                    new.sync_all()?;
                    Ok(secret)
                }
                // Another process was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    read(&fs::read_to_string(file)?)
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn read(text: &str) -> io::Result<TurnSecret> {
    let text = text.trim();
    if text.len() == 2 * BYTES && text.bytes().all(|letter| letter.is_ascii_hexdigit()) {
        Ok(TurnSecret::new(text.to_owned()))
    } else {
        Err(io::Error::new(
            ErrorKind::InvalidData,
            "it does not hold a TURN secret; delete it to have a new one drawn",
        ))
    }
}

fn private(file: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_drawn_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("phonebook.sqlite.turn-secret");
        let first = keep(&file).unwrap();
        assert_eq!(keep(&file).unwrap(), first);
        assert_ne!(draw().unwrap(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(&file, "hello").unwrap();
        assert!(keep(&file).unwrap_err().to_string().contains("delete it"));
    }
}
