//! Keys that are pressed on a phone which says them in INFO although it may say them in its audio as well (RFC 4733).
//!
//! Some phones do both for each key. A key in INFO therefore waits for a moment, and is one that is passed only if none comes in the
//! audio. A phone that has said a key in its audio says all of them there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ringfence_sip as sip;

/// How long a key in INFO waits: the first packet of an event comes within one or two packet times of it.
const WAIT: Duration = Duration::from_millis(250);

/// Keys that may wait: more than a person presses in that time. Later ones are dropped.
const MOST_WAITING: usize = 16;

/// The keys of one phone.
#[derive(Debug, Default)]
pub(super) struct PressedKeys {
    is_in_audio: bool,
    waiting: VecDeque<(Instant, sip::Digit)>,
}

impl PressedKeys {
    /// A key came in the audio.
    pub(super) fn handle_in_audio(&mut self) {
        self.is_in_audio = true;
        self.waiting.clear();
    }

    /// A key came in INFO.
    pub(super) fn handle_info(&mut self, digit: sip::Digit, now: Instant) {
        if !self.is_in_audio && self.waiting.len() < MOST_WAITING {
            self.waiting.push_back((now + WAIT, digit));
        }
    }

    /// The next key that has waited long enough.
    pub(super) fn due(&mut self, now: Instant) -> Option<sip::Digit> {
        let (_, digit) = self.waiting.pop_front_if(|(at, _)| *at <= now)?;
        Some(digit)
    }

    /// When the next key has waited long enough.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(at, _)| *at)
    }
}
