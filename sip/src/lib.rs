//! SIP over bytes and time: messages, transactions, dialogs, digest, registrar and call legs.
//!
//! The crate holds no socket, no clock, no thread. A machine is told bytes and time and answers with what to do:
//!
//! 1. `handle_*(input, now)` (or a command such as [`UserAgent::answer`]),
//! 2. [`UserAgent::poll`] until `None`,
//! 3. sleep until [`UserAgent::next_timeout`], then [`UserAgent::handle_timeout`].
//!
//! Randomness is a seed. A body is bytes: SDP is not read here.
//!
//! ```
//! use std::time::Instant;
//!
//! use ringfence_sip::{Account, UserAgent, Algorithms, Config, Flow, Output, Password, Transport, User};
//!
//! let account = Account { user: User::new("alice"), password: Password::new("secret") };
//! let config = Config { realm: "ringfence".into(), accounts: vec![account], algorithms: Algorithms::Md5 };
//! let mut agent = UserAgent::new(config, [7; 32]);
//!
//! // What a socket would have given us:
//! let local = "127.0.0.1:5060".parse()?;
//! let peer = "127.0.0.1:40000".parse()?;
//! let flow = Flow { transport: Transport::Udp, local, peer, connection: 0 };
//! let datagram = b"OPTIONS sip:127.0.0.1 SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP 127.0.0.1:40000;rport;branch=z9hG4bK1\r\n\
//!     From: <sip:alice@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\n\
//!     Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
//! agent.handle_packet(flow, datagram, Instant::now());
//!
//! // What a socket would have to send:
//! let Some(Output::Send { flow: to, bytes }) = agent.poll() else { panic!("an answer") };
//! assert_eq!(to, flow);
//! assert!(bytes.starts_with(b"SIP/2.0 200 OK\r\n"));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! Where to read: [`message`] (bytes), `transaction` (repeats and losses), `dialog`, [`digest`] and `registrar` (who is
//! who), `leg` (one call, one text, one subscription), `agent` (the outside). What has no place here: TLS, DNS, proxying,
//! and what texts and subscriptions say: their bodies pass unread, as SDP does.

pub mod client;
pub mod digest;
pub mod message;
pub mod xml;

mod account;
mod dialog;
mod event;
mod flow;
mod framer;
mod hex;
mod leg;
mod random;
mod registrar;
mod timers;
mod transaction;
mod user_agent;

pub use account::{Account, Algorithms, Config, Password, User};
pub use event::{
    Body, CallerId, Counters, Event, HangUp, LegId, Offer, Output, Package, RequestError,
    SubscriptionId, TextId, TransferTo, UnsolicitedPolicy,
};
pub use flow::{Flow, Transport};
pub use framer::{Frame, Framer, FramingError};
pub use leg::digit::Digit;
pub use timers::Timer;
pub use user_agent::{CallLimits, UserAgent};
