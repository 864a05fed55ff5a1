//! Ringfence: private calls for any SIP phone. This library is the engine's shell (sockets, clocks, files) around `ringfence-engine`,
//! for programs that embed it; the program `ringfence` is this library with its feature `cli`.
//!
//! # What to open
//! 1. [`Config`]: settings, from a TOML file ([`Config::read`]) or from defaults ([`Config::with_state`]); all fields are public.
//! 2. [`Keystore`]: the keys of the lines in the state folder. `ringfence activate` adds a line with an activation code.
//! 3. [`Node`]: the running engine. It listens for SIP phones, downloads the phone book, connects to Nostr relays and keeps a TURN
//!    allocation ready. [`Node::ready`] waits until calls can be made and received.
//! 4. [`Softphone`]: a phone in software for programs that make or take calls themselves. Any SIP phone can register as well.
//!
//! # The run loop
//! The node runs in tasks of its own on the caller's tokio runtime. A program reads [`Event`]s, in which each [`CallStep`] says which line
//! and which number are concerned, and in the end stops the node, which tells the other sides that calls are over.
//! ```
//! use std::error::Error;
//! use std::path::Path;
//!
//! use ringfence::{Config, Event, Keystore, Node};
//!
//! async fn run(state: &Path) -> Result<(), Box<dyn Error>> {
//!     let config = Config::with_state(state);
//!     let store = Keystore::open(&config.state, None)?;
//!     let node = Node::open(config, store).await?;
//!     for line in node.lines() {
//!         println!("line {}: phones register as {} at {:?}", line.number, line.sip_user, node.udp());
//!     }
//!     node.ready().await?;
//!     let mut events = node.events();
//!     loop {
//!         tokio::select! {
//!             event = events.recv() => match event? {
//!                 Event::Step { parties, step, .. } => println!("{:?} {:?}: {step:?}", parties.direction, parties.peer),
//!                 Event::Figures { figures, .. } => println!("{} packets lost", figures.to_phone.lost),
//!             },
//!             _ = tokio::signal::ctrl_c() => break,
//!         }
//!     }
//!     node.stop().await;
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! # let runtime = tokio::runtime::Runtime::new()?;
//! // A new state folder has no line yet, and every error has a text for a person.
//! let folder = tempfile::tempdir()?;
//! let error = runtime.block_on(run(folder.path())).unwrap_err();
//! assert_eq!(error.to_string(), "there is no line in the state folder");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! All are on by default. Without them the library links no command line, no web server, no phone book and no TURN server.
//! - `cli`: the command line; includes the others.
//! - `page`: the status page, and settings for phones.
//! - `demo`: the whole system in one process.
//! - `doctor`: checks, and a call of this machine to itself.
//!
//! # Rooms
//! Modules that this page does not list are public for the project's own tests and may change at any time.
#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        reason = "some of the shell is used by the command line, the page and the doctor alone"
    )
)]

mod blocking;
mod calendar;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "doctor")]
pub mod doctor;
#[doc(hidden)]
pub mod lines;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod node;
#[cfg(feature = "page")]
#[doc(hidden)]
pub mod page;
#[cfg(feature = "page")]
mod provisioning;
#[doc(hidden)]
pub mod run;
#[cfg(feature = "selfcall")]
#[doc(hidden)]
pub mod selfcall;
pub mod softphone;
#[doc(hidden)]
pub mod state;
pub mod stats;
#[doc(hidden)]
pub mod turn;

pub use config::Config;
pub use lines::activate::activate;
pub use net::book::BookClient;
pub use node::{LineInfo, Node, NodeError};
pub use ringfence_book::{ActivationCode, Number};
pub use ringfence_engine::{CallLabel, CallParties, CallStep};
pub use run::event::Event;
pub use run::gateway::ReadyError;
pub use run::handle::GatewayHandle;
pub use softphone::Softphone;
pub use state::keystore::Keystore;
pub use state::secret::Secret;
