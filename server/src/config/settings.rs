//! The settings as a file has them, with their defaults, and the checks that turn them into a [`Config`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ringfence_book::bounds::{MAX_BUCKET_BITS, MAX_PERIOD, MAX_WORK_BITS};
use ringfence_book::delta::MAX_CHANGES;
use ringfence_book::number::NumberPlan;
use ringfence_book::proof_of_work;
use ringfence_book::turn_credentials::turn_host;
use ringfence_box::settings::{RelayTable, TurnTable, check_name};
use ringfence_daemon::forwarded::{ForwardedHeader, Proxies};
use ringfence_daemon::limits::Rate;
use ringfence_daemon::log::Format;
use serde::{Deserialize, Serialize};

use super::errors::ConfigError;
use super::files::{tls_files, turn_secret, turn_secrets};
use super::{Config, Database, Limits};
use crate::book::Schedule;

/// Settings as they are written in a file. What the file does not name has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`Config::listen`].
    pub listen: SocketAddr,
    /// The path of the SQLite file, or a URL of PostgreSQL; see [`Database::read`].
    pub database: PathBuf,
    /// See [`Config::plan`].
    pub plan: NumberPlan,
    /// See [`Config::relays`].
    pub relays: Vec<String>,
    /// See [`Config::turn`].
    pub turn: Vec<String>,
    /// See [`Config::work_bits`].
    pub work_bits: u8,
    /// See [`Config::bucket_bits`].
    pub bucket_bits: u8,
    /// See [`Config::log_format`].
    pub log_format: Format,
    /// See [`Config::metrics`]; empty: none.
    pub metrics: String,
    /// The path of a file with [`Config::turn_secret`]; empty: none.
    pub turn_secret_file: PathBuf,
    /// The paths of files with [`Config::turn_secrets`], by host.
    pub turn_secret_files: BTreeMap<String, PathBuf>,
    /// See [`Config::tls`]; empty: none.
    pub tls_certificate: PathBuf,
    /// See [`Config::tls`]; empty: none.
    pub tls_key: PathBuf,
    /// Addresses and networks; see [`Proxies`].
    pub trusted_proxies: Vec<String>,
    /// See [`Proxies`].
    pub forwarded_header: ForwardedHeader,
    /// See [`Limits::reads_per_minute`].
    pub reads_per_minute: u32,
    /// See [`Limits::asks_per_minute`].
    pub asks_per_minute: u32,
    /// See [`Config::epoch_seconds`].
    pub epoch_seconds: u32,
    /// See [`Config::changes`].
    pub changes: u16,
    /// See [`Config::public_name`].
    pub public_name: String,
    /// See [`Config::relay`].
    pub relay: RelayTable,
    /// See [`Config::turn_server`].
    pub turn_server: TurnTable,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7420)),
            database: PathBuf::from("phonebook.sqlite"),
            plan: NumberPlan::DEFAULT,
            relays: Vec::new(),
            turn: Vec::new(),
            work_bits: proof_of_work::DEFAULT_BITS,
            bucket_bits: 0,
            log_format: Format::Text,
            metrics: String::new(),
            turn_secret_file: PathBuf::new(),
            turn_secret_files: BTreeMap::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            trusted_proxies: Proxies::LOCAL.map(str::to_owned).into(),
            forwarded_header: ForwardedHeader::default(),
            // The largest plan can be downloaded whole in a minute; an office of a hundred lines can prove them all.
            reads_per_minute: 6_000,
            asks_per_minute: 600,
            epoch_seconds: Schedule::of(NumberPlan::DEFAULT).period,
            changes: 0,
            public_name: String::new(),
            relay: RelayTable::default(),
            turn_server: TurnTable::default(),
        }
    }
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::TooLong`], [`ConfigError::Parse`].
    #[cfg(feature = "cli")]
    pub fn read(path: &std::path::Path) -> Result<Self, ConfigError> {
        toml::from_str(&super::files::read_text(path)?).map_err(|cause| ConfigError::Parse {
            path: path.to_owned(),
            cause: Box::new(cause),
        })
    }

    /// The configuration.
    ///
    /// # Errors
    /// The [`ConfigError`]s about values, and about the file of the TURN secret.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let config = Config {
            listen: self.listen,
            database: Database::read(&self.database),
            plan: self.plan,
            relays: self.relays,
            turn: self.turn,
            work_bits: self.work_bits,
            bucket_bits: self.bucket_bits,
            log_format: self.log_format,
            metrics: loopback(self.metrics)?,
            turn_secret: turn_secret(self.turn_secret_file)?,
            turn_secrets: turn_secrets(self.turn_secret_files)?,
            tls: tls_files(self.tls_certificate, self.tls_key)?,
            proxies: Proxies::new(&self.trusted_proxies, self.forwarded_header)?,
            limits: Limits {
                reads_per_minute: self.reads_per_minute,
                asks_per_minute: self.asks_per_minute,
            },
            epoch_seconds: self.epoch_seconds,
            changes: self.changes,
            public_name: self.public_name,
            relay: self.relay,
            turn_server: self.turn_server,
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
        let hosts: BTreeSet<String> = self.turn.iter().filter_map(|uri| turn_host(uri)).collect();
        if let Some(host) = self.turn_secrets.keys().find(|host| !hosts.contains(*host)) {
            return Err(ConfigError::NoSuchTurn(host.clone()));
        }
        let has_none = |host: &&String| !self.turn_secrets.contains_key(*host);
        let served = usize::from(self.turn_server.serve);
        if self.turn_secret.is_some() && hosts.iter().filter(has_none).count() + served > 1 {
            return Err(ConfigError::SharedTurnSecret);
        }
        if self.work_bits > MAX_WORK_BITS {
            return Err(ConfigError::WorkBits);
        }
        if self.bucket_bits > MAX_BUCKET_BITS {
            return Err(ConfigError::BucketBits);
        }
        if !(1..=MAX_PERIOD).contains(&self.epoch_seconds) {
            return Err(ConfigError::EpochSeconds);
        }
        if self.changes > MAX_CHANGES {
            return Err(ConfigError::Changes);
        }
        if self
            .limits
            .reads_per_minute
            .max(self.limits.asks_per_minute)
            > Rate::MAX
        {
            return Err(ConfigError::Limits);
        }
        check_name(&self.public_name)?;
        self.relay.check()?;
        self.turn_server.check()?;
        Ok(())
    }
}

/// A loopback address, so that no other machine can open the page for monitors; an empty text is none.
fn loopback(text: String) -> Result<Option<SocketAddr>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: Option<SocketAddr> = text.parse().ok();
    match address.filter(|address| address.ip().is_loopback()) {
        None => Err(ConfigError::Metrics(text)),
        address => Ok(address),
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    /// The names of settings, those of tables too.
    fn names(table: &toml::Table) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (name, value) in table {
            let inner = value.as_table().map(self::names).unwrap_or_default();
            names.extend(inner.into_iter().map(|inner| format!("{name}.{inner}")));
            names.insert(name.clone());
        }
        names
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
            turn_secret_files = {}
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
    fn the_example_file_names_every_setting_with_its_default() {
        let text = include_str!("../../../examples/phonebook.toml");
        let settings = parse(text).unwrap();
        let named: toml::Table = toml::from_str(text).unwrap();
        let all = toml::Table::try_from(Settings::default()).unwrap();
        assert_eq!(names(&named), names(&all));
        let network = Config {
            relays: settings.relays.clone(),
            turn: settings.turn.clone(),
            ..Config::default()
        };
        assert_eq!(settings.resolve().unwrap(), network);
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
            ("", 2),
            ("plan = { first = 20000, tiles = 4096 }", 60),
            ("epoch_seconds = 3600", 36),
            ("changes = 7\nepoch_seconds = 3600", 7),
            (
                "plan = { first = 20000, tiles = 4096 }\nepoch_seconds = 3600",
                3536,
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
            ("work_bits = 27", "work_bits"),
            ("bucket_bits = 9", "bucket_bits"),
            ("tls_key = \"key.pem\"", "tls_certificate"),
            ("trusted_proxies = [\"localhost\"]", "localhost"),
            ("asks_per_minute = 1000001", "asks_per_minute"),
            ("turn_secret_file = \"/nowhere/secret\"", "/nowhere/secret"),
            ("epoch_seconds = 0", "epoch_seconds"),
            ("epoch_seconds = 3601", "epoch_seconds"),
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

    #[test]
    fn the_page_for_monitors_is_for_this_machine_only() {
        let resolve = |metrics: &str| {
            let metrics = metrics.to_owned();
            let settings = Settings {
                metrics,
                ..Settings::default()
            };
            settings.resolve().map(|config| config.metrics)
        };
        assert_eq!(resolve("").unwrap(), None);
        assert!(resolve("[::1]:9421").unwrap().is_some());
        for open in [
            "0.0.0.0:9421",
            "192.168.1.10:9421",
            "localhost:9421",
            "9421",
        ] {
            assert!(
                matches!(resolve(open), Err(ConfigError::Metrics(_))),
                "{open}"
            );
        }
    }
}
