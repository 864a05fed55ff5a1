//! An independent Nostr relay: `nostr-relay` from PyPI (Python, SQLite), on loopback.
//!
//! `tests/run` installs it into a virtual environment below the target folder. It keeps ephemeral events for minutes, so it
//! stands for relays that do not follow NIP-01. It follows some hundred envelopes a minute; for more there is [`NostrRelay::of_box`].

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use ringfence_box::relay::{EmbeddedRelay, RelayLimits, RelayPlan};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    ports,
    program::{Program, from_pypi},
};

/// A running relay.
#[derive(Debug)]
pub struct NostrRelay {
    address: SocketAddr,
    _running: Running,
}

/// What runs it.
#[derive(Debug)]
enum Running {
    Program {
        _program: Program,
        _folder: TempDir,
    },
    Embedded {
        _runtime: Runtime,
        _relay: EmbeddedRelay,
    },
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
            _running: Running::Program {
                _program: program,
                _folder: folder,
            },
        }
    }

    /// Starts the relay of the community box in this process, with room for hundreds of calls a minute.
    ///
    /// # Panics
    /// When the system gives no thread or port.
    pub fn of_box() -> Self {
        let runtime = Runtime::new().expect("a thread");
        let plan = RelayPlan {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            work_bits: 0,
            limits: RelayLimits {
                events_per_minute: 1_000_000,
                ..RelayLimits::DEFAULT
            },
        };
        let relay = runtime.block_on(EmbeddedRelay::open(plan));
        let relay = relay.expect("a free port");
        Self {
            address: relay.address(),
            _running: Running::Embedded {
                _runtime: runtime,
                _relay: relay,
            },
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
