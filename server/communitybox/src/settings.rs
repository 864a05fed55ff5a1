//! The tables `[relay]` and `[turn_server]` of the settings: what they hold where they are silent, and what is wrong in them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ringfence_daemon::tls::TlsFiles;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::relay::RelayLimits;
use crate::turn::{TurnLimits, TurnTls};

/// Ports of relays, away from those that systems hand out themselves.
const PORTS: [u16; 2] = [49_152, 65_535];

/// The port of TURN over TLS (RFC 8656 section 3.1).
const TLS_PORT: u16 = 5349;

/// The relay of this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelayTable {
    /// Whether there is one; `--with-relay`.
    pub serve: bool,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What engines are told; empty: made from `public_name`.
    pub url: String,
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one IP address.
    pub connections_per_address: usize,
    /// Messages a minute on one connection.
    pub events_per_minute: u32,
    /// Events a minute from one IP address.
    pub events_per_minute_per_address: u32,
    /// Notes that are kept at a time.
    pub notes: usize,
    /// Those of one IP address.
    pub notes_per_address: usize,
}

impl Default for RelayTable {
    fn default() -> Self {
        let limits = RelayLimits::DEFAULT;
        Self {
            serve: false,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7421)),
            url: String::new(),
            connections: limits.connections,
            connections_per_address: limits.connections_per_address,
            events_per_minute: limits.events_per_minute,
            events_per_minute_per_address: limits.events_per_minute_per_address,
            notes: limits.notes,
            notes_per_address: limits.notes_per_address,
        }
    }
}

/// Which program is the TURN server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TurnProgram {
    /// coturn where it is installed, else the embedded one.
    #[default]
    Auto,
    /// coturn, or none.
    Coturn,
    /// The one in this program.
    Embedded,
}

/// The TURN server of this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TurnTable {
    /// Whether there is one; `--with-turn`.
    pub serve: bool,
    /// Which program it is.
    pub program: TurnProgram,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The address that the world sees instead, behind a one-to-one NAT.
    pub external_ip: Option<IpAddr>,
    /// The port for TLS, if there is a certificate.
    pub tls_port: u16,
    /// The PEM file of its certificate chain; empty: no TLS.
    pub tls_certificate: PathBuf,
    /// The PEM file of its key.
    pub tls_key: PathBuf,
    /// First and last port of relayed addresses.
    pub ports: [u16; 2],
    /// Relays at a time.
    #[serde(alias = "relays")]
    pub allocations: usize,
    /// Relays at a time of one user name.
    #[serde(alias = "relays_per_user")]
    pub allocations_per_user: usize,
    /// Relays at a time of one IP address; the embedded server only.
    #[serde(alias = "relays_per_address")]
    pub allocations_per_address: usize,
    /// Bytes a second through one relay, each way.
    pub bytes_per_second: u32,
    /// Whether allocations may reach loopback and private addresses.
    pub allow_private: bool,
}

impl Default for TurnTable {
    fn default() -> Self {
        let limits = TurnLimits::DEFAULT;
        Self {
            serve: false,
            program: TurnProgram::Auto,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3478)),
            external_ip: None,
            tls_port: TLS_PORT,
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            ports: PORTS,
            allocations: limits.allocations,
            allocations_per_user: limits.allocations_per_user,
            allocations_per_address: limits.allocations_per_address,
            bytes_per_second: limits.bytes_per_second,
            allow_private: false,
        }
    }
}

/// What is wrong in the tables.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TableError {
    /// Not a name.
    #[error("public_name is the name of this machine, as book.example.org, not {0}")]
    PublicName(String),
    /// Not a relay's address.
    #[error("relay.url is written ws://host or wss://host, not {0}")]
    RelayUrl(String),
    /// A limit that would let nothing through.
    #[error("{0} is at least 1")]
    Zero(&'static str),
    /// The range is empty or reserved.
    #[error("turn_server.ports is the first and the last port of relayed addresses, 1024 or above")]
    Ports,
    /// A certificate without a key, a key without a certificate, or no port.
    #[error(
        "turn_server.tls_certificate and turn_server.tls_key are set both or not at all, and turn_server.tls_port is none of the others"
    )]
    Tls,
    /// A relay address must be a certain one.
    #[error(
        "turn_server.listen is the IP address of all relayed addresses, not {0}; behind a NAT set turn_server.external_ip too"
    )]
    Unspecified(IpAddr),
}

