//! The neighbours: one file each, and each is the only file that knows its library.

pub mod book;
pub mod certificate;
mod idle;
pub mod lobby;
mod near;
mod patience;
pub mod phone;
pub mod ports;
pub mod probe;
pub mod purse;
pub mod relay;
pub(crate) mod spare;
pub(crate) mod talk;
pub mod tls;
pub mod turn;
pub mod watch;
