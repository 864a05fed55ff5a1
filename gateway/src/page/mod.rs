//! The engine's pages, for this machine alone. Two, on listeners of their own:
//!
//! - for a monitor, where `metrics.listen` says: `/health` and `/metrics`, open to every program of this machine and therefore
//!   without a name in them;
//! - for the user, where `page.listen` says: everything, behind a key ([`key`], `gate`). `GET /api/status` is the same for programs.
//!
//! What the user changes goes through the running engine ([`crate::stats::snapshot`]); nothing is decided here.

mod forms;
mod server;
mod access;
mod phone_setup;
mod warnings;
pub mod key;
mod monitor;
mod qr;
mod report;
mod routes;
mod metrics;
mod view;
pub mod client;

use std::net::SocketAddr;

use ringfence_phonebook::duty::page::{Page, PageError};

use crate::run::handle::GatewayHandle;
pub use server::{Front, FrontError};

/// Opens the monitor's page of a running engine. Dropping it closes it.
///
/// # Errors
/// [`PageError`]: not a loopback address, or one that is taken.
pub async fn open(address: SocketAddr, enquiry: GatewayHandle) -> Result<Page, PageError> {
    Page::open(address, monitor::routes(enquiry)).await
}
