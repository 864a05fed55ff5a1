//! Settings of the web side: TLS, and how much one address may ask.

#[cfg(feature = "cli")]
use std::path::PathBuf;

#[cfg(feature = "cli")]
use ringfence_daemon::limits::Rate;
#[cfg(feature = "cli")]
use ringfence_daemon::tls::TlsFiles;

#[cfg(feature = "cli")]
use super::ConfigError;

#[cfg(feature = "cli")]
/// Both or neither; an empty path is none.
pub(super) fn tls_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<TlsFiles>, ConfigError> {
    let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
    match (given(certificate), given(key)) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(ConfigError::HalfTls),
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

    #[cfg(feature = "cli")]
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
