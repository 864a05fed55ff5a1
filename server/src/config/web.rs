//! Settings of the web side: TLS, which proxies are believed, how much one address may ask.

use std::net::IpAddr;
use std::path::PathBuf;

use axum::http::HeaderMap;
use ipnet::IpNet;

use super::ConfigError;
use crate::forwarded::ForwardedHeader;
use crate::limit::Rate;

/// Where certificate and key are; both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The book's certificate, and those that lead to a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Both or neither; an empty path is none.
    pub(super) fn both(
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Option<Self>, ConfigError> {
        let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        match (given(certificate), given(key)) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err(ConfigError::HalfTls),
        }
    }
}

/// How much one address may ask; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What only reads the book.
    pub reads_per_minute: u32,
    /// All the rest.
    pub asks_per_minute: u32,
}

impl Limits {
    /// For tests and measurements.
    pub const NONE: Self = Self {
        reads_per_minute: 0,
        asks_per_minute: 0,
    };

    pub(super) fn check(self) -> Result<Self, ConfigError> {
        if self.reads_per_minute.max(self.asks_per_minute) > Rate::MAX {
            return Err(ConfigError::Limits);
        }
        Ok(self)
    }
}

impl Default for Limits {
    /// The largest plan can be downloaded whole in a minute; an office of a hundred lines can prove them all.
    fn default() -> Self {
        Self {
            reads_per_minute: 6_000,
            asks_per_minute: 600,
        }
    }
}

/// The reverse proxies whose word about a request's origin is taken, and the header in which they give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<IpNet>,
    header: ForwardedHeader,
}

impl Proxies {
    /// From texts like `127.0.0.1` and `10.0.0.0/8`.
    ///
    /// # Errors
    /// [`ConfigError::Proxy`].
    pub fn new(networks: &[String], header: ForwardedHeader) -> Result<Self, ConfigError> {
        let read = |text: &String| {
            let network = text.parse::<IpNet>();
            network
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| ConfigError::Proxy(text.clone()))
        };
        let networks = networks.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { networks, header })
    }

    /// The same proxies, with their word in this header.
    pub(super) fn with(self, header: ForwardedHeader) -> Self {
        Self { header, ..self }
    }

    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The address that a request comes from.
    pub(crate) fn visitor(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<&str> = headers
            .get_all(self.header.name())
            .iter()
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        self.header
            .visitor(peer, lines.into_iter(), |address| self.trust(address))
    }
}

impl Default for Proxies {
    /// Programs on this machine, in the header that most proxies write.
    fn default() -> Self {
        let header = ForwardedHeader::default();
        Self::new(&["127.0.0.0/8".to_owned(), "::1".to_owned()], header)
            .expect("these are networks")
    }
}
