//! Settings: a TOML file as it was typed ([`raw::RawConfig`]) becomes settings that hold together ([`Config`]).
//!
//! Two types and one conversion: what is typed may be wrong in many ways, what the program reads may not. Every setting has a
//! default, and `examples/ringfence.toml` documents them all (a test compares the two). Keys and numbers are not settings: they
//! live in the key store.

mod error;
mod provisioning;
pub mod raw;
mod sip;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_book::bounds::MAX_WORK_BITS;
use ringfence_daemon::log::{self, Format};
use ringfence_media::frame::redundancy::MOST_DEPTH;

use crate::net::outbound::Outbound;
use crate::net::phone::certificate::{CertificateNames, CertificateSource};
use crate::net::relay;
use crate::net::socks::SocksProxy;
use crate::net::tls::{self, TlsFileError};
use crate::state::folder::StateFolder;
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;
use crate::turn::credentials::CredentialPool;
pub use crate::turn::credentials::TurnLogin;
pub use error::ConfigError;
pub use provisioning::{Mac, Provisioning};
use raw::{RawConfig, RawTurn};
pub use sip::SipListen;

/// Most seconds that a caller waits for an answer: longer than any voicemail, shorter than a forgotten call.
const LONGEST_RING: u64 = 180;
/// Each frame carries its own sound and that of [`MOST_DEPTH`] earlier ones at most.
const MOST_SOUND_RATE: u64 = 1 + MOST_DEPTH as u64;
/// Largest configuration file that is read.
const MOST_BYTES: u64 = 256 * 1024;

/// Settings of an engine, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of keys and of the phone book's copy. The settings know no passphrase: what opens the folder puts it in.
    pub state: StateFolder,
    /// Filter of the log, in the syntax of `RUST_LOG`.
    pub log: String,
    /// How the log is written.
    pub log_format: Format,
    /// Nostr relays; empty: those the phone book names.
    pub relays: Vec<String>,
    /// Authorities that are trusted beside the system's, for the phone book, relays and TURN servers.
    pub ca_file: Option<PathBuf>,
    /// SOCKS5 proxy to relays and phone book; `None`: they are reached directly.
    pub proxy: Option<SocksProxy>,
    /// Whether this desktop shows missed calls and texts.
    pub notifications: bool,
    /// Leading zero bits of proofs of work; `None`: what the phone book says.
    pub work_bits: Option<u8>,
    /// How long a caller waits for an answer.
    pub no_answer: Duration,
    /// Simultaneous calls in all states.
    pub max_calls: usize,
    /// How many times its codec's bit rate a call's sound may take on a wire that loses packets.
    pub sound_rate: usize,
    /// Where phones register.
    pub sip: SipListen,
    /// The phone book.
    pub phonebook: BookSettings,
    /// The TURN server.
    pub turn: TurnSettings,
    /// Loopback address of the user's page; `None`: there is none.
    pub page: Option<SocketAddr>,
    /// How phones on the network are set up; `None`: they are not.
    pub provisioning: Option<Provisioning>,
    /// Loopback address of the page for monitors; `None`: there is none.
    pub metrics: Option<SocketAddr>,
}

/// How the copy of the phone book is kept fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSettings {
    /// Mean time between downloads, `None` for once in each epoch of the book; the real moments are random, so that they tell
    /// nothing.
    pub refresh: Option<Duration>,
}

/// The TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnSettings {
    /// Servers in order of preference; empty: those the phone book names.
    pub urls: Vec<TurnEndpoint>,
    /// How the engine logs in.
    pub login: TurnLogin,
    /// The secrets of some servers, by host, in place of that.
    pub secrets: BTreeMap<String, Secret>,
    /// What a running engine remembers of servers and logins; no setting.
    pub memory: Option<CredentialPool>,
    /// Whether relayed addresses on loopback and private networks are accepted.
    pub allow_private: bool,
}

