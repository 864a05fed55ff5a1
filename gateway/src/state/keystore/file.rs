//! Files that only the owner may read: created with their mode, replaced in one step, never read with a looser mode.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::Rng;
use zeroize::Zeroizing;

use super::KeystoreError;

/// Largest file that is read. A line takes about 1 kB; a tile of the phone book 48 kB.
const MOST_BYTES: u64 = 256 * 1024;

pub(super) fn disk<'a>(
    act: &'static str,
    path: &'a Path,
) -> impl Fn(std::io::Error) -> KeystoreError + 'a {
    move |error| KeystoreError::Disk {
        act,
        path: path.to_owned(),
        kind: error.kind(),
    }
}

/// Makes the state folder with mode 0700, and its parents. One that exists may be looser, as long as no other user can change what
/// is in it: the keys lie in folders of their own.
pub(in crate::state) fn make_state_folder(path: &Path) -> Result<(), KeystoreError> {
    make(path)?;
    closed_to_others(
        path,
        &std::fs::metadata(path).map_err(disk("read", path))?,
        0o022,
    )
}

/// Makes a folder with mode 0700. One that exists must not be open to others.
pub(crate) fn make_folder(path: &Path) -> Result<(), KeystoreError> {
    make(path)?;
    closed_to_others(
        path,
        &std::fs::metadata(path).map_err(disk("read", path))?,
        0o077,
    )
}

/// Makes the folder in which a file will be, as [`make_folder`] does, if it is not there.
pub(crate) fn make_folder_of(file: &Path) -> Result<(), KeystoreError> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => make_folder(folder),
        _ => Ok(()),
    }
}

fn make(path: &Path) -> Result<(), KeystoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(disk("make the folder", path))
}

fn closed_to_others(
    path: &Path,
    metadata: &std::fs::Metadata,
    forbidden: u32,
) -> Result<(), KeystoreError> {
    let open = metadata.permissions().mode() & forbidden != 0;
    if open {
        Err(KeystoreError::TooOpen {
            path: path.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// The lock of a state folder, which ends with this or with the process.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing alone does not end it: a process that is just being started has a copy of the descriptor until it runs its own program.
        self.0.unlock().ok();
    }
}

/// Takes the lock of a state folder.
pub(super) fn lock(folder: &Path) -> Result<FolderLock, KeystoreError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(disk("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock(file)),
        Err(TryLockError::WouldBlock) => Err(KeystoreError::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(disk("lock", &path)(error)),
    }
}

/// Waits for the lock of one file that is read, changed and written in one go, by an engine and by commands beside it.
pub(in crate::state) fn wait_for_lock(path: &Path) -> Result<File, KeystoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(disk("write", path))?;
    file.lock().map_err(disk("lock", path))?;
    Ok(file)
}

/// The `.json` files of a folder, by name; none when there is no folder.
pub(in crate::state) fn list(folder: &Path) -> Result<Vec<PathBuf>, KeystoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(disk("read", folder)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(disk("read", folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads a file that must not be open to others.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    read_private_up_to(path, MOST_BYTES)
}

/// As [`read_private`], of at most so many bytes.
pub(in crate::state) fn read_private_up_to(
    path: &Path,
    most: u64,
) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let file = File::open(path).map_err(disk("read", path))?;
    let metadata = file.metadata().map_err(disk("read", path))?;
    closed_to_others(path, &metadata, 0o077)?;
    if metadata.len() > most {
        return Err(KeystoreError::Malformed {
            path: path.to_owned(),
        });
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(metadata.len()).unwrap_or(0) + 1,
    ));
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(disk("read", path))?;
    Ok(bytes)
}

/// How the name of a file ends that is not yet renamed.
const FRESH: &str = ".new";

/// Removes what killed processes left of [`write_private`] beside this file. What cannot be removed stays: it is as closed to others
/// as the file is.
pub(super) fn remove_leftovers(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    remove_leftovers_of(folder_of(path), &name);
}

/// As [`remove_leftovers`], of all files of a folder.
pub(super) fn remove_all_leftovers(folder: &Path) {
    remove_leftovers_of(folder, "");
}

fn remove_leftovers_of(folder: &Path, name: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found.starts_with(name) && found.ends_with(FRESH) {
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

/// Writes a file with mode 0600 from its first byte, in one step: a new file is written and synced beside it, then renamed over
/// it, then the folder is synced.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeystoreError> {
    let fresh = fresh_name(path);
    let written = write_fresh(&fresh, bytes)
        .and_then(|()| std::fs::rename(&fresh, path))
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        // The failure that is reported is the first one; a leftover is harmless and has mode 0600.
        drop(std::fs::remove_file(&fresh));
    }
    written.map_err(disk("write", path))
}

/// The bytes of a file, which is created with `fresh` if there is none of this length. Of programs that do so at once, one succeeds.
pub(super) fn create_or_read<const N: usize>(
    path: &Path,
    fresh: [u8; N],
) -> Result<[u8; N], KeystoreError> {
    let read = || -> Option<[u8; N]> { std::fs::read(path).ok()?.try_into().ok() };
    if let Some(bytes) = read() {
        return Ok(bytes);
    }
    let temporary = fresh_name(path);
    let made = write_fresh(&temporary, &fresh).and_then(|()| {
        match std::fs::hard_link(&temporary, path) {
            // Another program was faster, unless what is there is damaged.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => match read() {
                Some(_) => Ok(()),
                None => std::fs::rename(&temporary, path),
            },
            linked => linked,
        }
    });
    // After a rename it is gone already.
    drop(std::fs::remove_file(&temporary));
    made.and_then(|()| sync_folder(path))
        .map_err(disk("write", path))?;
    read().ok_or_else(|| KeystoreError::Malformed {
        path: path.to_owned(),
    })
}

/// Appends to a file with mode 0600, and syncs it. A crash may leave the first part of `bytes`.
pub(in crate::state) fn append_private(path: &Path, bytes: &[u8]) -> Result<(), KeystoreError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .map_err(disk("write", path))
}

