//! A line's settings as they meet an incoming call: blocked numbers, do not disturb, and contacts only.

use std::time::Instant;

use crate::environment::Environment;
use crate::sealed::ring::incoming::VerifiedRing;

/// What a line makes of a ring. To its caller, a call that is silent or refused is one that is not answered.
pub(crate) enum Reception {
    /// The phones ring.
    Sounds,
    /// No phone rings, and the call stands in the list of past calls: as missed while "do not disturb" is on; as a stranger's, of which no
    /// lamp tells, while the line rings for contacts only.
    Silent { is_stranger: bool },
    /// A blocked number's, of which nothing is kept.
    Refused,
}

impl Reception {
    /// By the settings at this moment.
    pub(crate) fn of(line: usize, ring: &VerifiedRing, env: &Environment, now: Instant) -> Self {
        let Some(line) = env.lines.number(line) else {
            return Self::Refused;
        };
        let caller = ring.caller_number();
        if env.saved.state().is_blocked(line, caller) {
            return Self::Refused;
        }
        let is_stranger = env.is_kept_out(line, caller, now);
        if is_stranger || env.saved.state().do_not_disturb(line) {
            return Self::Silent { is_stranger };
        }
        Self::Sounds
    }
}
