//! SIP over bytes and time: messages, transactions, dialogs, digest, registrar and call legs.
//!
//! The crate has no socket, clock or thread. [`UserAgent`] takes bytes and the time, and returns what to send and what happened:
//!
//! 1. `handle_*(input, now)` (or a command such as [`UserAgent::answer`]),
//! 2. [`UserAgent::poll`] until `None`,
//! 3. sleep until [`UserAgent::next_timeout`], then [`UserAgent::handle_timeout`].
//!
//! Randomness comes from a seed. A body is bytes: SDP is not read here. [`client::PhoneClient`], the SIP of the built-in phone, is
//! driven in the same way.
//!
//! ```
//! use std::time::Instant;
//!
//! use ringfence_sip::{Account, Algorithms, Config, Flow, Output, Password, Transport, User, UserAgent};
//!
//! let account = Account { user: User::new("alice"), password: Password::new("secret") };
//! let config = Config { realm: "ringfence".into(), accounts: vec![account], algorithms: Algorithms::Md5 };
//! let mut agent = UserAgent::new(config, [7; 32]);
//!
//! // In a program these bytes come from a socket:
//! let local = "127.0.0.1:5060".parse()?;
//! let peer = "127.0.0.1:40000".parse()?;
//! let flow = Flow { transport: Transport::Udp, local, peer, connection: 0 };
//! let datagram = b"OPTIONS sip:127.0.0.1 SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP 127.0.0.1:40000;rport;branch=z9hG4bK1\r\n\
//!     From: <sip:alice@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\n\
//!     Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
//! let now = Instant::now();
//! agent.handle_packet(flow, datagram, now);
//!
//! // In a program a socket sends them:
//! while let Some(output) = agent.poll() {
//!     match output {
//!         Output::Send { flow: to, bytes } => {
//!             assert_eq!(to, flow);
//!             assert!(bytes.starts_with(b"SIP/2.0 200 OK\r\n"));
//!         }
//!         Output::Event(event) => println!("{}", event.name()),
//!         Output::Close { flow } => println!("close the stream of {flow:?}"),
//!     }
//! }
//!
//! // Then wait for bytes, or for this instant:
//! if let Some((at, timer)) = agent.next_timeout() {
//!     println!("to {} in {:?}", timer.reason(), at - now);
//!     agent.handle_timeout(at);
//! }
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! # Modules
//! [`message`]: parsing and writing. `transaction`: retransmissions. `dialog`. [`digest`] and `registrar`: authentication and
//! bindings. `leg`: the state of a call, a text, a subscription. `user_agent`: the interface and the dispatch of messages.
//! [`client`]: the built-in phone. Not here: TLS, DNS, proxying, and the content of bodies.

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
mod restart;
mod timers;
mod transaction;
mod user_agent;

pub use account::{Account, Algorithms, Config, Password, User};
pub use event::{
    Body, CallerId, Event, HangUp, LegId, Offer, Output, Package, Refusal, RequestError,
    SipCounters, SubscriptionId, TextId, TransferTo, UnsolicitedPolicy,
};
pub use flow::{Flow, Transport};
pub use framer::{Frame, Framer, FramingError};
pub use leg::digit::Digit;
pub use restart::{FinalMessage, RestartChange, SavedBinding};
pub use timers::Timer;
pub use user_agent::{CallLimits, UserAgent};
