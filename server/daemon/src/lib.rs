//! What any long-running program needs besides its own work: a log, no core dumps, open files, metrics, notifications of the service manager, a loopback page, an HTTP
//! server with bounded connections, TLS whose certificate is read again, rate limits, manual pages and shell completions.
//!
//! It knows nothing of telephones, and depends on no other package of this project. What a metric means, and when a program is healthy,
//! each program says for itself.

pub mod clock;
#[cfg(feature = "http")]
mod connections;
pub mod core_dumps;
#[cfg(feature = "http")]
pub mod forwarded;
#[cfg(feature = "http")]
pub mod http_server;
pub mod limits;
pub mod log;
#[cfg(feature = "man")]
pub mod man;
pub mod metrics;
pub mod notify;
pub mod open_files;
#[cfg(feature = "http")]
pub mod page;
pub mod tls;
