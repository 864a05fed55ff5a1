//! What is wrong with settings, said so that their author can correct it.

use std::io;
use std::path::PathBuf;

use ringfence_book::bounds::{MAX_BUCKET_BITS, MAX_PERIOD, MAX_WORK_BITS};
use ringfence_book::delta::MAX_CHANGES;
use ringfence_box::settings::TableError;
use ringfence_daemon::forwarded::ProxyError;
use ringfence_daemon::limits::Rate;
use thiserror::Error;

/// Why settings are refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings {}: {cause}. Copy examples/phonebook.toml, which has them all, or leave --config out", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is longer than any file of settings.
    #[error("{} is too long to be a file of settings", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what it should be.
    #[cfg(feature = "cli")]
    #[error("the settings {} are wrong: {cause}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        cause: Box<toml::de::Error>,
    },
    /// A relay that is none.
    #[error("a relay is written ws://host or wss://host, not {0}")]
    Relay(String),
    /// A TURN server that is none.
    #[error("a TURN server is written turn:host:port or turns:host:port, not {0}")]
    Turn(String),
    /// More work than a caller can wait for.
    #[error("work_bits is at most {MAX_WORK_BITS}")]
    WorkBits,
    /// No epoch, or one that is too long.
    #[error("epoch_seconds is 1 to {MAX_PERIOD}")]
    EpochSeconds,
    /// More changes than a delta takes.
    #[error("changes is at most {MAX_CHANGES}, or 0 for as many as the plan needs")]
    Changes,
    /// A page for monitors that other machines could open, or no address.
    #[error("metrics is a loopback address and a port, for example 127.0.0.1:9421, not {0}")]
    Metrics(String),
    /// Buckets so small that they would name an engine.
    #[error("bucket_bits is at most {MAX_BUCKET_BITS}")]
    BucketBits,
    /// Certificate without key, or the reverse.
    #[error("tls_certificate and tls_key belong together: give both or neither")]
    HalfTls,
    /// A proxy that is none.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// More than the limits can count.
    #[error(
        "reads_per_minute and asks_per_minute are at most {}; 0 is no limit",
        Rate::MAX
    )]
    Limits,
    /// A secret without a character.
    #[error("the TURN secret in {} is empty", path.display())]
    NoTurnSecret {
        /// The file.
        path: PathBuf,
    },
    /// One secret for several servers.
    #[error(
        "each TURN server needs a secret of its own, since one that knows another's could pass for its clients: name a file for each host in turn_secret_files"
    )]
    SharedTurnSecret,
    /// A secret for a server that engines are not told of.
    #[error("turn_secret_files names {0}, which is not the host of a server in turn")]
    NoSuchTurn(String),
    /// A relay or a TURN server of this process that cannot be.
    #[error(transparent)]
    Table(#[from] TableError),
}
