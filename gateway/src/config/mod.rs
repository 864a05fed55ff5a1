//! Settings: a TOML file as it was typed ([`raw::RawConfig`]) becomes settings that hold together ([`Config`]).
//!
//! Two types and one conversion: what is typed may be wrong in many ways, what the program reads may not. Every setting has a
//! default, and `examples/ringfence.toml` documents them all (a test compares the two). Keys and numbers are not settings: they
//! live in the key store.

pub mod raw;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::io::purse::Purse;
use crate::io::relay;
use crate::io::turn::{TurnEndpoint, TurnUrlError};
use crate::secret::Secret;
use raw::{RawConfig, RawTurn};

/// Most seconds that a caller waits for an answer: longer than any voicemail, shorter than a forgotten call.
const LONGEST_RING: u64 = 180;
/// Most leading zero bits a stamp may need: minutes of work on one core.
const MOST_WORK: u8 = 28;
/// Largest configuration file that is read.
const MOST_BYTES: u64 = 256 * 1024;

/// Settings of an engine, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of keys and of the phone book's copy.
    pub state: PathBuf,
    /// Filter of the log, in the syntax of `RUST_LOG`.
    pub log: String,
    /// Nostr relays; empty: those the phone book names.
    pub relays: Vec<String>,
    /// Leading zero bits of stamps; `None`: what the phone book says.
    pub work_bits: Option<u8>,
    /// How long a caller waits for an answer.
    pub no_answer: Duration,
    /// Where phones register.
    pub sip: SipListen,
    /// The phone book.
    pub phonebook: BookSettings,
    /// The TURN server.
    pub turn: TurnSettings,
}

/// Where phones register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipListen {
    /// Addresses to listen at.
    pub addresses: Vec<IpAddr>,
    /// UDP port; 0 takes a free one.
    pub udp_port: u16,
    /// TCP port; 0 takes a free one.
    pub tcp_port: u16,
}

/// How the copy of the phone book is kept fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSettings {
    /// Mean time between downloads, `None` for once in each epoch of the book; the real moments are random, so that they tell
    /// nothing.
    pub refresh: Option<Duration>,
    /// Certificates trusted beside the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// The TURN server.
#[derive(Clone, Debug)]
pub struct TurnSettings {
    /// Servers in order of preference; empty: those the phone book names.
    pub urls: Vec<TurnEndpoint>,
    /// How the engine logs in.
    pub login: TurnLogin,
    /// Certificates trusted beside the usual ones.
    pub ca_file: Option<PathBuf>,
    /// Whether relayed addresses on loopback and private networks are accepted.
    pub allow_private: bool,
}

/// How the engine logs in to the TURN server.
#[derive(Clone, Debug)]
pub enum TurnLogin {
    /// Nothing is set.
    None,
    /// Logins that the phone book gives in bulk, each used once.
    Book(Purse),
    /// A secret shared with the server, from which one-use credentials are made (draft-uberti-behave-turn-rest).
    Shared(Secret),
    /// One fixed account. The server can then tell this engine's calls from others'.
    Fixed {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
}

/// Why settings cannot be used. Each names the file or the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {kind}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// The file is not TOML, or names an unknown setting.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// `state` needs a home folder and there is none.
    #[error("the setting `state` begins with ~ but HOME is not set")]
    NoHome,
    /// A value outside its range.
    #[error("the setting `{setting}` is {value}; it may be {least} to {most}")]
    Range {
        /// The setting.
        setting: &'static str,
        /// What was typed.
        value: u64,
        /// Smallest value.
        least: u64,
        /// Largest value.
        most: u64,
    },
    /// `sip.listen` is empty or has something that is not an address.
    #[error("the setting `sip.listen` needs at least one IP address; {0:?} is none")]
    Listen(String),
    /// `sip.listen` has `0.0.0.0` or `::`. Phones are told that address in SIP and SDP, and could send nothing to it.
    #[error(
        "the setting `sip.listen` has {0}, which stands for every network and is no address that a phone could be told"
    )]
    ListenEverywhere(IpAddr),
    /// `sip.listen` has several addresses. A phone is told where to send its sound, and that must be the address it
    /// registered at: one for all phones so far.
    #[error("the setting `sip.listen` has {0} addresses; phones can be served at one")]
    ListenSeveral(usize),
    /// A relay that is not a WebSocket URL.
    #[error("the setting `relays` has {0:?}, which is not a ws:// or wss:// URL")]
    Relay(String),
    /// A TURN URI that cannot be used.
    #[error("the setting `turn.urls` has {url:?}: {why}")]
    TurnUrl {
        /// What was typed.
        url: String,
        /// What is wrong with it.
        why: TurnUrlError,
    },
    /// Both a secret and an account, or half an account.
    #[error("the [turn] settings need either `secret`, or both `user` and `password`")]
    TurnLogin,
}

