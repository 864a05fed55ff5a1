//! What a phone book needs to know before it starts; how it is written in a file is in `settings`.

mod errors;
mod files;
mod settings;

use ringfence_book::keys::{BookKey, RingKey};
use ringfence_book::membership::MembersToken;
use ringfence_book::number::NumberPlan;
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_book::wire::{Base64, NetworkSettings, PROTOCOL};
use ringfence_box::settings::{RelayTable, TurnTable};
use ringfence_daemon::forwarded::Proxies;
use ringfence_daemon::log::Format;
use ringfence_daemon::tls::TlsFiles;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
#[cfg(feature = "sql")]
use std::path::PathBuf;

pub use self::errors::ConfigError;
pub use self::settings::Settings;
use crate::book::Schedule;

/// Where the book is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// Gone with the process; for demonstrations and tests.
    Memory,
    /// An SQLite file.
    #[cfg(feature = "sql")]
    File(PathBuf),
    /// A PostgreSQL database that several servers may share: its URL, password included.
    #[cfg(feature = "sql")]
    Postgres(String),
}

impl Database {
    /// Reads what is written in a file of settings or on the command line: a URL of PostgreSQL, or a path.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn read(text: &Path) -> Self {
        let url = text
            .to_str()
            .filter(|text| text.starts_with("postgres://") || text.starts_with("postgresql://"));
        url.map_or_else(
            || Self::File(text.to_owned()),
            |url| Self::Postgres(url.to_owned()),
        )
    }

    /// Where it is, for the operator; never a password.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Memory => "the memory".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Postgres(_) => "the PostgreSQL database".to_owned(),
        }
    }

    /// Without SQL there is no other store than the one in memory.
    #[cfg(not(feature = "sql"))]
    #[must_use]
    pub fn read(_text: &Path) -> Self {
        Self::Memory
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("Memory"),
            #[cfg(feature = "sql")]
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            #[cfg(feature = "sql")]
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

/// What a phone book needs to know before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where the book is kept.
    pub database: Database,
    /// The numbers. May grow from start to start, but not shrink or move.
    pub plan: NumberPlan,
    /// Nostr relays that engines are told, best first.
    pub relays: Vec<String>,
    /// TURN servers that engines are told.
    pub turn: Vec<String>,
    /// Work that a ring must show, in bits.
    pub work_bits: u8,
    /// Bits of the bucket in the relay tag.
    pub bucket_bits: u8,
    /// How the log is written.
    pub log_format: Format,
    /// Loopback address of the page for monitors; `None`: there is none.
    pub metrics: Option<SocketAddr>,
    /// What the TURN server shares with the book, which makes credentials with it. A TURN server of this process draws one if there
    /// is none.
    pub turn_secret: Option<TurnSecret>,
    /// The secrets of several TURN servers, by host: one that knew another's secret could be its clients.
    pub turn_secrets: BTreeMap<String, TurnSecret>,
    /// TLS of its own; without, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whose word about a request's origin is taken.
    pub proxies: Proxies,
    /// How much one address may ask.
    pub limits: Limits,
    /// How long an epoch lasts: what is activated is published at its end. Seconds.
    pub epoch_seconds: u32,
    /// Records that each epoch changes, whether or not so many numbers got new keys; 0: as [`Schedule::every`] has it.
    pub changes: u16,
    /// The name under which the world finds this machine; empty: its addresses.
    pub public_name: String,
    /// The relay of this process.
    pub relay: RelayTable,
    /// The TURN server of this process.
    pub turn_server: TurnTable,
}

impl Default for Config {
    /// What holds where the settings are silent.
    fn default() -> Self {
        Settings::default()
            .resolve()
            .expect("the defaults are valid")
    }
}

/// How much one address may ask; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What only reads the book.
    pub reads_per_minute: u32,
    /// All other requests.
    pub asks_per_minute: u32,
}

impl Limits {
    /// For tests and measurements.
    pub const NONE: Self = Self {
        reads_per_minute: 0,
        asks_per_minute: 0,
    };
}

impl Config {
    /// What engines are told.
    pub(crate) fn network(
        &self,
        book_key: BookKey,
        proof_key: RingKey,
        members: &MembersToken,
    ) -> NetworkSettings {
        NetworkSettings {
            version: PROTOCOL,
            book_key,
            proof_key,
            plan: self.plan,
            relays: self.relays.clone(),
            turn: self.turn.clone(),
            work_bits: self.work_bits,
            bucket_bits: self.bucket_bits,
            members: Base64(members.digest()),
        }
    }

    /// Where engines find the book: under its public name, behind the web server with TLS, or at the address at which it listens.
    #[must_use]
    pub fn public_url(&self) -> String {
        match (self.public_name.as_str(), &self.tls) {
            ("", None) => format!("http://{}", self.listen),
            ("", Some(_)) => format!("https://{}", self.listen),
            (name, _) => format!("https://{name}"),
        }
    }

    /// The secret of a TURN server.
    pub(crate) fn turn_secret_of(&self, host: &str) -> Option<&TurnSecret> {
        self.turn_secrets.get(host).or(self.turn_secret.as_ref())
    }

    /// What the book publishes, and how often.
    pub(crate) fn terms(&self) -> Schedule {
        let terms = Schedule::every(self.epoch_seconds, self.plan);
        match self.changes {
            0 => terms,
            changes => Schedule { changes, ..terms },
        }
    }
}
