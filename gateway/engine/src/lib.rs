//! What a private call is: identity, sealed rings, sessions.
//!
//! A core: it is told bytes and time and answers with what to do. It opens no socket, asks no clock and
//! starts no task. `PROTOCOL.md` beside this crate describes every byte that leaves it.

pub mod control;
pub mod date;
pub mod directory;
pub mod envelope;
pub mod hint;
pub mod identity;
pub mod rejected;
pub mod ring;
pub mod seen;
pub mod session;
pub mod work;
