//! TURN, seen from the client (RFC 8656): servers and logins, sockets, allocations that are kept ready for the next call. What goes
//! through an allocation is the business of `ringfence-media`.

pub(crate) mod allocation_io;
pub mod credentials;
mod endpoint;
mod losses;
mod lot;
#[cfg(test)]
mod memory;
pub(crate) mod pool;
pub mod probe;
pub(crate) mod race;
mod refusals;
pub mod servers;
mod socket;
mod stream;
mod target;
pub(crate) mod wire;

pub use endpoint::{TurnEndpoint, TurnUrlError, Wire};
pub use socket::{SendOutcome, TurnDialError, TurnSocket};
pub use target::TurnTarget;