/// Gives a file another name in its folder.
pub(in crate::state) fn rename(path: &Path, to: &Path) -> Result<(), KeystoreError> {
    std::fs::rename(path, to)
        .and_then(|()| sync_folder(path))
        .map_err(disk("rename", path))
}

/// Removes a file.
pub(in crate::state) fn remove(path: &Path) -> Result<(), KeystoreError> {
    std::fs::remove_file(path)
        .and_then(|()| sync_folder(path))
        .map_err(disk("remove", path))
}

fn fresh_name(path: &Path) -> PathBuf {
    let mut mark = [0; 4];
    rand::rng().fill_bytes(&mut mark);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}{FRESH}", hex::encode(mark)));
    PathBuf::from(name)
}

fn write_fresh(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The folder of a path. The parent of a bare file name is empty, which no system call accepts; it means the current folder.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("open");
        DirBuilder::new().mode(0o755).create(&folder).unwrap();
        assert!(make_state_folder(&folder).is_ok());
        assert_eq!(
            make_folder(&folder),
            Err(KeystoreError::TooOpen {
                path: folder.clone()
            })
        );
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o722)).unwrap();
        assert_eq!(
            make_state_folder(&folder),
            Err(KeystoreError::TooOpen { path: folder })
        );
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_private(&path, b"old").unwrap();
        let occupied = folder.path().join("b.json");
        std::fs::create_dir(&occupied).unwrap();
        assert!(matches!(
            write_private(&occupied, b"new"),
            Err(KeystoreError::Disk { act: "write", .. })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_lock_ends_with_its_owner_though_a_process_that_starts_has_a_copy_of_the_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        let _copy = held.0.try_clone().unwrap();
        assert!(lock(folder.path()).is_err());
        drop(held);
        assert!(lock(folder.path()).is_ok());
    }

    #[test]
    fn a_huge_file_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_private(&path, b"").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(MOST_BYTES + 1)
            .unwrap();
        assert_eq!(read_private(&path), Err(KeystoreError::Malformed { path }));
    }
}
