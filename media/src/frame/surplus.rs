//! By how much a phone's sound waits longer for its slot than it has to: after a late packet, all that come later wait a slot longer. Slots do
//! not move for it, so one packet is left out where the wait was long enough without it for a while. A phone that is late again and again
//! keeps the wait that it needs.

use std::time::Duration;

/// Slots with sound over which the wait has to be long.
const LONG: u16 = 250;

/// What is left of the shortest wait, for the phone's jitter.
const REMAINDER: Duration = Duration::from_millis(2);

/// The waits of the last slots.
#[derive(Debug)]
pub(super) struct Surplus {
    shortest: Duration,
    slots: u16,
}

impl Default for Surplus {
    fn default() -> Self {
        Self {
            shortest: Duration::MAX,
            slots: 0,
        }
    }
}

impl Surplus {
    /// A slot had sound that waited so long, or none.
    pub(super) fn note(&mut self, wait: Option<Duration>) {
        *self = match wait {
            Some(wait) => Self {
                shortest: self.shortest.min(wait),
                slots: self.slots.saturating_add(1),
            },
            None => Self::default(),
        };
    }

    /// Whether a packet is to be left out now; slots are so far apart.
    pub(super) fn take(&mut self, length: Duration) -> bool {
        if self.slots < LONG {
            return false;
        }
        let is_long = self.shortest >= length + REMAINDER;
        *self = Self::default();
        is_long
    }
}