impl ConfigError {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                "check the path given with --config and that this user may read the file".to_owned()
            }
            Self::Syntax { .. } => {
                "correct that line; examples/ringfence.toml shows every setting".to_owned()
            }
            Self::NoHome => "set `state` to a full path, or give --state".to_owned(),
            Self::Range { setting, .. } => {
                format!("choose a value in that range, or leave `{setting}` out")
            }
            Self::Listen(_) => "write for example listen = [\"127.0.0.1\"]".to_owned(),
            Self::ListenEverywhere(_) => {
                "name the address of the network card that the phones reach, for example listen = [\"192.168.1.10\"]"
                    .to_owned()
            }
            Self::ListenSeveral(_) => {
                "keep the network card's address: phones on this machine can register at it too".to_owned()
            }
            Self::Relay(_) => {
                "write for example relays = [\"wss://relay.example.org\"], or leave the list empty"
                    .to_owned()
            }
            Self::TurnUrl { .. } => {
                "write for example urls = [\"turn:turn.example.org:3478?transport=udp\"]".to_owned()
            }
            Self::TurnLogin => "set one of the two and leave the other empty".to_owned(),
        }
    }
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
            state: state.to_owned(),
            ..config
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
        in_range("no_answer_seconds", raw.no_answer_seconds, 5, LONGEST_RING)?;
        in_range(
            "work_bits",
            u64::from(raw.work_bits),
            0,
            u64::from(MOST_WORK),
        )?;
        in_range(
            "phonebook.refresh_minutes",
            raw.phonebook.refresh_minutes,
            0,
            7 * 24 * 60,
        )?;
        for url in &raw.relays {
            relay::check_url(url).map_err(|_| ConfigError::Relay(url.clone()))?;
        }
        Ok(Self {
            state: expand_home(&raw.state, std::env::var_os("HOME").map(PathBuf::from))?,
            log: raw.log,
            relays: raw.relays,
            work_bits: Some(raw.work_bits).filter(|bits| *bits > 0),
            no_answer: Duration::from_secs(raw.no_answer_seconds),
            sip: SipListen {
                addresses: addresses(&raw.sip.listen)?,
                udp_port: raw.sip.udp_port,
                tcp_port: raw.sip.tcp_port,
            },
            phonebook: BookSettings {
                refresh: Some(raw.phonebook.refresh_minutes)
                    .filter(|minutes| *minutes > 0)
                    .map(|minutes| Duration::from_secs(minutes * 60)),
                ca_file: optional_path(&raw.phonebook.ca_file),
            },
            turn: turn_settings(raw.turn)?,
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

fn addresses(listed: &[String]) -> Result<Vec<IpAddr>, ConfigError> {
    let read = |text: &String| match text.parse::<IpAddr>() {
        Ok(addr) if addr.to_canonical().is_unspecified() => {
            Err(ConfigError::ListenEverywhere(addr))
        }
        Ok(addr) => Ok(addr),
        Err(_) => Err(ConfigError::Listen(text.clone())),
    };
    let addresses: Vec<IpAddr> = listed.iter().map(read).collect::<Result<_, _>>()?;
    match addresses.len() {
        0 => Err(ConfigError::Listen(String::new())),
        1 => Ok(addresses),
        several => Err(ConfigError::ListenSeveral(several)),
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
    Ok(TurnSettings {
        urls: raw.urls.iter().map(read).collect::<Result<_, _>>()?,
        login,
        ca_file: optional_path(&raw.ca_file),
        allow_private: raw.allow_private,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn bad_addresses_and_urls_are_refused_by_name() {
        assert_eq!(
            read("[sip]\nlisten = [\"localhost\"]").unwrap_err(),
            ConfigError::Listen("localhost".to_owned())
        );
        assert_eq!(
            read("[sip]\nlisten = [\"127.0.0.1\", \"192.168.1.10\"]").unwrap_err(),
            ConfigError::ListenSeveral(2)
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
