//! Progress of long work: a line on the terminal that the next one replaces. Without a terminal, nothing is printed.

use std::io::{IsTerminal, Write};

/// Returns to the start of the line and erases it (ECMA-48: EL).
const FRESH: &str = "\r\x1b[2K";

/// The progress line. Dropping it erases it.
#[derive(Debug)]
pub(super) struct ProgressLine {
    is_shown: bool,
}

impl ProgressLine {
    /// On standard error, if that is a terminal.
    pub(super) fn begin() -> Self {
        Self {
            is_shown: std::io::stderr().is_terminal(),
        }
    }

    /// Shows what is being done.
    pub(super) fn show(&self, text: &str) {
        self.put(&format!("{FRESH}{text} ..."));
    }

    /// Erases the line before other output.
    pub(super) fn clear(&self) {
        self.put(FRESH);
    }

    fn put(&self, text: &str) {
        if self.is_shown {
            let mut out = std::io::stderr().lock();
            // Progress is optional: a failed write is ignored.
            drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}
