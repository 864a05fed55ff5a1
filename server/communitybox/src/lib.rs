//! The community box: a Nostr relay for rings and a TURN server, in one process with the phone book of a small community or without.
//! The settings say which of them run, and how.
//!
//! It does not depend on the phone book. One operator who runs all three sees more than three operators would; THREATS.md says what.
//! Without the feature `server` it is the TURN server as bytes and time ([`turn::TurnMachine`]), which needs no runtime.

#[cfg(feature = "server")]
mod community_box;
#[cfg(feature = "server")]
pub mod relay;
#[cfg(feature = "server")]
mod secret;
#[cfg(feature = "server")]
pub mod settings;
pub mod turn;

#[cfg(feature = "server")]
pub use community_box::{BoxError, BoxPlan, CommunityBox, TurnServer};
#[cfg(feature = "server")]
pub use relay::EmbeddedRelay;
