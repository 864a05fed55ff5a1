//! The shell around the engine: sockets, clocks, files, the command line and the demo.
//!
//! The engine is told bytes and time and answers with what to do. Everything here moves bytes, waits for the deadline that
//! was named, and decides nothing about a call.
//!
//! # Rooms
//! - [`cli`]: what was typed, and the way an error is told to a person.
//! - [`house`]: an engine with all that keeps it going; where a program that embeds it begins.
//! - [`gateway`]: the running engine as its owner sees it; the one loop behind it is in `run`.
//! - [`config`]: a TOML file becomes settings that hold together.
//! - [`activate`], [`renew`]: a code becomes a line, and the phone book's word for it is kept fresh.
//! - [`news`]: what follows from a download of the phone book while the engine runs.
//! - [`assemble`]: settings, lines and the copy of the phone book become the parts of a gateway.
//! - [`keystore`]: the lines of this engine at rest: keys, bindings, SIP accounts.
//! - [`io`]: each file knows one neighbour: the phone book, the Nostr relays, the TURN server.
//! - [`reload`]: other settings while it runs, without dropping calls.
//! - [`page`]: pages for this machine alone: figures for a monitor, and what the user sees and changes.
//! - [`picture`]: what the running engine shows of itself, and what it is told there.
//! - [`tally`]: sums of what calls were.
//! - [`doctor`]: whether everything that a call needs is well, and a proof of the promise by a call to itself.
//! - [`softphone`]: a phone whose sound a program gives and takes.
//! - [`demo`]: the whole system in one process, with two built-in phones that call each other.
//! - [`clock`]: the one place where the time of day is asked.
//! - [`secret`]: a string that is never printed and wiped when dropped.

pub mod activate;
pub mod assemble;
mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
mod curve;
pub mod demo;
pub mod diary;
pub mod doctor;
pub mod gateway;
pub mod house;
pub mod io;
pub mod keystore;
pub mod news;
pub mod page;
pub mod picture;
mod refill;
pub mod reload;
pub mod renew;
mod rotate;
pub mod secret;
pub mod softphone;
pub mod tally;

mod mint;
mod run;
