//! A small disk of its own for a program's folder: a tmpfs in a mount namespace that ends with the program, so that nothing else fills up with it.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

/// Room for a state folder, and so little that it is full at once.
const SIZE: &str = "16m";

/// Moves a copy of the folder to the disk, which takes the folder's place, then becomes the program that follows.
const MOVE: &str = r#"
mkdir -p "$1.disk" && mount -t tmpfs -o "size=$2,mode=700" none "$1.disk" || exit 77
cp -a "$1/." "$1.disk/" && mount --move "$1.disk" "$1" || exit 77
shift 2
exec "$@"
"#;

/// The words before those of a program that start it with this folder on a disk of its own.
pub(crate) fn command(folder: &Path) -> Vec<String> {
    let words = ["unshare", "-rm", "sh", "-c", MOVE, "sh"];
    let words = words.map(str::to_owned).into_iter();
    words
        .chain([folder.display().to_string(), SIZE.to_owned()])
        .collect()
}

/// The folder as this process sees it.
pub(crate) fn seen_by(process: u32, folder: &Path) -> PathBuf {
    let folder = folder.strip_prefix("/").unwrap_or(folder);
    Path::new(&format!("/proc/{process}/root")).join(folder)
}

/// Copies what is in a folder into another one.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-a".as_ref(), from.join(".").as_os_str(), to.as_os_str()])
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "cp failed");
}

/// Fills the disk of a folder up with a file, until it is removed.
///
/// # Panics
/// When the disk takes more than it has room for.
pub fn fill(file: &Path) {
    let mut file = File::create_new(file).expect("there is room for a name");
    for size in [65_536, 1] {
        let full = loop {
            match file.write_all(&vec![0; size]) {
                Ok(()) => assert!(file.metadata().is_ok_and(|all| all.len() < 1 << 26)),
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(full, io::ErrorKind::StorageFull);
    }
}
