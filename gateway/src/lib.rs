//! The shell around the engine: sockets, clocks, files, the command line and the demo.
//!
//! The engine is told bytes and time and answers with what to do. Everything here moves bytes, waits for the deadline that
//! was named, and decides nothing about a call.
//!
//! # Rooms
//! - [`cli`]: what was typed, and the way an error is told to a person.
//! - [`node`]: an engine with all that keeps it going; where a program that embeds it begins.
//! - [`run`]: the running engine: event loop, media tasks, its handle for the owner, start and reload.
//! - [`config`]: a TOML file becomes settings that hold together.
//! - [`net`]: phones, Nostr relays, the phone book: each file knows one neighbour.
//! - [`turn`]: TURN servers, logins, allocations.
//! - [`lines`]: a code becomes a line, and its binding and ring key are kept fresh.
//! - [`state`]: keys, contacts, saved state and backups on the disk.
//! - [`stats`]: what the running engine shows of itself.
//! - [`page`]: pages for this machine alone: figures for a monitor, and what the user sees and changes.
//! - `provisioning`: settings for phones.
//! - [`doctor`]: whether everything that a call needs is well, and a proof of the promise by a call to itself.
//! - [`selfcall`]: two engines and two phones in one process that call each other.
//! - [`softphone`]: a phone whose sound a program gives and takes.
//! - [`demo`]: the whole system in one process, printed.
//! - [`clock`]: the one place where the time of day is asked.

mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod lines;
pub mod net;
pub mod node;
pub mod page;
mod provisioning;
pub mod run;
pub mod selfcall;
pub mod softphone;
pub mod state;
pub mod stats;
pub mod turn;
