//! Fixtures of the tests: the simulated network ([`world`]), and real programs on loopback (phones, browser, relay, TURN server,
//! our own programs).
//!
//! Every fixture uses free ports and a temporary folder, is ready when its constructor returns, and stops when it is dropped.
//! Every wait has a limit.

pub mod audio_file;
pub mod b2bua;
pub mod browser;
pub mod browser_sdp;
mod clear_header;
pub mod coturn;
pub mod deployment;
pub mod devtools;
pub mod far_end;
pub mod fault_lab;
pub mod faulty_wire;
pub mod handset_bank;
pub mod lab_phone;
pub mod lab_plan;
pub mod networks;
pub mod nostr_relay;
pub mod page_checks;
pub mod ports;
pub mod process_clock;
pub mod program;
pub mod real_phone;
mod sip_wire;
pub mod small_disk;
pub mod tone;
mod tone_stream;
pub mod turn_tap;
pub mod wire_chance;
pub mod world;
