//! The phone book: numbers, the public keys behind them, and a server that cannot tell who looks up whom.
//!
//! Without the feature `service` this crate has no runtime and no socket. It is the nouns ([`Number`], [`Listing`], [`Binding`],
//! [`Tile`]), the bytes that prove something ([`challenge`]), the JSON that crosses the wire ([`wire`]), and the [`book`]: told the
//! time and a form, it answers with a decision. The engine and the simulated world use it like that.
//! With `service` come the HTTP server, the SQLite store, and the relay and the TURN server of a small community.
//!
//! The idea: the book publishes *every* number of its plan, assigned or not, as one set of tiles of one size. An engine downloads
//! all of them, ahead of calls; there is no question to ask whose answer could differ.

pub mod activation;
pub mod admin;
#[cfg(feature = "http")]
pub mod all_in_one;
pub mod book;
#[cfg(feature = "http")]
pub mod config;
mod decoy;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "sql")]
pub mod operator;
pub mod owner;
#[cfg(feature = "http")]
mod press;
pub mod published;
#[cfg(feature = "http")]
mod reading_room;
pub mod reception;
#[cfg(feature = "http")]
pub mod service;
pub mod shelf;
pub mod store;

#[cfg(feature = "http")]
pub use all_in_one::AllInOne;
pub use book::{Book, Terms};
#[cfg(feature = "http")]
pub use service::PhoneBook;
pub use store::{Archive, MemoryStore, Store};
