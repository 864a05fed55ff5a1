//! Where the passphrase of the keys comes from: the environment, the service manager, or the terminal.

use std::io::ErrorKind;
use std::path::Path;

use zeroize::Zeroizing;

use super::CommandError;
use crate::state::keystore::Keystore;
use crate::state::secret::Secret;

/// The name of the service manager's credential (systemd: `LoadCredential=ringfence.passphrase`).
const CREDENTIAL: &str = "ringfence.passphrase";

/// How often a passphrase that opens nothing is asked for again: a slip of the finger ends in another try, not in the shell, where the
/// next try would be kept as a command.
const TRIES: usize = 3;

/// The passphrase of the keys in a state folder, if they have one. `new`: keys without one are to be encrypted, and the user types it
/// twice.
pub(super) fn find(state: &Path, new: bool) -> Result<Option<Secret>, CommandError> {
    let encrypted = Keystore::is_encrypted(state)?;
    if let Some(secret) = given()? {
        return Ok(Some(secret));
    }
    if encrypted {
        return ask_until("Passphrase of the keys: ", |secret| {
            Keystore::look(state, Some(secret.clone()))?;
            Ok(secret)
        });
    }
    if new { ask_twice().map(Some) } else { Ok(None) }
}

/// The passphrase of the environment or the service manager.
pub(super) fn given() -> Result<Option<Secret>, CommandError> {
    if let Ok(text) = std::env::var("RINGFENCE_PASSPHRASE")
        && !text.is_empty()
    {
        return Ok(Some(Secret::new(text)));
    }
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(folder) => credential(Path::new(&folder)),
        None => Ok(None),
    }
}

/// Asks until `open` accepts what was typed, a few times. `None` when there is no terminal to ask at.
pub(super) fn ask_until<T>(
    question: &str,
    mut open: impl FnMut(Secret) -> Result<T, CommandError>,
) -> Result<Option<T>, CommandError> {
    for _ in 1..TRIES {
        let Some(secret) = ask(question) else {
            return Ok(None);
        };
        match open(secret) {
            Err(error) if error.is_wrong_passphrase() => complain(),
            outcome => return outcome.map(Some),
        }
    }
    ask(question).map(open).transpose()
}

#[expect(clippy::print_stderr, reason = "the answer to what was typed")]
fn complain() {
    eprintln!("This is not the passphrase. Try again.");
}

/// The service manager's credential without its final line break; `None` if there is none or it is empty.
fn credential(folder: &Path) -> Result<Option<Secret>, CommandError> {
    match std::fs::read_to_string(folder.join(CREDENTIAL)).map(Zeroizing::new) {
        Ok(text) => {
            let text = text.trim_end_matches(['\r', '\n']);
            Ok((!text.is_empty()).then(|| Secret::new(text.to_owned())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::Credential(error.kind())),
    }
}

/// `None` when there is no terminal to ask at.
pub(super) fn ask(question: &str) -> Option<Secret> {
    rpassword::prompt_password(question).ok().map(Secret::new)
}

pub(super) fn ask_twice() -> Result<Secret, CommandError> {
    let first = ask("New passphrase: ")
        .filter(|text| !text.is_empty())
        .ok_or(CommandError::NoPassphrase)?;
    let second = ask("Again: ").ok_or(CommandError::NoPassphrase)?;
    if first == second {
        Ok(first)
    } else {
        Err(CommandError::NoPassphrase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credential_of_the_service_manager_is_read_without_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        assert!(credential(folder.path()).unwrap().is_none());
        let write = |bytes: &[u8]| std::fs::write(folder.path().join(CREDENTIAL), bytes).unwrap();
        write(b"sword fish \n");
        let secret = credential(folder.path()).unwrap().unwrap();
        assert_eq!(secret.expose(), "sword fish ");
        write(b"\n");
        assert!(credential(folder.path()).unwrap().is_none());
        write(b"\xff\xfe");
        assert!(matches!(
            credential(folder.path()),
            Err(CommandError::Credential(_))
        ));
    }
}
