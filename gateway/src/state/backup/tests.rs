//! Backups of state folders that no engine made, and what is refused.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::state::keystore::{Keystore, write_private};

fn vault(passphrase: &str) -> Vault {
    Vault::quick_of_backups(Secret::new(passphrase.to_owned()))
}

fn state(folder: &Path) -> PathBuf {
    let state = folder.join("state");
    for folder in ["lines", "pending", "book/0011"] {
        crate::state::keystore::make_folder(&state.join(folder)).unwrap();
    }
    for (path, bytes) in [
        ("lines/20001.json", "a line"),
        ("contacts.json", "contacts"),
        ("lock", ""),
        ("contacts.lock", ""),
        ("page-token", "http://"),
        ("lines/20002.json.0a1b.new", "half"),
        ("book/0011/tile-0000", "a tile"),
    ] {
        write_private(&state.join(path), bytes.as_bytes()).unwrap();
    }
    let roots = [[1; ROOT], [2; ROOT]].concat();
    write_private(&state.join("book/0011/roots"), &roots).unwrap();
    state
}

fn backup(folder: &Path) -> PathBuf {
    let archive = Backup::collect(
        &state(folder),
        Some("log = \"warn\"\n".to_owned()),
        7,
        vec![20_001],
    )
    .unwrap();
    let path = folder.join("backup");
    write_private(&path, &archive.seal_in(&vault("right")).unwrap()).unwrap();
    path
}

#[test]
fn what_cannot_be_had_again_comes_back_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Backup::open_in(&backup(folder.path()), &vault("right")).unwrap();
    assert_eq!(archive.numbers, [20_001]);
    assert_eq!(archive.settings.as_deref(), Some("log = \"warn\"\n"));
    let target = folder.path().join("new");
    assert_eq!(
        restore(&archive, &target, false, 9),
        Ok(PreviousState::Nothing)
    );
    let read = |path: &str| std::fs::read(target.join(path)).ok();
    assert_eq!(read("lines/20001.json").as_deref(), Some(&b"a line"[..]));
    assert_eq!(read("book/0011/roots").as_deref(), Some(&[2; ROOT][..]));
    for left_out in [
        "page-token",
        "contacts.lock",
        "lines/20002.json.0a1b.new",
        "book/0011/tile-0000",
    ] {
        assert_eq!(read(left_out), None, "{left_out}");
    }
    let mode = |path: &str| {
        std::fs::metadata(target.join(path))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(
        (mode("") & 0o777, mode("contacts.json") & 0o777),
        (0o700, 0o600)
    );
    assert!(Keystore::open(&target, None).unwrap().is_restored());
}

#[test]
fn lines_that_are_there_are_kept_beside_or_nothing_happens() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Backup::open_in(&backup(folder.path()), &vault("right")).unwrap();
    let target = folder.path().join("state");
    write_private(&target.join("lines/20009.json"), b"newer").unwrap();
    let refused = restore(&archive, &target, false, 9);
    assert_eq!(refused, Err(BackupError::LinesThere(target.clone())));
    let old = folder.path().join("state.before-9");
    assert_eq!(
        restore(&archive, &target, true, 9),
        Ok(PreviousState::At(old.clone()))
    );
    assert!(old.join("lines/20009.json").exists());
    assert!(!target.join("lines/20009.json").exists());
    let running = Keystore::open(&target, None).unwrap();
    let fault = restore(&archive, &target, true, 10).unwrap_err();
    assert!(matches!(
        fault,
        BackupError::Keystore(KeystoreError::InUse { .. })
    ));
    drop(running);
}

#[test]
fn a_damaged_file_is_told_from_a_wrong_passphrase_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = backup(folder.path());
    let open = |passphrase: &str| Backup::open_in(&path, &vault(passphrase)).map(drop);
    assert_eq!(
        open("wrong"),
        Err(BackupError::WrongPassphrase(path.clone()))
    );
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() - 1 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        assert_eq!(
            open("right"),
            Err(BackupError::Damaged(path.clone())),
            "byte {at}"
        );
    }
    for length in [0, 1, good.len() / 2, good.len() - 2] {
        std::fs::write(&path, &good[..length]).unwrap();
        assert_eq!(
            open("right"),
            Err(BackupError::Damaged(path.clone())),
            "{length} bytes"
        );
    }
}

#[test]
fn no_file_of_a_backup_can_leave_the_folder() {
    for path in [
        "../x",
        "/etc/passwd",
        "lines/../../x",
        "lock",
        "other/x.json",
        "lines/a/b",
        "book/0011/tile-0000",
        "",
    ] {
        assert!(!fits(Path::new(path)), "{path}");
    }
    for path in ["contacts.json", "lines/20001.json", "book/0011/roots"] {
        assert!(fits(Path::new(path)), "{path}");
    }
}

#[test]
fn what_a_stopped_restore_leaves_is_taken_away_unless_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Backup::open_in(&backup(folder.path()), &vault("right")).unwrap();
    let leftover = |name: &str, file: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join(file), "").unwrap();
        path
    };
    let half = leftover("new.restoring-00", "unfinished");
    let old_state = leftover("new.restoring-01", "contacts.json");
    restore(&archive, &folder.path().join("new"), false, 9).unwrap();
    assert!(!half.exists() && old_state.exists());
}
