//! Settings exactly as they are typed, with their defaults. Nothing is judged here but spelling and type.
//!
//! "Not set" is an empty text or list and the number 0, so that the example file can show every setting with its default.

use std::collections::BTreeMap;

use ringfence_daemon::log::Format;
use ringfence_engine::EMERGENCY_NUMBERS;
use serde::Deserialize;

use crate::state::secret::Secret;

/// UDP and TCP port for phones. A softphone on the same machine takes 5060 for itself, and desk phones 5062 and up for further accounts;
/// this one and the next are assigned to no protocol.
pub const SIP_PORT: u16 = 5088;
/// TLS port for phones.
pub const SIP_TLS_PORT: u16 = 5089;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Folder of the state; `~` stands for the home folder.
    pub state: String,
    /// Log filter.
    pub log: String,
    /// How the log is written.
    pub log_format: Format,
    /// Nostr relays.
    pub relays: Vec<String>,
    /// File of certificates.
    pub ca_file: String,
    /// SOCKS5 proxy.
    pub proxy: String,
    /// Whether the desktop shows missed calls and texts.
    pub notifications: bool,
    /// Leading zero bits of proofs of work.
    pub work_bits: u8,
    /// How long a caller waits, in seconds.
    pub no_answer_seconds: u64,
    /// Simultaneous calls.
    pub max_calls: u64,
    /// How many times its codec's bit rate a call's sound may take.
    pub sound_rate: u64,
    /// `[sip]`
    pub sip: RawSip,
    /// `[phonebook]`
    pub phonebook: RawBook,
    /// `[turn]`
    pub turn: RawTurn,
    /// `[page]`
    pub page: RawPage,
    /// `[provisioning]`
    pub provisioning: RawProvisioning,
    /// `[metrics]`
    pub metrics: RawMetrics,
}

/// `[provisioning]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawProvisioning {
    /// Address and port on the network.
    pub listen: String,
    /// Whether phones are told by multicast.
    pub plug_and_play: bool,
    /// Desk phones.
    pub phones: Vec<RawDesk>,
}

/// One of `provisioning.phones`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDesk {
    /// Hardware address.
    pub mac: String,
    /// The number of its line.
    pub line: u32,
}

/// `[page]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPage {
    /// Address and port of the user's page.
    pub listen: String,
}

impl Default for RawPage {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5080".to_owned(),
        }
    }
}

/// `[metrics]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMetrics {
    /// Address and port of the page for monitors.
    pub listen: String,
}

/// `[sip]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSip {
    /// Addresses to listen at.
    pub listen: Vec<String>,
    /// UDP port.
    pub udp_port: u16,
    /// TCP port.
    pub tcp_port: u16,
    /// TLS port.
    pub tls_port: u16,
    /// Whether audio is encrypted.
    pub srtp: RawSrtp,
    /// Whether video passes.
    pub video: bool,
    /// Which phones are told of waiting messages without having subscribed.
    pub unsolicited_mwi: RawUnsolicitedMwi,
    /// Simultaneous calls of phones.
    pub max_calls: u64,
    /// Simultaneous calls of one line.
    pub max_calls_per_line: u64,
    /// Numbers that are never called.
    pub emergency_numbers: Vec<String>,
    /// Host names.
    pub names: Vec<String>,
    /// File of a certificate.
    pub certificate: String,
    /// File of its key.
    pub key: String,
}

/// `sip.srtp`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawSrtp {
    /// `"off"`
    Off,
    /// `"optional"`
    #[default]
    Optional,
    /// `"required"`
    Required,
}

/// `sip.unsolicited_mwi`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawUnsolicitedMwi {
    /// `"auto"`
    #[default]
    Auto,
    /// `"always"`
    Always,
    /// `"never"`
    Never,
}

/// `[phonebook]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBook {
    /// Mean minutes between downloads; 0: once in each epoch of the book.
    pub refresh_minutes: u64,
}

/// `[turn]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTurn {
    /// Servers.
    pub urls: Vec<String>,
    /// Shared secret.
    pub secret: Secret,
    /// Secrets of several servers, by host.
    pub secrets: BTreeMap<String, Secret>,
    /// Fixed account: user.
    pub user: String,
    /// Fixed account: password.
    pub password: Secret,
    /// Whether relayed addresses on loopback and private networks are accepted.
    pub allow_private: bool,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            state: "~/.local/share/ringfence".to_owned(),
            log: "ringfence=info".to_owned(),
            log_format: Format::Text,
            relays: Vec::new(),
            ca_file: String::new(),
            proxy: String::new(),
            notifications: false,
            work_bits: 0,
            no_answer_seconds: 30,
            max_calls: 500,
            sound_rate: 4,
            sip: RawSip::default(),
            phonebook: RawBook::default(),
            turn: RawTurn::default(),
            page: RawPage::default(),
            provisioning: RawProvisioning::default(),
            metrics: RawMetrics::default(),
        }
    }
}

impl Default for RawSip {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1".to_owned()],
            udp_port: SIP_PORT,
            tcp_port: SIP_PORT,
            tls_port: SIP_TLS_PORT,
            srtp: RawSrtp::default(),
            video: true,
            unsolicited_mwi: RawUnsolicitedMwi::default(),
            max_calls: 256,
            max_calls_per_line: 128,
            emergency_numbers: EMERGENCY_NUMBERS.map(str::to_owned).to_vec(),
            names: Vec::new(),
            certificate: String::new(),
            key: String::new(),
        }
    }
}

/// Parses a file's text. An error is the line (from 1) and what is wrong there, without the line's text: it may be a secret.
///
/// # Errors
/// For anything that is not TOML, an unknown setting or a value of the wrong type.
pub fn parse(text: &str) -> Result<RawConfig, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text
            .bytes()
            .take(start)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1;
        (line, error.message().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../examples/ringfence.toml");

    /// Every `name: ` of a printed struct, so that a new field cannot be forgotten in the example.
    fn field_names(printed: &str) -> Vec<String> {
        let name = |line: &str| {
            line.trim()
                .split_once(": ")
                .map(|(name, _)| name.to_owned())
        };
        printed.lines().filter_map(name).collect()
    }

    #[test]
    fn the_example_says_the_defaults() {
        let example = parse(EXAMPLE).unwrap();
        assert_eq!(
            format!("{example:#?}"),
            format!("{:#?}", RawConfig::default())
        );
    }

    #[test]
    fn the_example_names_every_setting_and_says_something_about_it() {
        let names = field_names(&format!("{:#?}", RawConfig::default()));
        assert!(names.len() > 12, "{names:?}");
        for name in names {
            let section = format!("[{name}]");
            let setting = format!("{name} = ");
            let at = EXAMPLE
                .lines()
                .position(|line| line == section || line.starts_with(&setting));
            let at = at.unwrap_or_else(|| panic!("examples/ringfence.toml does not set `{name}`"));
            let before = EXAMPLE.lines().nth(at.saturating_sub(1)).unwrap();
            assert!(before.starts_with('#'), "`{name}` has no comment above it");
        }
    }
}
