//! Replaces a state folder by a backup in one step: the new folder is written and synced beside the old one, then the two are
//! exchanged. If the restore stops in the middle, the folder is either the old one or the new one.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use rand::Rng;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Backup, BackupError};
use crate::state::keystore::{Keystore, KeystoreError, RESTORED, file, make_folder, write_private};

/// The suffix of a folder that is not complete yet: the next restore removes what an interrupted one left.
const UNFINISHED: &str = "unfinished";

/// What became of the old state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreviousState {
    /// There was none with lines.
    Nothing,
    /// It was moved to this folder.
    At(PathBuf),
}

/// Restores. `replace` allows a state that has lines; it is kept beside, under a name with `now`, Unix seconds.
///
/// # Errors
/// [`BackupError`]; the state is as it was.
pub fn restore(
    archive: &Backup,
    state: &Path,
    replace: bool,
    now: u64,
) -> Result<PreviousState, BackupError> {
    // A link stays: what it leads to is replaced.
    let state = &state.canonicalize().unwrap_or_else(|_| state.to_owned());
    // No engine may run on it meanwhile.
    let _lock = Keystore::open(state, None)?;
    let has_lines = !file::list(&state.join("lines"))?.is_empty();
    if has_lines && !replace {
        return Err(BackupError::LinesThere(state.clone()));
    }
    let swap = |error: io::Error| BackupError::Swap {
        path: state.clone(),
        kind: error.kind(),
    };
    take_leftovers_away(state).map_err(swap)?;
    let mut mark = [0; 4];
    rand::rng().fill_bytes(&mut mark);
    let fresh = beside(state, &format!("restoring-{}", hex::encode(mark)));
    // Chosen before anything changes: what could fail afterwards would be told as if nothing had.
    let old = free_name(state, now);
    let made = write(archive, &fresh, state).and_then(|()| trade(&fresh, state).map_err(swap));
    if let Err(fault) = made {
        // The first fault is the one that is told.
        drop(std::fs::remove_dir_all(&fresh));
        return Err(fault);
    }
    // From here on the new state is in place; `fresh` is the old one.
    if !has_lines {
        std::fs::remove_dir_all(&fresh).map_err(swap)?;
        return Ok(PreviousState::Nothing);
    }
    std::fs::rename(&fresh, &old).map_err(swap)?;
    Ok(PreviousState::At(old))
}

fn write(archive: &Backup, fresh: &Path, state: &Path) -> Result<(), BackupError> {
    make_folder(fresh)?;
    write_private(&fresh.join(UNFINISHED), b"")?;
    for (path, bytes) in &archive.files {
        let path = fresh.join(path);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        write_private(&path, bytes)?;
    }
    write_private(&fresh.join(RESTORED), b"")?;
    let fault = |error: io::Error| KeystoreError::Disk {
        act: "write",
        path: fresh.to_owned(),
        kind: error.kind(),
    };
    give_to_owner(fresh, state).map_err(fault)?;
    Ok(file::remove(&fresh.join(UNFINISHED))?)
}

/// A restore as root, for a service, makes files that the service may read.
fn give_to_owner(fresh: &Path, state: &Path) -> io::Result<()> {
    let (old, new) = (std::fs::metadata(state)?, std::fs::metadata(fresh)?);
    let (owner, group) = ((old.uid(), new.uid()), (old.gid(), new.gid()));
    if owner.0 == owner.1 && group.0 == group.1 {
        return Ok(());
    }
    let mut folders = vec![fresh.to_owned()];
    while let Some(folder) = folders.pop() {
        chown(&folder, Some(owner.0), Some(group.0))?;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                chown(entry.path(), Some(owner.0), Some(group.0))?;
            }
        }
    }
    Ok(())
}

/// Exchanges two folders in one step (Linux: renameat2 with RENAME_EXCHANGE).
fn trade(fresh: &Path, state: &Path) -> io::Result<()> {
    renameat_with(CWD, fresh, CWD, state, RenameFlags::EXCHANGE)?;
    File::open(file::folder_of(state))?.sync_all()
}

fn take_leftovers_away(state: &Path) -> io::Result<()> {
    let Some(name) = state.file_name() else {
        return Ok(());
    };
    let start = format!("{}.restoring-", name.to_string_lossy());
    for entry in std::fs::read_dir(file::folder_of(state))? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(&start);
        if is_ours && entry.path().join(UNFINISHED).exists() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// A name for the old state that nothing has yet: two restores may happen within one second.
fn free_name(state: &Path, now: u64) -> PathBuf {
    let first = beside(state, &format!("before-{now}"));
    let more = (2..=u32::MAX).map(|count| beside(state, &format!("before-{now}-{count}")));
    let mut names = std::iter::once(first.clone()).chain(more);
    names.find(|name| !name.exists()).unwrap_or(first)
}

fn beside(state: &Path, end: &str) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(format!(".{end}"));
    PathBuf::from(name)
}
