//! A wall clock of its own for a process: `process_clock.c`, a preloaded library, adds a shift to it. The monotonic clock stays, so a
//! jump forward is what a process sees after its machine slept (Linux stops CLOCK_MONOTONIC in suspend).

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// The wall clock of one or more processes.
#[derive(Debug)]
pub struct ProcessClock {
    library: PathBuf,
    path: PathBuf,
    file: File,
    shift: i64,
}

impl ProcessClock {
    /// A clock that is right, until it jumps.
    ///
    /// # Panics
    /// When there is no C compiler, which the cryptography needs anyway.
    pub fn new(folder: &Path, name: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/process_clock.c");
        let library = folder.join("process_clock.so");
        if !library.exists() {
            let compiled = Command::new("cc")
                .args(["-shared", "-fPIC", "-O1", "-o"])
                .args([&library, &source])
                .status();
            assert!(
                compiled.is_ok_and(|status| status.success()),
                "cc could not compile {}",
                source.display()
            );
        }
        let path = folder.join(format!("{name}.clock"));
        fs::write(&path, 0_i64.to_ne_bytes()).expect("the folder is ours");
        let file = File::options()
            .write(true)
            .open(&path)
            .expect("the file is ours");
        Self {
            library,
            path,
            file,
            shift: 0,
        }
    }

    /// Variables for the environment of a process that shall have this clock.
    pub fn environment(&self) -> [(String, String); 2] {
        [
            ("LD_PRELOAD".to_owned(), self.library.display().to_string()),
            (
                "RINGFENCE_TEST_CLOCK".to_owned(),
                self.path.display().to_string(),
            ),
        ]
    }

    /// The clock jumps by some seconds.
    pub fn jump(&mut self, seconds: i64) {
        self.shift += seconds;
        self.file
            .write_all_at(&self.shift.to_ne_bytes(), 0)
            .expect("the file is ours");
    }
}