impl Config {
    /// The defaults, with no file.
    ///
    /// # Errors
    /// [`ConfigError::NoHome`] when there is no home folder for the state.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::try_from(RawConfig::default())
    }

    /// The defaults with a state folder of one's own.
    #[must_use]
    pub fn with_state(state: &Path) -> Self {
        let raw = RawConfig {
            state: String::new(),
            ..RawConfig::default()
        };
        let config = Self::try_from(raw).expect("every default passes its own check");
        Self {
            state: state.into(),
            ..config
        }
    }

    /// The way to relays, phone book and TURN servers. It reads the system's authorities, so it is made once and handed on.
    ///
    /// # Errors
    /// [`TlsFileError`] of `ca_file`.
    pub fn outbound(&self) -> Result<Outbound, TlsFileError> {
        let tls = tls::client(self.ca_file.as_deref())?;
        Ok(Outbound::new(tls, self.proxy.clone()))
    }

    /// The certificate that phones see.
    #[must_use]
    pub fn certificate(&self) -> CertificateSource {
        match &self.sip.certificate {
            Some((certificate, key)) => CertificateSource::Files {
                certificate: certificate.clone(),
                key: key.clone(),
            },
            None => CertificateSource::Own {
                folder: self.state.clone(),
                names: CertificateNames {
                    addresses: self.sip.addresses.clone(),
                    hosts: self.sip.names.clone(),
                },
            },
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] naming the file, the line or the setting.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fault = |error: std::io::Error| ConfigError::Unreadable {
            path: path.to_owned(),
            kind: error.kind(),
        };
        if std::fs::metadata(path).map_err(fault)?.len() > MOST_BYTES {
            return Err(ConfigError::Unreadable {
                path: path.to_owned(),
                kind: std::io::ErrorKind::FileTooLarge,
            });
        }
        let text = std::fs::read_to_string(path).map_err(fault)?;
        Self::try_from(
            raw::parse(&text).map_err(|(line, message)| ConfigError::Syntax {
                path: path.to_owned(),
                line,
                message,
            })?,
        )
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        in_range("sound_rate", raw.sound_rate, 1, MOST_SOUND_RATE)?;
        in_range("no_answer_seconds", raw.no_answer_seconds, 5, LONGEST_RING)?;
        in_range(
            "work_bits",
            u64::from(raw.work_bits),
            0,
            u64::from(MAX_WORK_BITS),
        )?;
        in_range(
            "phonebook.refresh_minutes",
            raw.phonebook.refresh_minutes,
            0,
            7 * 24 * 60,
        )?;
        log::check(&raw.log).map_err(|_| ConfigError::Log(raw.log.clone()))?;
        for url in &raw.relays {
            relay::check_url(url).map_err(|_| ConfigError::Relay(url.clone()))?;
        }
        let proxy = match raw.proxy.as_str() {
            "" => None,
            url => Some(url.parse().map_err(|why| ConfigError::Proxy {
                url: url.to_owned(),
                why,
            })?),
        };
        let sip = SipListen::try_from(raw.sip)?;
        if raw.page.listen.is_empty() && !raw.provisioning.listen.is_empty() {
            return Err(ConfigError::ProvisioningAlone);
        }
        let home = || std::env::var_os("HOME").map(PathBuf::from);
        let ca_file = match raw.ca_file.as_str() {
            "" => None,
            path => Some(expand_home(path, home())?),
        };
        Ok(Self {
            state: StateFolder::from(&expand_home(&raw.state, home())?),
            log: raw.log,
            log_format: raw.log_format,
            relays: raw.relays,
            work_bits: Some(raw.work_bits).filter(|bits| *bits > 0),
            no_answer: Duration::from_secs(raw.no_answer_seconds),
            max_calls: sip::limit("max_calls", raw.max_calls)?,
            sound_rate: usize::try_from(raw.sound_rate).unwrap_or(1),
            provisioning: Provisioning::read(raw.provisioning, &sip.addresses)?,
            sip,
            phonebook: BookSettings {
                refresh: Some(raw.phonebook.refresh_minutes)
                    .filter(|minutes| *minutes > 0)
                    .map(|minutes| Duration::from_secs(minutes * 60)),
            },
            turn: turn_settings(raw.turn)?,
            ca_file,
            proxy,
            notifications: raw.notifications,
            page: loopback("page.listen", raw.page.listen)?,
            metrics: loopback("metrics.listen", raw.metrics.listen)?,
        })
    }
}

fn in_range(setting: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::Range {
            setting,
            value,
            least,
            most,
        })
    }
}

fn optional_path(text: &str) -> Option<PathBuf> {
    Some(text)
        .filter(|text| !text.is_empty())
        .map(PathBuf::from)
}

/// `~` and `~/..` become the home folder; everything else stays.
fn expand_home(text: &str, home: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    match text.strip_prefix('~') {
        Some("") => home.ok_or(ConfigError::NoHome),
        Some(rest) if rest.starts_with('/') => Ok(home
            .ok_or(ConfigError::NoHome)?
            .join(rest.trim_start_matches('/'))),
        _ => Ok(PathBuf::from(text)),
    }
}

fn loopback(setting: &'static str, text: String) -> Result<Option<SocketAddr>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: Option<SocketAddr> = text.parse().ok();
    match address.filter(|address| address.ip().is_loopback()) {
        None => Err(ConfigError::Loopback(setting, text)),
        address => Ok(address),
    }
}

