//! What is going on, for a person who waits: one line at the terminal that the next one replaces. Where nobody looks, nothing.

use std::io::{IsTerminal, Write};

/// Takes the line away and begins it anew (ECMA-48: erase in line).
const FRESH: &str = "\r\x1b[2K";

/// A line about work under way. Dropping it takes the line away.
#[derive(Debug)]
pub(super) struct Progress {
    is_seen: bool,
}

impl Progress {
    /// On standard error, if that is a terminal.
    pub(super) fn begin() -> Self {
        Self {
            is_seen: std::io::stderr().is_terminal(),
        }
    }

    /// Says what is going on now.
    pub(super) fn say(&self, text: &str) {
        self.put(&format!("{FRESH}{text} ..."));
    }

    /// Takes it away, before something is printed.
    pub(super) fn clear(&self) {
        self.put(FRESH);
    }

    fn put(&self, text: &str) {
        if self.is_seen {
            let mut out = std::io::stderr().lock();
            // Whoever cannot be told waits without it.
            drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
