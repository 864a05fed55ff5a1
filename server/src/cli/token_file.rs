//! The operator's token for the HTTP interface (RFC 6750): kept in a file that only its owner may read, when the book is made. A terminal,
//! a journal or the log of a container would keep it for others to read.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::book::admin_token::AdminToken;
use crate::config::Database;

/// Ends the file's name.
const ENDING: &str = ".admin-token";

/// Keeps the token of a book that was made just now, and tells the operator where. Where no file can be written, the token is shown
/// instead, because the book holds its hash alone.
#[expect(
    clippy::print_stderr,
    reason = "said to the operator once, apart from the answer that a script reads"
)]
pub(super) fn keep(database: &Database, token: Option<&AdminToken>) {
    let Some(token) = token else {
        return;
    };
    let path = path(database);
    match write(&path, token) {
        Ok(()) => eprintln!(
            "This is a new phone book. The administrator's token for its HTTP interface is in {}",
            path.display()
        ),
        Err(error) => eprintln!(
            "This is a new phone book. Its administrator's token cannot be written to {} ({error}) and is shown this once: {}",
            path.display(),
            token.text()
        ),
    }
}

/// Beside the database's file; in the working directory if the database is none.
fn path(database: &Database) -> PathBuf {
    let mut name: OsString = match database {
        #[cfg(feature = "sql")]
        Database::File(path) => path.clone().into(),
        _ => "phonebook".into(),
    };
    name.push(ENDING);
    name.into()
}

/// A file of an earlier book under the same name is replaced: that book's token opens nothing here.
fn write(path: &Path, token: &AdminToken) -> io::Result<()> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{}", token.text())?;
    file.sync_all()
}
