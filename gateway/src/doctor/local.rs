//! Local checks: permissions of the key store, room on the disk, and ports for phones. They change nothing.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::config::Config;
use crate::net::ports;
use crate::state::keystore::{ContactsFile, SavedStateFile, damaged_files};
use crate::state::secret::Secret;

/// With less room than this, a disk may run full within weeks.
const LITTLE_ROOM: u64 = 256 * 1024 * 1024;
/// Less than this may not take the next download of the phone book.
const NO_ROOM: u64 = 16 * 1024 * 1024;
/// Most files of a folder that are checked.
const MOST_FILES: usize = 4_096;

/// Whether only this user can read keys: folders 0700, files 0600. Others may read the state folder itself, but not write to it.
pub(super) fn rights(state: &Path) -> Finding {
    const AREA: &str = "key store";
    if !state.exists() {
        return Finding::fail(
            AREA,
            format!("there is no folder {}", state.display()),
            "ringfence setup",
        );
    }
    match open_to_others(state) {
        Ok((None, count)) => Finding::ok(
            AREA,
            format!("{}: {count} files, closed to others", state.display()),
        ),
        Ok((Some(path), _)) => Finding::fail(
            AREA,
            format!("{} is open to other users of this machine", path.display()),
            format!("chmod go-rwx {}", path.display()),
        ),
        Err((path, kind)) => Finding::fail(
            AREA,
            format!("cannot look at {}: {kind}", path.display()),
            "run it as the engine's user",
        ),
    }
}

/// The first file or folder that others can read, and how many were checked.
fn open_to_others(state: &Path) -> Result<(Option<PathBuf>, usize), (PathBuf, ErrorKind)> {
    let mode = |path: &Path| {
        let metadata = std::fs::symlink_metadata(path);
        let mode = metadata.map(|metadata| metadata.permissions().mode());
        mode.map_err(|error| (path.to_owned(), error.kind()))
    };
    if mode(state)? & 0o022 != 0 {
        return Ok((Some(state.to_owned()), 0));
    }
    let (mut folders, mut count) = (vec![state.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        let error = |error: std::io::Error| (folder.clone(), error.kind());
        for entry in std::fs::read_dir(&folder).map_err(error)?.take(MOST_FILES) {
            let entry = entry.map_err(error)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(error)?);
            // Certificates are public; a symbolic link leads to something that is not the engine's.
            let is_public = path.extension().is_some_and(|end| end == "pem");
            if kind.is_symlink() || is_public {
                continue;
            }
            count += 1;
            if mode(&path)? & 0o077 != 0 {
                return Ok((Some(path), count));
            }
            if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok((None, count))
}

/// Files that can be read under this passphrase, and what was lost with those that could not.
pub(super) fn saved_files(state: &Path, passphrase: Option<&Secret>) -> Vec<Finding> {
    const AREA: &str = "saved files";
    let kept = damaged_files(state).into_iter();
    let kept = kept.map(|file| match file.is_grave {
        true => Finding::fail(AREA, file.what, file.remedy),
        false => Finding::warn(AREA, file.what, file.remedy),
    });
    let mut findings: Vec<Finding> = kept.collect();
    let contacts = ContactsFile::open(state, passphrase.cloned()).read();
    let saved = SavedStateFile::open(state, passphrase.cloned()).read();
    let errors = [contacts.err(), saved.err()].into_iter().flatten();
    findings.extend(errors.map(|error| Finding::fail(AREA, error.to_string(), error.remedy())));
    if findings.is_empty() {
        findings.push(Finding::ok(AREA, "contacts, calls and texts can be read"));
    }
    findings
}

/// Room on the disk of the state folder.
pub(super) fn room(state: &Path) -> Finding {
    const AREA: &str = "disk";
    let Ok(disk) = rustix::fs::statvfs(state) else {
        return Finding::warn(AREA, "the free room cannot be read", "look with: df -h");
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let says = format!("{} MB free", free / 1_000_000);
    let remedy = "make room: keys, contacts and the copy of the phone book could not be saved";
    match free {
        0..NO_ROOM => Finding::fail(AREA, says, remedy),
        NO_ROOM..LITTLE_ROOM => Finding::warn(AREA, says, remedy),
        _ => Finding::ok(AREA, says),
    }
}

/// Whether phones can register: the ports are free, or the engine of this state folder has them.
pub(super) fn sip_ports(config: &Config, is_running: bool) -> Finding {
    const AREA: &str = "ports for phones";
    let sip = &config.sip;
    let shown: Vec<String> = sip.addresses.iter().map(ToString::to_string).collect();
    let place = format!(
        "{}: udp {}, tcp {}, tls {}",
        shown.join(", "),
        sip.udp_port,
        sip.tcp_port,
        sip.tls_port
    );
    match (ports::taken(sip), is_running) {
        (None, false) => Finding::ok(AREA, format!("{place}, free")),
        (Some(error), true) if error.error.kind() == ErrorKind::AddrInUse => {
            Finding::ok(AREA, format!("{place}, the running engine has them"))
        }
        (None, true) if sip.udp_port == 0 => {
            Finding::ok(AREA, "any free ports, as the settings say")
        }
        (None, true) => Finding::warn(
            AREA,
            format!("{place}, but the running engine does not listen there"),
            "restart the engine: changes in [sip] take effect at the next start",
        ),
        (Some(error), _) => Finding::fail(AREA, error.to_string(), error.remedy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;
    use crate::state::keystore::{Keystore, write_private};

    #[test]
    fn one_file_that_others_can_read_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        drop(Keystore::open(&state, None).unwrap());
        let line = state.join("lines/20001.json");
        write_private(&line, b"keys").unwrap();
        assert_eq!(rights(&state).verdict, Severity::Ok);
        std::fs::set_permissions(&line, PermissionsExt::from_mode(0o640)).unwrap();
        let found = rights(&state);
        assert_eq!(found.verdict, Severity::Fail);
        assert!(found.remedy.contains("chmod go-rwx") && found.remedy.contains("20001.json"));
    }

    #[test]
    fn a_file_that_cannot_be_read_and_one_that_was_set_aside_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let found = || saved_files(folder.path(), None);
        assert_eq!(found()[0].verdict, Severity::Ok);
        write_private(&folder.path().join("ledger.json"), b"{").unwrap();
        write_private(&folder.path().join("contacts.json.1.damaged"), b"").unwrap();
        let [aside, now] = &found()[..] else {
            panic!("two findings");
        };
        assert_eq!(
            (aside.verdict, now.verdict),
            (Severity::Fail, Severity::Fail)
        );
        assert!(aside.says.contains("pinned keys") && now.says.contains("ledger.json"));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a socket of another program")]
    fn a_port_of_another_program_is_a_failure_and_one_of_the_engine_is_not() {
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut config = Config::with_state(Path::new("/tmp/x"));
        (config.sip.tcp_port, config.sip.tls_port) = (0, 0);
        config.sip.udp_port = other.local_addr().unwrap().port();
        assert_eq!(sip_ports(&config, false).verdict, Severity::Fail);
        assert_eq!(sip_ports(&config, true).verdict, Severity::Ok);
    }
}