impl RelayTable {
    /// Checks the values.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn check(&self) -> Result<(), TableError> {
        let url = self.url.as_str();
        let host = url
            .strip_prefix("ws://")
            .or_else(|| url.strip_prefix("wss://"));
        if !url.is_empty() && host.is_none_or(str::is_empty) {
            return Err(TableError::RelayUrl(self.url.clone()));
        }
        let counts = [
            ("relay.connections", self.connections),
            (
                "relay.connections_per_address",
                self.connections_per_address,
            ),
            ("relay.events_per_minute", self.events_per_minute as usize),
            (
                "relay.events_per_minute_per_address",
                self.events_per_minute_per_address as usize,
            ),
            ("relay.notes", self.notes),
            ("relay.notes_per_address", self.notes_per_address),
        ];
        check_not_zero(&counts)
    }

    pub(crate) fn limits(&self) -> RelayLimits {
        RelayLimits {
            connections: self.connections,
            connections_per_address: self.connections_per_address,
            events_per_minute: self.events_per_minute,
            events_per_minute_per_address: self.events_per_minute_per_address,
            notes: self.notes,
            notes_per_address: self.notes_per_address,
        }
    }
}

impl TurnTable {
    /// Checks the values.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn check(&self) -> Result<(), TableError> {
        let [first, last] = self.ports;
        if first < 1024 || first > last {
            return Err(TableError::Ports);
        }
        let files = [&self.tls_certificate, &self.tls_key];
        let named = files.map(|file| !file.as_os_str().is_empty());
        let is_free = self.tls_port != 0 && self.tls_port != self.listen.port();
        if named[0] != named[1] || named[0] && !is_free {
            return Err(TableError::Tls);
        }
        if self.serve && self.listen.ip().is_unspecified() {
            return Err(TableError::Unspecified(self.listen.ip()));
        }
        check_not_zero(&[
            ("turn_server.allocations", self.allocations),
            (
                "turn_server.allocations_per_user",
                self.allocations_per_user,
            ),
            (
                "turn_server.allocations_per_address",
                self.allocations_per_address,
            ),
            (
                "turn_server.bytes_per_second",
                self.bytes_per_second as usize,
            ),
        ])
    }

    pub(crate) fn tls(&self) -> Option<TurnTls> {
        let is_there = !self.tls_certificate.as_os_str().is_empty();
        is_there.then(|| TurnTls {
            listen: SocketAddr::new(self.listen.ip(), self.tls_port),
            files: TlsFiles {
                certificate: self.tls_certificate.clone(),
                key: self.tls_key.clone(),
            },
        })
    }

    pub(crate) fn limits(&self) -> TurnLimits {
        TurnLimits {
            allocations: self.allocations,
            allocations_per_user: self.allocations_per_user,
            allocations_per_address: self.allocations_per_address,
            bytes_per_second: self.bytes_per_second,
        }
    }
}

/// A name as in a URL, or none.
///
/// # Errors
/// [`TableError::PublicName`].
pub fn check_name(name: &str) -> Result<(), TableError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    if name.chars().all(plain) && name.len() <= 253 {
        Ok(())
    } else {
        Err(TableError::PublicName(name.to_owned()))
    }
}

fn check_not_zero(counts: &[(&'static str, usize)]) -> Result<(), TableError> {
    let zero = counts.iter().find(|(_, count)| *count == 0);
    zero.map_or(Ok(()), |(name, _)| Err(TableError::Zero(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tables_are_refused_with_their_name() {
        let turn = |text: &str| {
            toml::from_str::<TurnTable>(text)
                .unwrap()
                .check()
                .unwrap_err()
                .to_string()
        };
        let relay = |text: &str| {
            toml::from_str::<RelayTable>(text)
                .unwrap()
                .check()
                .unwrap_err()
                .to_string()
        };
        for (error, word) in [
            (turn("ports = [50000, 49999]"), "turn_server.ports"),
            (turn("ports = [80, 49999]"), "turn_server.ports"),
            (
                turn("serve = true\nlisten = \"0.0.0.0:3478\""),
                "turn_server.listen",
            ),
            (turn("relays = 0"), "turn_server.allocations"),
            (turn("tls_key = \"k\""), "turn_server.tls_certificate"),
            (
                turn("tls_key = \"k\"\ntls_certificate = \"c\"\ntls_port = 3478"),
                "turn_server.tls_port",
            ),
            (relay("url = \"http://relay.example\""), "relay.url"),
            (relay("connections = 0"), "relay.connections"),
        ] {
            assert!(error.contains(word), "{error}");
        }
        assert!(check_name("book.example.org").is_ok());
        for name in ["https://book.example.org", "book example", "book:80"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
