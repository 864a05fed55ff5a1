//! What a running gateway tells those who watch it.

use std::time::Instant;

use ringfence_engine::{CallLabel, Step};
use ringfence_media::Figures;

/// What a watcher sees. No number, key or address.
#[derive(Clone, Debug)]
pub enum Event {
    /// A call came one step further.
    Step {
        /// Which call.
        call: CallLabel,
        /// What happened.
        step: Step,
        /// When.
        at: Instant,
    },
    /// A call's sound is over.
    Figures {
        /// Which call.
        call: CallLabel,
        /// What it was.
        figures: Box<Figures>,
    },
}
