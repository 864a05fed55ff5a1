//! SIP over bytes and time: messages, transactions, dialogs, digest, registrar and call legs.
//!
//! The crate holds no socket, no clock, no thread. A machine is told bytes and time and answers with what to do:
//!
//! 1. `handle_*(input, now)` (or a command such as [`Agent::answer`]),
//! 2. [`Agent::poll`] until `None`,
//! 3. sleep until [`Agent::next_alarm`], then [`Agent::handle_timeout`].
//!
//! Randomness is a seed. A body is bytes: SDP is not read here.

pub mod digest;
pub mod message;

mod account;
mod agent;
mod dialog;
mod event;
mod flow;
mod framer;
mod leg;
mod random;
mod registrar;
mod timers;
mod transaction;

pub use account::{Account, Algorithms, Config, Password, User};
pub use agent::Agent;
pub use event::{Caller, Counters, Event, HangUp, LegId, Output, PlaceError};
pub use flow::{Flow, Transport};
pub use framer::{Frame, Framer, FramingError};
