//! What engines and the phone book both must know: numbers and the public keys behind them, the bytes that prove something, the JSON
//! on the wire, the copy of the book that an engine keeps, and the Nostr events in which envelopes travel.
//!
//! Sans-IO: bytes and time in, values out. No runtime, socket, clock or file, and no service; that is `ringfence-phonebook`.
//!
//! The idea of the book: it publishes *every* number of its plan, assigned or not, as one set of tiles of one size. An engine downloads
//! all of them, ahead of calls; there is no question to ask whose answer could differ.

pub mod backoff;
pub mod blocks;
pub mod bounds;
pub mod challenge;
pub mod code;
pub mod copy;
pub mod day;
pub mod delta;
pub mod fetch;
pub mod history;
pub mod keys;
pub mod listing;
pub mod membership;
pub mod nostr_event;
pub mod number;
pub mod proof_of_work;
pub mod replaced;
pub mod root;
pub mod rotation;
pub mod step;
pub mod tile;
pub mod timetable;
pub mod turn_credentials;
pub mod wire;

pub use challenge::{Challenge, Possession};
pub use code::{ActivationCode, CodeDigest, CodeError};
pub use copy::{CopyError, Lie, VerifiedBook};
pub use day::Day;
pub use delta::{Delta, DeltaError};
pub use fetch::{Fetch, FetchError, Fetched, Want};
pub use history::RootHistory;
pub use keys::{BookKey, IdentityKey, KeyError, RingKey};
pub use listing::{Listing, ListingError};
pub use number::{Number, NumberError, NumberPlan};
pub use replaced::ReplacedListings;
pub use root::{Root, RootError, RootHash};
pub use step::{Step, StepError};
pub use tile::{Tile, TileError};
pub use wire::NetworkSettings;
