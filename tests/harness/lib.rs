//! What the tests stand on: real programs started on loopback and judged by what they hear.
//!
//! Every fixture takes free ports and a temporary folder, is ready when its constructor returns, and is gone when it
//! is dropped. Nothing here waits without a bound.

pub mod audio_file;
pub mod b2bua;
pub mod browser;
pub mod browser_sdp;
pub mod coturn;
pub mod deployment;
pub mod devtools;
pub mod far_end;
pub mod nostr_relay;
pub mod ports;
pub mod program;
pub mod real_phone;
pub mod tone;
pub mod world;
