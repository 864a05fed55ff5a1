//! The log as `ringfence run` writes it by default, and the search for what must not stand in it.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ringfence::config::Config;
use ringfence_engine::line::identity::Identity;
use tracing_subscriber::EnvFilter;

use crate::servers::{StoredEngine, TURN_SECRET};

/// Letters of a key's text that make it recognisable even if the rest is cut off.
const KEY_LETTERS: usize = 8;

/// The log of this process, from all threads, with the filter that the settings have by default.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to write it, or joins in: a process has one. Other tests may write into it at the same time.
    pub(crate) fn capture() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let into = log.clone();
            tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new(Config::with_state(Path::new("/")).log))
                .with_ansi(false)
                .with_writer(move || into.clone())
                .init();
            log
        })
        .clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Texts that would identify this engine's line.
pub(crate) fn secrets(stored: &StoredEngine) -> Vec<String> {
    let identity = Identity::from_bytes(&stored.line.identity).unwrap();
    let listing = identity.listing();
    // The stored identity is its version, then the seed of the identity key and the secret of the ring key.
    let identity_bytes: &[u8] = &stored.line.identity;
    let keys = [
        listing.identity().as_bytes().as_slice(),
        listing.ring_key().as_bytes(),
        &stored.line.book_key,
        &identity_bytes[1..33],
        &identity_bytes[33..65],
    ];
    let written = keys.into_iter().flat_map(|key| {
        [hex::encode(key), STANDARD.encode(key), URL_SAFE.encode(key)]
            .map(|text| text[..KEY_LETTERS].to_owned())
    });
    let account = &stored.line.account;
    let named = [
        account.password.expose().to_owned(),
        TURN_SECRET.to_owned(),
        "localhost".to_owned(),
        stored.config.state.display().to_string(),
    ];
    let numbers = [stored.line.number.to_string(), account.user.clone()];
    written.chain(named).chain(numbers).collect()
}

/// What of the secrets, and which addresses, stand in a log. A number counts only as a whole run of digits.
pub(crate) fn leaks(log: &str, secrets: &[String]) -> Vec<String> {
    let digits = |c: char| !c.is_ascii_digit();
    let dotted = |c: char| !c.is_ascii_digit() && c != '.';
    let addresses = log
        .split(dotted)
        .filter(|text| text.trim_matches('.').parse::<Ipv4Addr>().is_ok());
    let told = secrets.iter().map(String::as_str).filter(|secret| {
        if secret.contains(digits) {
            log.contains(secret)
        } else {
            log.split(digits).any(|run| run == *secret)
        }
    });
    addresses.chain(told).map(str::to_owned).collect()
}

#[test]
fn what_must_not_stand_in_a_log_is_found_in_it() {
    let secrets = ["20017".to_owned(), "abcdef01".to_owned()];
    for (log, found) in [
        ("INFO 20017 rings", vec!["20017"]),
        ("12:00:00.200170 INFO 120017 packets", vec![]),
        ("key abcdef0123 pinned", vec!["abcdef01"]),
        ("turn:192.0.2.1:3478 is away.", vec!["192.0.2.1"]),
        ("listening=1 configured=1 version 0.44.1", vec![]),
    ] {
        assert_eq!(leaks(log, &secrets), found, "{log}");
    }
}
