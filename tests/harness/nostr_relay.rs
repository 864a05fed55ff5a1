//! An independent Nostr relay: `nostr-relay` from PyPI (Python, SQLite), on loopback.
//!
//! `tests/run` installs it into a virtual environment below the target folder. It keeps ephemeral events for minutes, so it
//! stands for relays that do not follow NIP-01.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    ports,
    program::{Program, from_pypi},
};

/// A running relay.
#[derive(Debug)]
pub struct NostrRelay {
    address: SocketAddr,
    _program: Program,
    _folder: TempDir,
}

impl NostrRelay {
    /// The path to which `tests/run` installs the program.
    pub fn path() -> PathBuf {
        from_pypi("nostr-relay")
    }

    /// Starts it with an empty store.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = ports::free_pair();
        let settings = [
            "relay_name: tests".into(),
            "storage:".into(),
            format!(
                "  sqlalchemy.url: sqlite+aiosqlite:///{}",
                folder.path().join("events").display()
            ),
            "  num_concurrent_reqs: 10".into(),
            "  num_concurrent_adds: 2".into(),
            "  validators:".into(),
            "    - nostr_relay.validators.is_not_too_large".into(),
            "    - nostr_relay.validators.is_signed".into(),
            "    - nostr_relay.validators.is_recent".into(),
            "gunicorn:".into(),
            format!("  bind: {address}"),
            "  workers: 1".into(),
            "  loglevel: warning".into(),
            "authentication:".into(),
            "  enabled: false".into(),
            String::new(),
        ];
        fs::write(folder.path().join("settings.yaml"), settings.join("\n"))
            .expect("the folder is ours");
        let path = Self::path().display().to_string();
        let mut program = Program::start(&path, &["-c", "settings.yaml", "serve"], folder.path());
        program.wait_until_ready(|| answers_http(address).unwrap_or(false));
        Self {
            address,
            _program: program,
            _folder: folder,
        }
    }

    /// Its `ws://` address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

/// Requests the relay's information document (NIP-11), because a listening socket does not prove that the relay works.
fn answers_http(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nAccept: application/nostr+json\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 200")
}
