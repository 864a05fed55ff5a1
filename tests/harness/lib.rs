//! What the tests stand on: real programs started on loopback and judged by what they hear.
//!
//! Every fixture takes free ports and a temporary folder, is ready when its constructor returns, and is gone when it
//! is dropped. Nothing here waits without a bound.

pub mod browser;
pub mod browser_sdp;
pub mod coturn;
pub mod devtools;
pub mod exchange;
pub mod far_end;
pub mod network;
pub mod nostr_relay;
pub mod phone;
pub mod ports;
pub mod program;
pub mod tone;
pub mod wav;
pub mod world;
