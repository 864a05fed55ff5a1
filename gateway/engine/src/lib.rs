//! A private call without sockets, threads or clocks: bytes and time in, actions out.
//!
//! One [`Engine`] serves all lines and phones of a machine. It owns the SIP side ([`ringfence_sip::UserAgent`]), the identities, the
//! downloaded phone book and the state of every call. It does not own a call's media: it gives [`MediaOrder`]s and takes
//! [`MediaEvent`]s, so that no audio packet passes through it.
//!
//! ```text
//!  phone ── SIP ──▶ Agent ─▶ Dialling ─▶ Calling ───────────┐            caller's engine
//!                              │ ring     ▲ answer           ▼
//!                              ▼          │               Talking ─▶ Ending
//!                     (sealed envelopes over relays)         ▲
//!                              │          │                  │
//!  phone ◀─ SIP ── Agent ◀─ Ringing ─▶ Answering ───────────┘            callee's engine
//! ```
//!
//! # The run loop
//! 1. Call one `handle_*` method with an input and the time: bytes of a phone, an envelope of a relay, a media event, a proof of
//!    work, or [`Engine::handle_timeout`].
//! 2. Call [`Engine::poll`] until `None` and carry out each [`Output`].
//! 3. Wait for the next input, at most until [`Engine::next_timeout`]; its [`Timer`] says why.
//!
//! The engine reads no clock and draws nothing from the system: the same seed, inputs and times give the same outputs. [`Output::Step`]
//! reports each step of a call with both numbers. `PROTOCOL.md` describes the bytes of envelopes.
//!
//! # Rooms
//! [`sealed`] is what travels between engines, [`call`] the states of a call, [`line`](mod@line) what belongs to one number, [`trust`] what is
//! held for true about others, [`presence`] what contacts are shown, [`restart`] what outlives a process that is killed.
//!
//! # Example
//! Two engines and no network: the first takes a text of its phone, and the second opens the envelope.
//!
//! ```
//! use std::time::Instant;
//!
//! use ed25519_dalek::SigningKey;
//! use rand_chacha::ChaCha20Rng;
//! use rand_core::{Rng, SeedableRng};
//! use ringfence_book::root::{RootHash, Statement, TilesHash};
//! use ringfence_book::{BookKey, Number, NumberPlan, Root, Tile};
//! use ringfence_engine::line::identity::Identity;
//! use ringfence_engine::sealed::{envelope::EventKey, proof_of_work::ProofSearch};
//! use ringfence_engine::time::UnixTime;
//! use ringfence_engine::trust::directory::Directory;
//! use ringfence_engine::{Config, Engine, ReceivedEvent, Line, SealedEvent, Output};
//! use ringfence_sip::{Account, Flow, Password, Transport, User, digest};
//!
//! let (now, wall) = (Instant::now(), UnixTime::from_seconds(1_795_348_800));
//! let mut rng = ChaCha20Rng::from_seed([7; 32]);
//!
//! // The phone book: 256 numbers from 20000, the first two with the keys of the two engines.
//! let book = SigningKey::from_bytes(&[1; 32]);
//! let keys = [0, 1].map(|_| Identity::generate(&mut rng));
//! let mut listings = [keys[0].listing(); 256];
//! listings[1] = keys[1].listing();
//! let (plan, tile) = (NumberPlan::new(20_000, 1).unwrap(), Tile::of(&listings));
//! let root = Root::sign(&book, Statement {
//!     epoch: 1,
//!     genesis: wall.seconds(),
//!     closed: wall.seconds(),
//!     period: 60,
//!     plan,
//!     changes: 16,
//!     previous: RootHash::NONE,
//!     boundary: RootHash::NONE,
//!     tiles: TilesHash::of_tiles(plan, std::slice::from_ref(&tile)),
//!     delta: [0; 32],
//!     network: [0; 32],
//! });
//! let mut number = 20_000;
//! let [mut first, mut second] = keys.map(|identity| {
//!     let mut directory = Directory::new(plan).with_roots(vec![root]);
//!     directory.insert(0, tile.clone());
//!     let line = Line {
//!         number: Number::new(number),
//!         identity,
//!         account: Account { user: User::new("desk".to_owned()), password: Password::new("secret") },
//!     };
//!     number += 1;
//!     let config = Config { work_bits: 0, ..Config::default() };
//!     Engine::new(config, vec![line], BookKey::from(&book), directory, [number as u8; 32], (wall, now))
//! });
//!
//! // Carries out what an engine asks for: what it sends to its phone, and what it posts to relays.
//! let mut carry_out = |engine: &mut Engine| {
//!     let (mut to_phone, mut posts): (Vec<String>, Vec<SealedEvent>) = Default::default();
//!     while let Some(output) = engine.poll() {
//!         match output {
//!             Output::Phone { bytes, .. } => to_phone.push(String::from_utf8(bytes).unwrap()),
//!             Output::Post(event) => posts.push(event),
//!             Output::WantProofs(count) => for _ in 0..count {
//!                 let mut key = [0; 32];
//!                 rng.fill_bytes(&mut key);
//!                 let proof = ProofSearch::new(EventKey(key), key.into(), 0, wall).search(1);
//!                 engine.handle_proof_of_work(proof.unwrap(), now);
//!             },
//!             _ => {} // Media, steps, and what a shell saves.
//!         }
//!     }
//!     (to_phone, posts)
//! };
//!
//! // The phone of the first engine sends a text; the engine asks for its password first.
//! let flow = Flow {
//!     transport: Transport::Udp,
//!     local: "127.0.0.1:5060".parse().unwrap(),
//!     peer: "127.0.0.1:5080".parse().unwrap(),
//!     connection: 0,
//! };
//! let message = |sequence: u8, authorization: &str| format!(
//!     "MESSAGE sip:20001@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5080;branch=z9hG4bK{sequence}\r\n\
//!      From: <sip:desk@127.0.0.1>;tag=a\r\nTo: <sip:20001@127.0.0.1>\r\nCall-ID: b\r\nCSeq: {sequence} MESSAGE\r\n\
//!      Max-Forwards: 70\r\n{authorization}Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
//! );
//! carry_out(&mut first);
//! first.handle_phone(flow, message(1, "").as_bytes(), now);
//! let (to_phone, _) = carry_out(&mut first);
//! let challenge = to_phone[0].lines().find_map(|line| line.strip_prefix("WWW-Authenticate: ")).unwrap();
//! let challenge = digest::DigestChallenge::parse(challenge.as_bytes()).unwrap();
//! let (password, method) = (Password::new("secret"), ringfence_sip::message::Method::Message);
//! let answer = digest::answer(&challenge, "desk", &password, &method, "sip:20001@127.0.0.1", "c", 1);
//! first.handle_phone(flow, message(2, &format!("Authorization: {answer}\r\n")).as_bytes(), now);
//!
//! // The envelope passes by hand where relays would pass it on.
//! let (_, posts) = carry_out(&mut first);
//! for event in posts {
//!     let incoming = ReceivedEvent {
//!         bucket: event.bucket,
//!         event_key: event.proof.event_key,
//!         nonce: event.proof.nonce,
//!         bytes: event.envelope.as_bytes().to_vec(),
//!         note_made: event.is_note.then_some(wall),
//!     };
//!     second.handle_envelope(&incoming, now);
//!     first.handle_posted(event.id, 1, now);
//! }
//! let (to_phone, _) = carry_out(&mut first);
//! assert!(to_phone[0].starts_with("SIP/2.0 202 "), "a relay has taken it");
//! let waiting = &second.saved_state().texts[0];
//! assert_eq!((waiting.from, &waiting.text[..]), (Number::new(20_000), "hello"));
//! ```

pub mod call;
pub mod line;
pub mod presence;
pub mod restart;
pub mod sealed;
pub mod time;
pub mod trust;

mod config;
mod counters;
mod engine;
mod environment;
mod input;
mod output;

pub use call::counts::CallCounts;
pub use call::live::{LiveCall, LiveState};
pub use call::step::{CallStep, EndReason};
pub use config::{Config, EMERGENCY_NUMBERS, REALM, UnsolicitedMwi};
pub use counters::EngineCounters;
pub use engine::Engine;
pub use input::{MediaEvent, MediaFailure, NearPort, ReceivedEvent};
pub use line::{Line, LineUpdateError};
pub use output::{CallLabel, CallParties, MediaOrder, Output, PostId, SealedEvent};
pub use time::Timer;
pub use trust::BookAge;
pub use trust::own_record::FalseRecord;
