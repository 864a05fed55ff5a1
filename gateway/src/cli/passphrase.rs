//! Where the passphrase of the keys comes from: the environment, the service manager, or the person at the terminal.

use std::io::ErrorKind;
use std::path::Path;

use zeroize::Zeroizing;

use super::Failure;
use crate::state::secret::Secret;

/// The name under which a service manager hands it over (systemd: `LoadCredential=ringfence.passphrase`).
const CREDENTIAL: &str = "ringfence.passphrase";

/// The passphrase, if there is one. `encrypted`: lines are encrypted already; `new`: they shall be, and the person types it twice.
pub(super) fn find(encrypted: bool, new: bool) -> Result<Option<Secret>, Failure> {
    if let Ok(text) = std::env::var("RINGFENCE_PASSPHRASE")
        && !text.is_empty()
    {
        return Ok(Some(Secret::new(text)));
    }
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY")
        && let Some(secret) = handed_over(Path::new(&folder))?
    {
        return Ok(Some(secret));
    }
    if encrypted {
        return Ok(ask("Passphrase of the keys: "));
    }
    if new { ask_twice().map(Some) } else { Ok(None) }
}

/// What the service manager hands over, without the end of its line; `None` when that is nothing.
fn handed_over(folder: &Path) -> Result<Option<Secret>, Failure> {
    match std::fs::read_to_string(folder.join(CREDENTIAL)).map(Zeroizing::new) {
        Ok(text) => {
            let text = text.trim_end_matches(['\r', '\n']);
            Ok((!text.is_empty()).then(|| Secret::new(text.to_owned())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Credential(error.kind())),
    }
}

/// `None` when there is no terminal to ask at.
pub(super) fn ask(question: &str) -> Option<Secret> {
    rpassword::prompt_password(question).ok().map(Secret::new)
}

pub(super) fn ask_twice() -> Result<Secret, Failure> {
    let first = ask("New passphrase: ")
        .filter(|text| !text.is_empty())
        .ok_or(Failure::NoPassphrase)?;
    let second = ask("Again: ").ok_or(Failure::NoPassphrase)?;
    if first == second {
        Ok(first)
    } else {
        Err(Failure::NoPassphrase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_manager_hands_over_is_read_without_the_end_of_its_line() {
        let folder = tempfile::tempdir().unwrap();
        assert!(handed_over(folder.path()).unwrap().is_none());
        let write = |bytes: &[u8]| std::fs::write(folder.path().join(CREDENTIAL), bytes).unwrap();
        write(b"sword fish \n");
        let secret = handed_over(folder.path()).unwrap().unwrap();
        assert_eq!(secret.expose(), "sword fish ");
        write(b"\n");
        assert!(handed_over(folder.path()).unwrap().is_none());
        write(b"\xff\xfe");
        assert!(matches!(
            handed_over(folder.path()),
            Err(Failure::Credential(_))
        ));
    }
}
