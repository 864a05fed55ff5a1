//! Settings: what a file says, what the command line says over it, and what holds where both are silent. Checked here, once.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ringfence_book::delta::MAX_CHANGES;
use ringfence_book::number::NumberPlan;
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::settings::{RelayTable, TurnTable, check_name};
use ringfence_daemon::forwarded::{ForwardedHeader, Proxies};
use ringfence_daemon::log::Format;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::fault::ConfigError;
use super::{Config, Database, Limits, monitor, web};

/// A file of settings is a page, not a book; a wrong path should not fill the memory.
const MAX_FILE: u64 = 64 * 1024;

/// 2^28 tries keep a caller's machine busy for the better part of a minute; nobody wants more.
pub(super) const MAX_WORK_BITS: u8 = 28;

/// A bucket is written in four hexadecimal digits.
pub(super) const MAX_BUCKET_BITS: u8 = 16;

/// An epoch of a day would make a new number wait for two.
pub(super) const MAX_EPOCH_SECONDS: u32 = 24 * 60 * 60;

/// Settings as they are written, in a file or on the command line; what is absent is said elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// See [`Config::listen`].
    pub listen: Option<SocketAddr>,
    /// The path of the SQLite file, or a URL of PostgreSQL; see [`Database::read`].
    pub database: Option<PathBuf>,
    /// See [`Config::plan`].
    pub plan: Option<NumberPlan>,
    /// See [`Config::relays`].
    pub relays: Option<Vec<String>>,
    /// See [`Config::turn`].
    pub turn: Option<Vec<String>>,
    /// See [`Config::work_bits`].
    pub work_bits: Option<u8>,
    /// See [`Config::bucket_bits`].
    pub bucket_bits: Option<u8>,
    /// See [`Config::log_format`].
    pub log_format: Option<Format>,
    /// See [`Config::metrics`]; an empty text stands for none.
    pub metrics: Option<String>,
    /// The path of a file with [`Config::turn_secret`]; an empty one is none.
    pub turn_secret_file: Option<PathBuf>,
    /// See [`TlsFiles::certificate`]; an empty one is none.
    pub tls_certificate: Option<PathBuf>,
    /// See [`TlsFiles::key`]; an empty one is none.
    pub tls_key: Option<PathBuf>,
    /// Addresses and networks; see [`Proxies`].
    pub trusted_proxies: Option<Vec<String>>,
    /// See [`Proxies`].
    pub forwarded_header: Option<ForwardedHeader>,
    /// See [`Limits::reads_per_minute`].
    pub reads_per_minute: Option<u32>,
    /// See [`Limits::asks_per_minute`].
    pub asks_per_minute: Option<u32>,
    /// See [`Config::epoch_seconds`].
    pub epoch_seconds: Option<u32>,
    /// See [`Config::changes`].
    pub changes: Option<u16>,
    /// See [`Config::public_name`].
    pub public_name: Option<String>,
    /// See [`Config::relay`].
    pub relay: Option<RelayTable>,
    /// See [`Config::turn_server`].
    pub turn_server: Option<TurnTable>,
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::TooLong`], [`ConfigError::Parse`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(&page(path)?).map_err(|cause| ConfigError::Parse {
            path: path.to_owned(),
            cause: Box::new(cause),
        })
    }

    /// These settings, and the other's where these are silent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            database: self.database.or(other.database),
            plan: self.plan.or(other.plan),
            relays: self.relays.or(other.relays),
            turn: self.turn.or(other.turn),
            work_bits: self.work_bits.or(other.work_bits),
            bucket_bits: self.bucket_bits.or(other.bucket_bits),
            log_format: self.log_format.or(other.log_format),
            metrics: self.metrics.or(other.metrics),
            turn_secret_file: self.turn_secret_file.or(other.turn_secret_file),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            forwarded_header: self.forwarded_header.or(other.forwarded_header),
            reads_per_minute: self.reads_per_minute.or(other.reads_per_minute),
            asks_per_minute: self.asks_per_minute.or(other.asks_per_minute),
            epoch_seconds: self.epoch_seconds.or(other.epoch_seconds),
            changes: self.changes.or(other.changes),
            public_name: self.public_name.or(other.public_name),
            relay: self.relay.or(other.relay),
            turn_server: self.turn_server.or(other.turn_server),
        }
    }

    /// The configuration, with the defaults where these are silent.
    ///
    /// # Errors
    /// The [`ConfigError`]s about values, and about the file of the TURN secret.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let default = Config::default();
        let limits = Limits {
            reads_per_minute: self
                .reads_per_minute
                .unwrap_or(default.limits.reads_per_minute),
            asks_per_minute: self
                .asks_per_minute
                .unwrap_or(default.limits.asks_per_minute),
        };
        let header = self.forwarded_header.unwrap_or_default();
        let config = Config {
            listen: self.listen.unwrap_or(default.listen),
            database: self
                .database
                .map_or(default.database, |path| Database::read(&path)),
            plan: self.plan.unwrap_or(default.plan),
            relays: self.relays.unwrap_or(default.relays),
            turn: self.turn.unwrap_or(default.turn),
            work_bits: self.work_bits.unwrap_or(default.work_bits),
            bucket_bits: self.bucket_bits.unwrap_or(default.bucket_bits),
            log_format: self.log_format.unwrap_or(default.log_format),
            metrics: monitor::loopback(self.metrics.unwrap_or_default())?,
            turn_secret: turn_secret(self.turn_secret_file)?,
            tls: web::tls_files(self.tls_certificate, self.tls_key)?,
            proxies: match self.trusted_proxies {
                Some(networks) => Proxies::new(&networks, header)?,
                None => default.proxies.with(header),
            },
            limits: limits.check()?,
            epoch_seconds: self.epoch_seconds.unwrap_or(default.epoch_seconds),
            changes: self.changes.unwrap_or(default.changes),
            public_name: self.public_name.unwrap_or(default.public_name),
            relay: self.relay.unwrap_or(default.relay),
            turn_server: self.turn_server.unwrap_or(default.turn_server),
        };
        config.check()?;
        Ok(config)
    }
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let lacks = |schemes: [&'static str; 2]| {
            move |url: &&String| {
                !schemes.iter().any(|scheme| {
                    url.strip_prefix(scheme)
                        .is_some_and(|host| !host.is_empty())
                })
            }
        };
        if let Some(relay) = self.relays.iter().find(lacks(["ws://", "wss://"])) {
            return Err(ConfigError::Relay(relay.clone()));
        }
        if let Some(turn) = self.turn.iter().find(lacks(["turn:", "turns:"])) {
            return Err(ConfigError::Turn(turn.clone()));
        }
        if self.work_bits > MAX_WORK_BITS {
            return Err(ConfigError::WorkBits);
        }
        if self.bucket_bits > MAX_BUCKET_BITS {
            return Err(ConfigError::BucketBits);
        }
        if !(1..=MAX_EPOCH_SECONDS).contains(&self.epoch_seconds) {
            return Err(ConfigError::EpochSeconds);
        }
        if self.changes > MAX_CHANGES {
            return Err(ConfigError::Changes);
        }
        check_name(&self.public_name)?;
        self.relay.check()?;
        self.turn_server.check()?;
        Ok(())
    }
}

/// The text of a file that a person wrote.
fn page(path: &Path) -> Result<String, ConfigError> {
    let failed = |cause| ConfigError::Read {
        path: path.to_owned(),
        cause,
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
        });
    }
    fs::read_to_string(path).map_err(failed)
}

/// The one line of the file; an empty path is no file.
fn turn_secret(file: Option<PathBuf>) -> Result<Option<TurnSecret>, ConfigError> {
    let Some(path) = file.filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(None);
    };
    let text = Zeroizing::new(page(&path)?);
    if text.trim().is_empty() {
        return Err(ConfigError::NoTurnSecret { path });
    }
    Ok(Some(TurnSecret::new(text.trim().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn every_setting_can_stand_in_a_file() {
        let text = r#"
            listen = "[::1]:1"
            database = "book.sqlite"
            relays = ["wss://relay.example"]
            turn = ["turn:turn.example:3478"]
            work_bits = 12
            bucket_bits = 3
            plan = { first = 100, tiles = 2 }
            turn_secret_file = ""
            tls_certificate = "chain.pem"
            tls_key = "key.pem"
            trusted_proxies = ["192.0.2.1", "2001:db8::/32"]
            forwarded_header = "forwarded"
            reads_per_minute = 5
            asks_per_minute = 0
            public_name = "book.example"
            relay = { serve = true, connections = 9 }
            turn_server = { serve = true, program = "embedded", ports = [50000, 50999] }
        "#;
        let config = parse(text).unwrap().resolve().unwrap();
        assert_eq!(config.database, Database::File("book.sqlite".into()));
        assert_eq!(
            (config.plan.count(), config.work_bits, config.bucket_bits),
            (512, 12, 3)
        );
        assert_eq!(config.relays, ["wss://relay.example"]);
        assert!(config.relay.serve && config.turn_server.serve);
        assert_eq!(config.relay.connections, 9);
        assert_eq!(config.turn_server.ports, [50_000, 50_999]);
        let files = config.tls.unwrap();
        assert_eq!(
            (files.certificate, files.key),
            ("chain.pem".into(), "key.pem".into())
        );
        let limits = Limits {
            reads_per_minute: 5,
            asks_per_minute: 0,
        };
        assert_eq!(config.limits, limits);
        let trusted = |text: &str| config.proxies.trust(text.parse().unwrap());
        assert!(trusted("192.0.2.1") && trusted("2001:db8::5"));
        assert!(!trusted("192.0.2.2") && !trusted("127.0.0.1"));
    }

    #[test]
    fn the_secret_of_the_turn_servers_is_a_line_in_a_file_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = Settings {
            turn_secret_file: Some(file.path().to_owned()),
            ..Settings::default()
        };
        fs::write(file.path(), "north-sea\n").unwrap();
        let config = settings.clone().resolve().unwrap();
        assert_eq!(
            config.turn_secret,
            Some(TurnSecret::new("north-sea".to_owned()))
        );
        fs::write(file.path(), "\n").unwrap();
        let error = settings.resolve().unwrap_err();
        assert!(matches!(error, ConfigError::NoTurnSecret { .. }), "{error}");
    }

    #[test]
    fn the_example_file_names_every_setting_with_its_default() {
        let text = include_str!("../../../examples/phonebook.toml");
        let settings = parse(text).unwrap();
        let Settings {
            listen,
            database,
            plan,
            relays,
            turn,
            work_bits,
            bucket_bits,
            log_format,
            metrics,
            turn_secret_file,
            tls_certificate,
            tls_key,
            trusted_proxies,
            forwarded_header,
            reads_per_minute,
            asks_per_minute,
            epoch_seconds,
            changes,
            public_name,
            relay,
            turn_server,
        } = settings.clone();
        assert!(
            listen.is_some()
                && database.is_some()
                && plan.is_some()
                && relays.is_some()
                && turn.is_some()
        );
        assert!(work_bits.is_some() && bucket_bits.is_some());
        assert!(log_format.is_some() && metrics.is_some());
        assert!(turn_secret_file.is_some() && tls_certificate.is_some() && tls_key.is_some());
        assert!(trusted_proxies.is_some() && forwarded_header.is_some());
        assert!(reads_per_minute.is_some() && asks_per_minute.is_some());
        assert!(epoch_seconds.is_some() && changes.is_some());
        assert!(public_name.is_some() && relay.is_some() && turn_server.is_some());
        let network = Config {
            relays: relays.unwrap(),
            turn: turn.unwrap(),
            ..Config::default()
        };
        assert_eq!(settings.resolve().unwrap(), network);
    }

    #[test]
    fn the_command_line_goes_over_the_file() {
        let file = Settings {
            work_bits: Some(1),
            bucket_bits: Some(2),
            ..Settings::default()
        };
        let line = Settings {
            work_bits: Some(3),
            ..Settings::default()
        };
        let config = line.or(file).resolve().unwrap();
        assert_eq!((config.work_bits, config.bucket_bits), (3, 2));
    }

    #[test]
    fn a_database_is_a_file_or_a_url_and_its_password_is_not_shown() {
        let url = "postgres://book:password@host/book";
        let database = Database::read(Path::new(url));
        assert_eq!(database, Database::Postgres(url.to_owned()));
        assert!(!format!("{database:?}").contains("password"));
        let file = Path::new("postgres.sqlite");
        assert_eq!(Database::read(file), Database::File(file.to_owned()));
    }

    #[test]
    fn silence_means_the_defaults() {
        assert_eq!(parse("").unwrap().resolve().unwrap(), Config::default());
    }

    #[test]
    fn a_larger_plan_or_a_longer_epoch_has_more_changes_unless_told() {
        for (text, changes) in [
            ("", 16),
            ("plan = { first = 20000, tiles = 4096 }", 282),
            ("epoch_seconds = 86400", 788),
            ("changes = 7\nepoch_seconds = 86400", 7),
            (
                "plan = { first = 20000, tiles = 4096 }\nepoch_seconds = 86400",
                4096,
            ),
        ] {
            let config = parse(text).unwrap().resolve().unwrap();
            assert_eq!(config.terms().changes, changes, "{text}");
        }
    }

    #[test]
    fn wrong_settings_are_refused_with_their_name() {
        for (text, word) in [
            ("relays = [\"relay.example\"]", "ws://"),
            ("relays = [\"wss://\"]", "ws://"),
            ("turn = [\"stun:turn.example\"]", "turn:"),
            ("work_bits = 29", "work_bits"),
            ("bucket_bits = 17", "bucket_bits"),
            ("tls_key = \"key.pem\"", "tls_certificate"),
            ("trusted_proxies = [\"localhost\"]", "localhost"),
            ("asks_per_minute = 1000001", "asks_per_minute"),
            ("turn_secret_file = \"/nowhere/secret\"", "/nowhere/secret"),
            ("epoch_seconds = 0", "epoch_seconds"),
            ("epoch_seconds = 86401", "epoch_seconds"),
            ("changes = 4097", "changes"),
        ] {
            let error = parse(text).unwrap().resolve().unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        for text in [
            "lisden = \"x\"",
            "plan = { first = 1, tiles = 0 }",
            "work_bits = -1",
            "listen = \"localhost\"",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
