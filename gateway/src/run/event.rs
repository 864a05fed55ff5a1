//! The events of a running gateway for programs that embed it.

use std::time::Instant;

use ringfence_engine::{CallLabel, CallParties, CallStep};
use ringfence_media::MediaStats;

/// Something that happened in a call.
#[derive(Clone, Debug)]
pub enum Event {
    /// A call came one step further.
    Step {
        /// Which call.
        call: CallLabel,
        /// Who calls whom: the line, the other number, the direction. `Debug` prints neither number.
        parties: CallParties,
        /// What happened.
        step: CallStep,
        /// When.
        at: Instant,
    },
    /// The media of a call has ended.
    Figures {
        /// Which call.
        call: CallLabel,
        /// Its final figures.
        figures: Box<MediaStats>,
    },
}
