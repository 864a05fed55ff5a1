//! The phone book's service: it issues numbers, publishes the public keys behind them, and cannot tell who looks up whom.
//!
//! Without features this crate has no runtime and no socket: the [`book`], told the time and a form, answers with a decision, and keeps
//! what must last in a [`store`]. The simulated world uses it like that. With `http` come the server and its settings, with `sql` the
//! databases and the operator's work on them, with `cli` the program. What engines must know too is in `ringfence-book`.

#[cfg(feature = "http")]
pub mod all_in_one;
pub mod book;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "http")]
pub mod config;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "sql")]
pub mod operator;
#[cfg(feature = "http")]
pub mod service;
pub mod store;

#[cfg(feature = "http")]
pub use all_in_one::AllInOne;
pub use book::{Book, Schedule};
#[cfg(feature = "http")]
pub use service::PhoneBook;
pub use store::{Archive, MemoryStore, Store};
