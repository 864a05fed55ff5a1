//! The engine's pages, which only this machine can reach. There are two, on separate listeners:
//!
//! - for a monitor, at `metrics.listen`: `/health` and `/metrics`, which every program of this machine can read, so they contain no
//!   numbers, names or keys;
//! - for the user, at `page.listen`: everything, behind a key ([`key`], `access`). `GET /api/status` is the same for programs
//!   ([`crate::stats::status`]).
//!
//! The page shows snapshots of the running engine ([`crate::stats::snapshot`]) and passes the user's decisions to it. It decides nothing.

mod access;
pub mod client;
mod forms;
pub mod key;
mod metrics;
mod monitor;
mod phone_setup;
pub(crate) mod qr;
mod report;
mod routes;
mod server;
mod view;
mod warnings;

use std::net::SocketAddr;

use ringfence_daemon::page::{Page, PageError};

pub use crate::provisioning::registrar::RegistrarInfo;
use crate::run::handle::GatewayHandle;
pub use phone_setup::SetupLink;
pub use server::{StatusPage, StatusPageError};

/// Opens the page for monitors. Dropping it closes it.
///
/// # Errors
/// [`PageError`]: not a loopback address, or one that is taken.
pub async fn open_monitor_page(
    address: SocketAddr,
    handle: GatewayHandle,
) -> Result<Page, PageError> {
    Page::open(address, monitor::routes(handle)).await
}
