//! The files that the settings name: the secrets of TURN servers, a certificate and its key.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_daemon::tls::TlsFiles;
use zeroize::Zeroizing;

use super::errors::ConfigError;

/// A file of settings is a page, not a book; a wrong path must not fill the memory.
const MAX_FILE: u64 = 64 * 1024;

/// The text of a file that a person wrote.
pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let failed = |cause| ConfigError::Read {
        path: path.to_owned(),
        cause,
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
        });
    }
    fs::read_to_string(path).map_err(failed)
}

/// The one line of the file; an empty path is no file.
pub(super) fn turn_secret(path: PathBuf) -> Result<Option<TurnSecret>, ConfigError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = Zeroizing::new(read_text(&path)?);
    if text.trim().is_empty() {
        return Err(ConfigError::NoTurnSecret { path });
    }
    Ok(Some(TurnSecret::new(text.trim().to_owned())))
}

/// The secrets of several servers, by host.
pub(super) fn turn_secrets(
    files: BTreeMap<String, PathBuf>,
) -> Result<BTreeMap<String, TurnSecret>, ConfigError> {
    let read = |(host, path): (String, PathBuf)| {
        let secret = turn_secret(path.clone())?.ok_or(ConfigError::NoTurnSecret { path })?;
        Ok((host.to_ascii_lowercase(), secret))
    };
    files.into_iter().map(read).collect()
}

/// Both or neither; an empty path is none.
pub(super) fn tls_files(
    certificate: PathBuf,
    key: PathBuf,
) -> Result<Option<TlsFiles>, ConfigError> {
    match (
        certificate.as_os_str().is_empty(),
        key.as_os_str().is_empty(),
    ) {
        (false, false) => Ok(Some(TlsFiles { certificate, key })),
        (true, true) => Ok(None),
        _ => Err(ConfigError::HalfTls),
    }
}

#[cfg(test)]
mod tests {
    use ringfence_box::settings::TurnTable;

    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn the_secret_of_the_turn_servers_is_a_line_in_a_file_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = Settings {
            turn_secret_file: file.path().to_owned(),
            ..Settings::default()
        };
        fs::write(file.path(), "north-sea\n").unwrap();
        let config = settings.clone().resolve().unwrap();
        assert_eq!(
            config.turn_secret,
            Some(TurnSecret::new("north-sea".to_owned()))
        );
        fs::write(file.path(), "\n").unwrap();
        let error = settings.resolve().unwrap_err();
        assert!(matches!(error, ConfigError::NoTurnSecret { .. }), "{error}");
    }

    #[test]
    fn each_of_several_turn_servers_has_a_secret_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let two = |all: Option<PathBuf>, own: &[(&str, PathBuf)]| {
            let own = own.iter();
            Settings {
                turn: ["turn:a.example:3478", "turns:a.example", "turn:b.example"]
                    .map(str::to_owned)
                    .into(),
                turn_secret_file: all.unwrap_or_default(),
                turn_secret_files: own
                    .map(|(host, path)| ((*host).to_owned(), path.clone()))
                    .collect(),
                ..Settings::default()
            }
            .resolve()
        };
        let own = [("A.example", file("north")), ("b.example", file("south"))];
        let config = two(None, &own).unwrap();
        let secret = |host: &str| config.turn_secret_of(host).map(TurnSecret::text);
        assert_eq!(secret("a.example"), Some("north"));
        assert_eq!(secret("b.example"), Some("south"));
        // The common one may be that of one server.
        assert!(two(Some(file("all")), &own[1..]).is_ok());
        let shared = two(Some(file("all")), &[]).unwrap_err();
        assert!(matches!(shared, ConfigError::SharedTurnSecret), "{shared}");
        let stray = two(None, &[("c.example", file("west"))]).unwrap_err();
        assert!(stray.to_string().contains("c.example"), "{stray}");
        let box_too = Settings {
            turn: vec!["turn:b.example".to_owned()],
            turn_secret_file: file("all"),
            turn_server: TurnTable {
                serve: true,
                ..TurnTable::default()
            },
            ..Settings::default()
        };
        assert!(matches!(
            box_too.resolve(),
            Err(ConfigError::SharedTurnSecret)
        ));
    }
}
