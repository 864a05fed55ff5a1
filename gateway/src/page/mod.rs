//! The engine's page: HTTP for this machine alone, on the listener that the setting `metrics.listen` names.
//!
//! So far a monitor reads it: `/health` and `/metrics`, both open to every program of this machine and therefore without a
//! name in them. What shows names belongs behind a token and is a router of its own, to be merged in [`open`].

mod monitor;
mod sheet;

use std::net::SocketAddr;

use ringfence_phonebook::duty::page::{Page, PageError};

use crate::gateway::Enquiry;

/// Opens the page of a running engine. Dropping it closes it.
///
/// # Errors
/// [`PageError`]: not a loopback address, or one that is taken.
pub async fn open(address: SocketAddr, enquiry: Enquiry) -> Result<Page, PageError> {
    Page::open(address, monitor::routes(enquiry)).await
}
