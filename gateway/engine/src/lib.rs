//! What a private call *is*: bytes and time in, actions out.
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
//! One [`Engine`] serves all lines and phones of a machine. It owns the SIP side
//! ([`ringfence_sip::Agent`]), the identities, the downloaded book and the state of every
//! call. It does not own a call's media: it gives [`MediaOrder`]s and hears [`MediaEvent`]s,
//! so that no sound packet passes through it.
//!
//! Driving it, as all machines of this workspace: call one `handle_*` with the time, then
//! [`Engine::poll`] until `None`, then sleep until [`Engine::next_alarm`].
//!
//! The bytes of ring, answer and session envelopes are described in `PROTOCOL.md`.

pub mod bucket;
pub mod contacts;
pub mod control;
pub mod date;
pub mod directory;
pub mod envelope;
pub mod hint;
pub mod identity;
pub mod ledger;
pub mod note;
pub mod presence;
pub mod rejected;
pub mod ring;
pub mod roots;
pub mod safety;
pub mod seen;
pub mod session;
pub mod star;
pub mod wish;
pub mod work;

mod arrivals;
mod call;
mod census;
mod clock;
mod config;
mod counters;
mod desk;
mod engine;
mod envelopes;
mod input;
mod journal;
mod lamps;
mod line;
mod output;
mod picture;
mod record;
mod renewed;
mod settle;
mod step;
mod stock;
mod texts;
mod transfer;
mod trust;

pub use census::Census;
pub use config::Config;
pub use counters::Counters;
pub use engine::Engine;
pub use input::{MediaEvent, MediaFault, NearPort, Sealed};
pub use lamps::UnaskedLamps;
pub use line::{BindingFault, Line};
pub use output::{CallLabel, MediaOrder, Output, Post, PostId};
pub use picture::{BookAge, LiveCall, LiveState};
pub use record::FalseRecord;
pub use step::{End, Step};
