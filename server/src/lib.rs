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
pub mod binding;
pub mod book;
pub mod challenge;
pub mod code;
#[cfg(feature = "service")]
pub mod config;
pub mod copy;
pub mod day;
mod decoy;
pub mod delta;
#[cfg(feature = "service")]
pub mod exchange;
pub mod fetch;
pub mod forwarded;
#[cfg(feature = "service")]
mod http;
pub mod keys;
pub mod limit;
pub mod listing;
pub mod membership;
pub mod number;
#[cfg(feature = "service")]
pub mod operator;
pub mod owner;
#[cfg(feature = "service")]
mod press;
pub mod published;
#[cfg(feature = "service")]
mod reading_room;
pub mod reception;
#[cfg(feature = "service")]
pub mod relay;
pub mod root;
#[cfg(feature = "service")]
pub mod service;
pub mod shelf;
pub mod stamp;
pub mod store;
pub mod tile;
pub mod timetable;
#[cfg(feature = "service")]
pub mod tls;
#[cfg(feature = "turn")]
pub mod turn;
pub mod wire;

pub use binding::{Binding, BindingError};
pub use book::{Book, Terms};
pub use challenge::{Challenge, Possession};
pub use code::{ActivationCode, CodeDigest, CodeError};
pub use copy::{CopyError, Lie, VerifiedBook};
pub use day::Day;
pub use delta::{Delta, DeltaError};
#[cfg(feature = "service")]
pub use exchange::Exchange;
pub use fetch::{Fetch, FetchError, Fetched, Want};
pub use keys::{BookKey, IdentityKey, KeyError, RingKey};
pub use listing::{Listing, ListingError};
pub use number::{Number, NumberError, NumberPlan};
#[cfg(feature = "service")]
pub use relay::EmbeddedRelay;
pub use root::{Root, RootError, RootHash};
#[cfg(feature = "service")]
pub use service::PhoneBook;
pub use store::{Archive, MemoryStore, Store};
pub use tile::{Tile, TileError};
pub use wire::NetworkSettings;
