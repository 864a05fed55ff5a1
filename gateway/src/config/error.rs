//! Errors of settings, each with a remedy.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::net::socks::SocksUrlError;
use crate::turn::TurnUrlError;

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
    /// `sip.listen` has an address twice.
    #[error("the setting `sip.listen` has {0} twice")]
    ListenTwice(IpAddr),
    /// `sip.emergency_numbers` has something that is no short number.
    #[error("the setting `sip.emergency_numbers` has {0:?}, which is not 2 to 8 digits")]
    EmergencyNumber(String),
    /// A certificate without a key, or a key without a certificate.
    #[error("the [sip] settings need `certificate` and `key` together")]
    Certificate,
    /// A relay that is not a WebSocket URL.
    #[error("the setting `relays` has {0:?}, which is not a ws:// or wss:// URL")]
    Relay(String),
    /// A proxy that cannot be used.
    #[error("the setting `proxy` has {url:?}: {why}")]
    Proxy {
        /// What was typed.
        url: String,
        /// What is wrong with it.
        why: SocksUrlError,
    },
    /// A TURN URI that cannot be used.
    #[error("the setting `turn.urls` has {url:?}: {why}")]
    TurnUrl {
        /// What was typed.
        url: String,
        /// What is wrong with it.
        why: TurnUrlError,
    },
    /// `log` is no filter.
    #[error("the setting `log` is {0:?}, which is no filter for a log")]
    Log(String),
    /// A page for this machine alone that is not at a loopback address with a port.
    #[error("the setting `{0}` is {1:?}, which is no loopback address with a port")]
    Loopback(&'static str, String),
    /// `provisioning.listen` is not where phones register.
    #[error(
        "the setting `provisioning.listen` is {0:?}, which is no port at an address of `sip.listen`"
    )]
    Provisioning(String),
    /// `provisioning.listen` without the status page.
    #[error("the setting `provisioning.listen` needs the status page, and `page.listen` is empty")]
    ProvisioningAlone,
    /// A desk phone whose hardware address is none.
    #[error("the setting `provisioning.phones` has the hardware address {0:?}, which is none")]
    Mac(String),
    /// Both a secret and an account, or half an account.
    #[error("the [turn] settings need either `secret`, or both `user` and `password`")]
    TurnLogin,
    /// One secret for several servers.
    #[error(
        "turn.secret is one secret for TURN servers of several hosts, and each of them could pass for the others' client"
    )]
    SharedTurnSecret,
}

impl ConfigError {
    /// What is wrong without naming the file, which may show a user: for the log. What was typed is left out where it is an address
    /// that the log must not contain.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::Unreadable { kind, .. } => format!("cannot read the configuration file: {kind}"),
            Self::Syntax { line, message, .. } => {
                format!("line {line} of the configuration file: {message}")
            }
            Self::Listen(_) => {
                "the setting `sip.listen` has something that is no IP address".to_owned()
            }
            Self::Loopback(setting, _) => format!("the setting `{setting}` is no loopback address"),
            Self::Provisioning(_) => {
                "the setting `provisioning.listen` is no port at an address of `sip.listen`"
                    .to_owned()
            }
            Self::Proxy { why, .. } => format!("the setting `proxy` cannot be used: {why}"),
            Self::Mac(_) => {
                "the setting `provisioning.phones` has a hardware address that is none".to_owned()
            }
            Self::ListenEverywhere(_) => {
                "the setting `sip.listen` has an address that stands for every network".to_owned()
            }
            _ => self.to_string(),
        }
    }

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
            Self::ListenTwice(_) => "name each address once".to_owned(),
            Self::EmergencyNumber(_) => "write the digits that a person dials, for example emergency_numbers = [\"112\"]".to_owned(),
            Self::Certificate => {
                "set both, or leave both empty: then the engine has a certificate of its own making".to_owned()
            }
            Self::Relay(_) => {
                "write for example relays = [\"wss://relay.example.org\"], or leave the list empty"
                    .to_owned()
            }
            Self::Proxy { .. } => {
                "write for example proxy = \"socks5h://127.0.0.1:9050\", or leave it empty".to_owned()
            }
            Self::TurnUrl { .. } => {
                "write for example urls = [\"turn:turn.example.org:3478?transport=udp\"]".to_owned()
            }
            Self::Log(_) => "write for example log = \"ringfence=info\"; levels are error, warn, info, debug and trace".to_owned(),
            Self::Loopback(..) => {
                "write for example listen = \"127.0.0.1:9422\", or leave it empty; the page is for this machine only"
                    .to_owned()
            }
            Self::Provisioning(_) => {
                "write for example listen = \"192.168.1.10:5081\" when sip.listen has \"192.168.1.10\", or leave it empty".to_owned()
            }
            Self::ProvisioningAlone => "set page.listen too, for example \"127.0.0.1:5080\"".to_owned(),
            Self::Mac(_) => {
                "write for example phones = [{ mac = \"00:15:65:aa:bb:cc\", line = 20417 }]; it is printed on the phone's back".to_owned()
            }
            Self::TurnLogin => "set one of the two and leave the other empty".to_owned(),
            Self::SharedTurnSecret => "name each server's own secret in turn.secrets, for example secrets = { \"turn-a.example.org\" = \"...\" }".to_owned(),
        }
    }
}
