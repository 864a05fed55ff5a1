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
//! ([`ringfence_sip::UserAgent`]), the identities, the downloaded book and the state of every
//! call. It does not own a call's media: it gives [`MediaOrder`]s and hears [`MediaEvent`]s,
//! so that no sound packet passes through it.
//!
//! Driving it, as all machines of this workspace: call one `handle_*` with the time, then
//! [`Engine::poll`] until `None`, then sleep until [`Engine::next_timeout`].
//!
//! The bytes of ring, answer and session envelopes are described in `PROTOCOL.md`.

pub mod call;
pub mod line;
pub mod presence;
pub mod sealed;
pub mod time;
pub mod trust;

mod config;
mod counters;
mod engine;
mod environment;
mod input;
mod output;

pub use call::counts::Census;
pub use call::live::{LiveCall, LiveState};
pub use call::step::{End, Step};
pub use config::{Config, UnaskedLamps};
pub use counters::Counters;
pub use engine::Engine;
pub use input::{MediaEvent, MediaFault, NearPort, Sealed};
pub use line::{BindingFault, Line};
pub use output::{CallLabel, CallParties, MediaOrder, Output, Post, PostId};
pub use time::Timer;
pub use trust::BookAge;
pub use trust::own_record::FalseRecord;
