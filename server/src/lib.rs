//! The phone book: numbers, the public keys behind them, and a server that cannot tell who looks up whom.
//!
//! Without the feature `service` this crate is the nouns alone, without a runtime: [`Number`], [`Listing`], [`Binding`], [`Tile`],
//! the bytes that are signed ([`challenge`]) and the JSON that crosses the wire ([`wire`]). The engine uses it like that.
//!
//! What the book is told and tells nobody: it publishes *every* number of its plan, assigned or not, as one set of tiles of one
//! size. An engine downloads all of them, ahead of calls; there is no question to ask whose answer could differ.

pub mod binding;
pub mod challenge;
pub mod code;
pub mod day;
pub mod keys;
pub mod listing;
pub mod number;
pub mod tile;
#[cfg(feature = "turn")]
pub mod turn;
pub mod wire;

pub use binding::{Binding, BindingError};
pub use challenge::{Challenge, Possession};
pub use code::{ActivationCode, CodeDigest, CodeError};
pub use day::Day;
pub use keys::{BookKey, IdentityKey, KeyError, RingKey};
pub use listing::{Listing, ListingError};
pub use number::{Number, NumberError, NumberPlan};
pub use tile::{Tile, TileError};
pub use wire::NetworkSettings;