fn turn_settings(raw: RawTurn) -> Result<TurnSettings, ConfigError> {
    let read = |url: &String| {
        url.parse().map_err(|why| ConfigError::TurnUrl {
            url: url.clone(),
            why,
        })
    };
    let login = match (
        raw.secret.is_empty(),
        raw.user.is_empty(),
        raw.password.is_empty(),
    ) {
        (true, true, true) => TurnLogin::None,
        (false, true, true) => TurnLogin::Shared(raw.secret),
        (true, false, false) => TurnLogin::Fixed {
            user: raw.user,
            password: raw.password,
        },
        _ => return Err(ConfigError::TurnLogin),
    };
    if raw.secrets.values().any(Secret::is_empty) {
        return Err(ConfigError::TurnLogin);
    }
    let secrets = raw.secrets.into_iter();
    let secrets: BTreeMap<String, Secret> = secrets
        .map(|(host, secret)| (host.to_ascii_lowercase(), secret))
        .collect();
    let urls: Vec<TurnEndpoint> = raw.urls.iter().map(read).collect::<Result<_, _>>()?;
    let hosts = urls.iter().map(|url| url.host.to_ascii_lowercase());
    let common: BTreeSet<String> = hosts.filter(|host| !secrets.contains_key(host)).collect();
    if matches!(login, TurnLogin::Shared(_)) && common.len() > 1 {
        return Err(ConfigError::SharedTurnSecret);
    }
    Ok(TurnSettings {
        urls,
        login,
        secrets,
        memory: None,
        allow_private: raw.allow_private,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::turn::TurnUrlError;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::read(file.path())
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = read("state = \"/tmp/x\"").unwrap();
        assert_eq!(config.no_answer, Duration::from_secs(30));
        assert_eq!(
            config.sip.addresses,
            ["127.0.0.1".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(config.work_bits, None);
    }

    #[test]
    fn one_file_of_authorities_and_one_proxy_serve_all() {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        let config = read("ca_file = \"~/box.pem\"").unwrap();
        assert_eq!(config.ca_file, Some(home.join("box.pem")));
        let config = read("ca_file = \"/etc/box.pem\"\nproxy = \"socks5h://127.0.0.1:9050\"");
        let config = config.unwrap();
        assert_eq!(config.ca_file.as_deref(), Some(Path::new("/etc/box.pem")));
        let proxy = config.proxy.unwrap();
        assert_eq!(proxy.to_string(), "socks5h://127.0.0.1:9050");
        let error = read("proxy = \"socks5://127.0.0.1:9050\"").unwrap_err();
        assert!(error.to_string().contains("socks5h://"), "{error}");
        assert!(error.remedy().contains("socks5h://"));
    }

    #[test]
    fn a_misspelt_setting_is_named_with_its_line() {
        let error = read("state = \"/tmp/x\"\n\n[sip]\nudp_prot = 5061\n").unwrap_err();
        let ConfigError::Syntax { line, message, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(line, 4);
        assert!(
            message.contains("udp_prot") && message.contains("udp_port"),
            "{message}"
        );
    }

    #[test]
    fn a_syntax_error_does_not_print_the_secret_on_its_line() {
        let error = read("[turn]\nsecret = \"swordfish\n").unwrap_err();
        assert!(!error.to_string().contains("swordfish"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_says_the_range() {
        let error = read("state = \"/tmp/x\"\nno_answer_seconds = 1").unwrap_err();
        assert_eq!(
            error,
            ConfigError::Range {
                setting: "no_answer_seconds",
                value: 1,
                least: 5,
                most: 180
            }
        );
    }

    #[test]
    fn phones_are_served_at_several_addresses_with_keys_as_said() {
        let sip = read("[sip]\nlisten = [\"127.0.0.1\", \"::1\"]\nsrtp = \"required\"")
            .unwrap()
            .sip;
        assert_eq!(sip.addresses.len(), 2);
        assert_eq!(sip.srtp, ringfence_media::Srtp::Required);
        let error = read("[sip]\nsrtp = \"sometimes\"").unwrap_err();
        assert!(error.to_string().contains("optional"), "{error}");
        assert_eq!(
            read("[sip]\ncertificate = \"/tmp/x\"").unwrap_err(),
            ConfigError::Certificate
        );
    }

    #[test]
    fn emergency_numbers_are_the_usual_ones_until_others_are_named() {
        let numbers = |text: &str| {
            let sip = read(&format!("state = \"/x\"\n[sip]\n{text}"))?.sip;
            Ok::<_, ConfigError>(sip.emergency_numbers)
        };
        assert_eq!(numbers("").unwrap(), ["112", "911", "999"]);
        assert!(numbers("emergency_numbers = []").unwrap().is_empty());
        let own = numbers("emergency_numbers = [\"110\", \"19222\"]");
        assert_eq!(own.unwrap(), ["110", "19222"]);
        for wrong in ["", "1", "*69", "+112", "1 1 2", "123456789"] {
            let error = numbers(&format!("emergency_numbers = [{wrong:?}]")).unwrap_err();
            assert_eq!(error, ConfigError::EmergencyNumber(wrong.to_owned()));
        }
        let many = format!("emergency_numbers = {:?}", vec!["112"; 33]);
        assert!(matches!(numbers(&many), Err(ConfigError::Range { .. })));
    }

    #[test]
    fn half_a_turn_account_is_refused() {
        assert_eq!(
            read("[turn]\nuser = \"a\"").unwrap_err(),
            ConfigError::TurnLogin
        );
        assert_eq!(
            read("[turn]\nuser = \"a\"\npassword = \"b\"\nsecret = \"c\"").unwrap_err(),
            ConfigError::TurnLogin
        );
        assert!(matches!(
            read("[turn]\nuser = \"a\"\npassword = \"b\"")
                .unwrap()
                .turn
                .login,
            TurnLogin::Fixed { .. }
        ));
    }

    #[test]
    fn each_turn_server_may_have_a_secret_of_its_own_and_one_for_all_is_refused() {
        let urls = "[turn]\nurls = [\"turn:a.example\", \"turns:a.example\", \"turn:b.example\"]\n";
        let turn = |rest: &str| read(&format!("{urls}{rest}")).map(|config| config.turn);
        let own = turn("secret = \"south\"\nsecrets = { \"A.example\" = \"north\" }").unwrap();
        assert_eq!(own.secrets["a.example"], Secret::new("north".to_owned()));
        let shared = turn("secret = \"south\"").unwrap_err();
        assert_eq!(shared, ConfigError::SharedTurnSecret);
        let empty = turn("secrets = { \"a.example\" = \"\" }").unwrap_err();
        assert_eq!(empty, ConfigError::TurnLogin);
        assert!(!format!("{own:?}").contains("north"));
    }

    #[test]
    fn bad_addresses_and_urls_are_refused_by_name() {
        assert_eq!(
            read("[sip]\nlisten = [\"localhost\"]").unwrap_err(),
            ConfigError::Listen("localhost".to_owned())
        );
        assert_eq!(
            read("[sip]\nlisten = [\"127.0.0.1\", \"::1\", \"127.0.0.1\"]").unwrap_err(),
            ConfigError::ListenTwice("127.0.0.1".parse().unwrap())
        );
        assert_eq!(
            read("relays = [\"http://x\"]").unwrap_err(),
            ConfigError::Relay("http://x".to_owned())
        );
        let error = read("[turn]\nurls = [\"stun:x\"]").unwrap_err();
        assert_eq!(
            error,
            ConfigError::TurnUrl {
                url: "stun:x".to_owned(),
                why: TurnUrlError::Scheme
            }
        );
    }

    #[test]
    fn figures_are_for_this_machine_and_a_filter_is_a_filter() {
        let metrics = |text: &str| read(&format!("state = \"/x\"\n[metrics]\nlisten = {text:?}"));
        assert_eq!(metrics("").unwrap().metrics, None);
        assert!(metrics("127.0.0.1:9422").unwrap().metrics.is_some());
        for open in ["0.0.0.0:9422", "192.168.1.10:1", "localhost:1", "9422"] {
            assert_eq!(
                metrics(open).unwrap_err(),
                ConfigError::Loopback("metrics.listen", open.to_owned())
            );
        }
        let loud = read("log = \"ringfence=loud\"").unwrap_err();
        assert_eq!(loud, ConfigError::Log("ringfence=loud".to_owned()));
    }

    #[test]
    fn an_address_that_stands_for_every_network_is_refused_with_what_to_write() {
        for everywhere in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            let text = format!("[sip]\nlisten = [\"127.0.0.1\", \"{everywhere}\"]");
            let error = read(&text).unwrap_err();
            assert_eq!(
                error,
                ConfigError::ListenEverywhere(everywhere.parse().unwrap())
            );
            assert!(error.remedy().contains("the network card"));
        }
    }

    #[test]
    fn home_is_expanded_only_where_it_stands_for_home() {
        let home = || Some(PathBuf::from("/home/a"));
        assert_eq!(expand_home("~/x", home()), Ok(PathBuf::from("/home/a/x")));
        assert_eq!(expand_home("/y/~", home()), Ok(PathBuf::from("/y/~")));
        assert_eq!(expand_home("~bob/x", home()), Ok(PathBuf::from("~bob/x")));
        assert_eq!(expand_home("~/x", None), Err(ConfigError::NoHome));
    }

    #[test]
    fn a_missing_file_is_told_apart() {
        let error = Config::read(Path::new("/nonexistent/ringfence.toml")).unwrap_err();
        assert!(matches!(
            error,
            ConfigError::Unreadable {
                kind: std::io::ErrorKind::NotFound,
                ..
            }
        ));
    }
}
