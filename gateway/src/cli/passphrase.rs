//! Where the passphrase of the keys comes from: the environment, the service manager, or the terminal.

use std::io::ErrorKind;
use std::path::Path;

use zeroize::Zeroizing;

use super::CommandError;
use crate::state::secret::Secret;

/// The name of the service manager's credential (systemd: `LoadCredential=ringfence.passphrase`).
const CREDENTIAL: &str = "ringfence.passphrase";

/// The passphrase, if there is one. `encrypted`: the keys are encrypted already; `new`: they are to be encrypted, and the user types
/// the passphrase twice.
pub(super) fn find(encrypted: bool, new: bool) -> Result<Option<Secret>, CommandError> {
    if let Ok(text) = std::env::var("RINGFENCE_PASSPHRASE")
        && !text.is_empty()
    {
        return Ok(Some(Secret::new(text)));
    }
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY")
        && let Some(secret) = credential(Path::new(&folder))?
    {
        return Ok(Some(secret));
    }
    if encrypted {
        return Ok(ask("Passphrase of the keys: "));
    }
    if new { ask_twice().map(Some) } else { Ok(None) }
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
